package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// auditPolicy keeps what ServiceAccounts ask for and how it was answered: the least rights of a program are tested with it.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, userGroups: ["system:masters"]}
- {level: Metadata, userGroups: ["system:serviceaccounts"]}
- {level: None}
`

// apiServer is a kube-apiserver of this same binary in a process of its own, which can be killed and started again.
type apiServer struct {
	dir  string
	args []string
	cmd  *exec.Cmd
	// Closed once it has ended.
	ended chan struct{}
}

func startAPIServer(o *options, advertise netip.Addr) (*apiServer, error) {
	pki := func(name string) string { return filepath.Join(o.dir, "pki", name) }
	if err := writeKey(pki("sa.key")); err != nil {
		return nil, err
	}
	for name, text := range map[string]string{"tokens.csv": adminToken + ",admin,admin,system:masters\n", "audit.yaml": auditPolicy} {
		if err := os.WriteFile(pki(name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	api := &apiServer{dir: o.dir, args: []string{
		"kube-apiserver",
		"--etcd-servers=http://127.0.0.1:2379",
		"--cert-dir=" + filepath.Join(o.dir, "pki"),
		fmt.Sprintf("--secure-port=%d", o.port),
		"--advertise-address=" + advertise.String(),
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=" + o.serviceCIDR,
		"--service-account-issuer=https://kubelab",
		"--service-account-key-file=" + pki("sa.key"),
		"--service-account-signing-key-file=" + pki("sa.key"),
		"--token-auth-file=" + pki("tokens.csv"),
		"--authorization-mode=RBAC",
		"--allow-privileged=true",
		// Webhooks behind a Service are reached at its endpoints, since nothing routes cluster addresses.
		"--enable-aggregator-routing=true",
		"--audit-policy-file=" + pki("audit.yaml"),
		"--audit-log-path=" + filepath.Join(o.dir, "log", "audit.log"),
	}}
	return api, api.start()
}

func (a *apiServer) start() error {
	out, err := os.OpenFile(filepath.Join(a.dir, "log", "kube-apiserver.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	a.cmd = exec.Command("/proc/self/exe", a.args...)
	a.cmd.Stdout, a.cmd.Stderr = out, out
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := a.cmd.Start(); err != nil {
		return err
	}
	cmd, ended := a.cmd, make(chan struct{})
	a.ended = ended
	go func() { _ = cmd.Wait(); close(ended) }()
	pid := []byte(fmt.Sprintln(a.cmd.Process.Pid))
	return os.WriteFile(filepath.Join(a.dir, "kube-apiserver.pid"), pid, 0o644)
}

// obey kills it at SIGUSR1 and starts it again at SIGUSR2.
func (a *apiServer) obey(ctx context.Context) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-signals:
			a.kill()
			if s == syscall.SIGUSR2 {
				if err := a.start(); err != nil {
					log.Printf("kube-apiserver: %v", err)
				}
			}
		}
	}
}

// revive starts it again if it has ended by itself: it gives up where etcd does not answer in time, and a kubelet would do the same.
func (a *apiServer) revive() error {
	select {
	case <-a.ended:
		log.Printf("kube-apiserver ended (%v) and is started again: see log/kube-apiserver.log", a.cmd.ProcessState)
		return a.start()
	default:
		return nil
	}
}

func (a *apiServer) kill() {
	_ = a.cmd.Process.Kill()
	<-a.ended
}

// stop asks it to end, and makes it after a while; one that is paused obeys only the latter.
func (a *apiServer) stop() {
	done := time.AfterFunc(2*time.Second, func() { _ = a.cmd.Process.Kill() })
	defer done.Stop()
	_ = a.cmd.Process.Signal(syscall.SIGTERM)
	<-a.ended
}

func writeKey(path string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	return os.WriteFile(path, pem.EncodeToMemory(block), 0o600)
}
