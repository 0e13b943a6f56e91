package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const adminToken = "kubelab-admin"

type options struct {
	dir, images, podCIDR, serviceCIDR string
	port                              int
	stdin                             bool
}

func parse() (*options, error) {
	o := &options{}
	flag.StringVar(&o.dir, "dir", "", "where state, logs and the kubeconfig go; emptied first")
	flag.StringVar(&o.images, "images", "", "folder of executables: the image registry.example/a/NAME:TAG runs IMAGES/NAME")
	flag.StringVar(&o.podCIDR, "pod-cidr", "10.244.0.0/24", "addresses of the pods; the first one is this host's on the pod bridge")
	flag.StringVar(&o.serviceCIDR, "service-cidr", "10.96.0.0/16", "cluster addresses of Services (nothing routes them: there is no kube-proxy)")
	flag.IntVar(&o.port, "port", 6443, "port of the API server")
	flag.BoolVar(&o.stdin, "stdin", false, "stop at the end of standard input too")
	flag.Parse()
	if o.dir == "" {
		return nil, fmt.Errorf("-dir is required")
	}
	var err error
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return nil, err
	}
	if o.images != "" {
		o.images, err = filepath.Abs(o.images)
	}
	return o, err
}

func up() error {
	o, err := parse()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if o.stdin {
		go func() { _, _ = io.Copy(io.Discard, os.Stdin); stop() }()
	}
	if err := isolate(); err != nil {
		return err
	}
	if err := prepare(o.dir); err != nil {
		return err
	}
	prefix, err := netip.ParsePrefix(o.podCIDR)
	if err != nil {
		return err
	}
	runner := newPodRunner(o, prefix)
	if err := createBridge(prefix); err != nil {
		return err
	}
	etcd, err := startEtcd(filepath.Join(o.dir, "etcd"), filepath.Join(o.dir, "log", "etcd.log"))
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	defer etcd.Close()
	api, err := startAPIServer(o, runner.gateway())
	if err != nil {
		return err
	}
	defer api.stop()
	config := &rest.Config{
		Host:            fmt.Sprintf("https://%s:%d", runner.gateway(), o.port),
		BearerToken:     adminToken,
		TLSClientConfig: rest.TLSClientConfig{CAFile: filepath.Join(o.dir, "pki", "apiserver.crt")},
		QPS:             -1,
	}
	client, err := waitReady(ctx, config, api)
	if err != nil {
		return err
	}
	go api.obey(ctx)
	if err := startControllers(ctx, config, filepath.Join(o.dir, "log", "controllers.log")); err != nil {
		return err
	}
	defer runner.stopAll()
	return runner.run(ctx, client, func() error {
		kubeconfig := filepath.Join(o.dir, "kubeconfig")
		if err := writeKubeconfig(kubeconfig, config); err != nil {
			return err
		}
		log.Printf("ready: KUBECONFIG=%s", kubeconfig)
		return nil
	})
}

func prepare(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	for _, d := range []string{"log", "pki", "etcd"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "pid"), []byte(fmt.Sprintln(os.Getpid())), 0o644)
}

func startEtcd(dir, journal string) (*embed.Etcd, error) {
	c := embed.NewConfig()
	c.Dir = dir
	client, peer := url.URL{Scheme: "http", Host: "127.0.0.1:2379"}, url.URL{Scheme: "http", Host: "127.0.0.1:2380"}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.LogLevel = "error"
	c.LogOutputs = []string{journal}
	c.UnsafeNoFsync = true
	c.QuotaBackendBytes = 4 << 30
	e, err := embed.StartEtcd(c)
	if err != nil {
		return nil, err
	}
	select {
	case <-e.Server.ReadyNotify():
		return e, nil
	case <-time.After(30 * time.Second):
		e.Close()
		return nil, fmt.Errorf("not ready after 30 s")
	}
}

// waitReady gives a client once the API server has made its certificate and is ready.
func waitReady(ctx context.Context, config *rest.Config, api *apiServer) (*kubernetes.Clientset, error) {
	deadline := time.Now().Add(100 * time.Second)
	for time.Now().Before(deadline) {
		if err := api.revive(); err != nil {
			return nil, err
		}
		if client, err := kubernetes.NewForConfig(config); err == nil {
			var status int
			client.Discovery().RESTClient().Get().AbsPath("/readyz").Timeout(5 * time.Second).Do(ctx).StatusCode(&status)
			if status == http.StatusOK {
				return client, nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil, fmt.Errorf("kube-apiserver was not ready after 100 s: see log/kube-apiserver.log")
}

func writeKubeconfig(path string, config *rest.Config) error {
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: kubelab, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: admin, user: {token: %s}}]
contexts: [{name: kubelab, context: {cluster: kubelab, user: admin}}]
current-context: kubelab
`, config.Host, config.CAFile, adminToken)
	return os.WriteFile(path, []byte(text), 0o600)
}
