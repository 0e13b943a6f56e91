package main

import (
	"context"
	_ "embed"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/third_party/forked/golang/expansion"
)

//go:embed container.sh
var containerScript string

// container is a program that is started again when it ends.
type container struct {
	spec     *corev1.Container
	root     string
	log      string
	argv     []string
	env      []string
	mu       sync.Mutex
	cmd      *exec.Cmd
	done     chan struct{}
	restarts int32
	started  metav1.Time
}

// start runs it in a process group of its own.
func (c *container) start() error {
	out, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(c.argv[0], c.argv[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = c.env, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cmd, c.done, c.started = cmd, done, metav1.Now()
	return nil
}

// keep starts it again, a little later, until the pod is gone.
func (c *container) keep(gone context.Context) {
	for {
		c.mu.Lock()
		done := c.done
		c.mu.Unlock()
		select {
		case <-gone.Done():
			return
		case <-done:
		}
		select {
		case <-gone.Done():
			return
		case <-time.After(time.Second):
		}
		if err := c.start(); err != nil {
			log.Printf("container %s: %v", c.spec.Name, err)
		}
		c.mu.Lock()
		c.restarts++
		c.mu.Unlock()
	}
}

// state tells its process, how often it was started again, and whether it runs.
func (c *container) state() (pid int, restarts int32, started metav1.Time, runs bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.done:
	default:
		runs = true
	}
	return c.cmd.Process.Pid, c.restarts, c.started, runs
}

func (c *container) stop(grace time.Duration) {
	c.mu.Lock()
	pid, done := c.cmd.Process.Pid, c.done
	c.mu.Unlock()
	if grace > 0 {
		_ = syscall.Kill(pid, syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(grace):
		}
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	<-done
}

// prepare decides what is run and how: in the pod's network, with a root of its own, as the user it asks for.
func (r *podRunner) prepare(ctx context.Context, pod *corev1.Pod, c *container, p *runningPod, volumes map[string]string) error {
	c.log = filepath.Join(r.dir, "log", fmt.Sprintf("pod.%s.%s.%s.log", pod.Namespace, pod.Name, c.spec.Name))
	known := map[string]string{
		"KUBERNETES_SERVICE_HOST": r.gateway().String(),
		"KUBERNETES_SERVICE_PORT": fmt.Sprint(r.apiPort),
		"PATH":                    os.Getenv("PATH"),
		"HOSTNAME":                pod.Name,
		"HOME":                    "/root",
	}
	for _, e := range c.spec.Env {
		value, err := r.envValue(ctx, pod, e, p)
		if err != nil {
			return err
		}
		known[e.Name] = expansion.Expand(value, expansion.MappingFuncFor(known))
	}
	for name, value := range known {
		c.env = append(c.env, name+"="+value)
	}
	program, err := r.program(c.spec)
	if err != nil {
		return err
	}
	for i := range program {
		program[i] = expansion.Expand(program[i], expansion.MappingFuncFor(known))
	}
	c.argv = []string{"unshare", "-m"}
	if p.netns != "" {
		c.argv = []string{"ip", "netns", "exec", p.netns}
	}
	c.argv = append(c.argv, "sh", "-c", containerScript, "sh", c.root)
	c.argv = append(c.argv, r.mounts(c.spec, volumes)...)
	c.argv = append(c.argv, "--", confined(pod, c.spec))
	c.argv = append(c.argv, program...)
	return os.MkdirAll(c.root, 0o755)
}

// program is the container's command line; an image is the program of its name in the folder of images.
func (r *podRunner) program(spec *corev1.Container) ([]string, error) {
	program := append([]string{}, spec.Command...)
	if len(program) == 0 {
		name, _, _ := strings.Cut(path.Base(spec.Image), ":")
		at := filepath.Join(r.images, name)
		if _, err := os.Stat(at); err != nil {
			return nil, fmt.Errorf("image %s: no executable %s in the images folder", spec.Image, name)
		}
		program = []string{at}
	}
	return append(program, spec.Args...), nil
}

// mounts are SOURCE=TARGET=OPTIONS; the images are in every container at the path that they have outside.
func (r *podRunner) mounts(spec *corev1.Container, volumes map[string]string) []string {
	var all []string
	if r.images != "" {
		all = append(all, r.images+"="+r.images+"=ro")
	}
	for _, m := range spec.VolumeMounts {
		mode := "rw"
		if m.ReadOnly {
			mode = "ro"
		}
		all = append(all, filepath.Join(volumes[m.Name], m.SubPath)+"="+m.MountPath+"="+mode)
	}
	if s := spec.SecurityContext; s != nil && s.ReadOnlyRootFilesystem != nil && *s.ReadOnlyRootFilesystem {
		all = append(all, "=/=ro")
	}
	return all
}

// confined are arguments of setpriv(1) for what the security contexts ask for.
func confined(pod *corev1.Pod, spec *corev1.Container) string {
	own, whole := spec.SecurityContext, pod.Spec.SecurityContext
	if own == nil {
		own = &corev1.SecurityContext{}
	}
	if whole == nil {
		whole = &corev1.PodSecurityContext{}
	}
	first := func(a, b *int64) *int64 {
		if a != nil {
			return a
		}
		return b
	}
	var args []string
	user, group := first(own.RunAsUser, whole.RunAsUser), first(own.RunAsGroup, whole.RunAsGroup)
	if user != nil {
		args = append(args, fmt.Sprintf("--reuid=%d", *user))
		if group == nil {
			group = new(int64)
		}
	}
	if group != nil {
		args = append(args, fmt.Sprintf("--regid=%d", *group))
		if whole.FSGroup != nil {
			args = append(args, fmt.Sprintf("--groups=%d", *whole.FSGroup))
		} else {
			args = append(args, "--clear-groups")
		}
	}
	if own.AllowPrivilegeEscalation != nil && !*own.AllowPrivilegeEscalation {
		args = append(args, "--no-new-privs")
	}
	if caps := own.Capabilities; caps != nil && len(caps.Drop) > 0 {
		set := []string{"-all"}
		for _, c := range caps.Add {
			set = append(set, "+"+strings.ToLower(string(c)))
		}
		args = append(args, "--inh-caps=-all", "--bounding-set="+strings.Join(set, ","))
	}
	return strings.Join(args, " ")
}
