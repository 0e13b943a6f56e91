// Command kubelab is a Kubernetes cluster in one binary for tests on one Linux machine, without containers or images:
// etcd, kube-apiserver, kubectl and the controllers that the tests need are the real ones, built from their Go modules; a small
// pod runner stands in for the kubelet and runs each container as a local program in a network namespace of its own.
//
//	kubelab up -dir DIR [-images DIR]       runs until SIGINT, SIGTERM or, with -stdin, the end of its input
//	kubelab exec -dir DIR COMMAND…          runs a command inside the lab's network, with KUBECONFIG
//	kubelab kubectl …                       is kubectl; so is a link to this binary of that name
//
// `up` makes network and mount namespaces of its own, so that nothing of it is left when its processes have ended. It wants
// root. DIR/kubeconfig is there once the API server is ready; DIR/log holds every log, the pods' too. SIGUSR1 kills the API
// server, SIGUSR2 starts it again; DIR/kube-apiserver.pid is its number.
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	if filepath.Base(os.Args[0]) == "kubectl" {
		kubectl()
		return
	}
	if len(os.Args) < 2 {
		log.Fatal("usage: kubelab up|exec|kubectl …")
	}
	verb := os.Args[1]
	os.Args = append(os.Args[:1], os.Args[2:]...)
	var err error
	switch verb {
	case "kube-apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kubectl":
		kubectl()
	case "up":
		err = enterNamespaces()
	case "up-inside":
		err = up()
	case "exec":
		err = execInside()
	default:
		err = fmt.Errorf("unknown verb %q", verb)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func kubectl() {
	if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err)
	}
}
