package main

import (
	"context"
	"fmt"
	"log"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

const nodeName = "kubelab"

// podRunner binds every pod to the one node and runs its containers as local programs in the pod's network namespace.
// Supported of a pod: image, command, args, hostNetwork, env (value, metadata.*, status.podIP, secretKeyRef, configMapKeyRef),
// volumes (secret, configMap, emptyDir, hostPath, projected with the service account's token), users, capabilities and a read-only
// root, TCP and HTTP readiness probes, the end by SIGTERM within the grace period, and restarts of programs that end.
// A container's id in the pod's status is process://NUMBER. Limits and liveness probes are not applied.
type podRunner struct {
	dir, images string
	apiPort     int
	prefix      netip.Prefix

	mu      sync.Mutex
	next    netip.Addr
	running map[types.UID]*runningPod
	client  *kubernetes.Clientset
}

type runningPod struct {
	netns      string
	addr       netip.Addr
	containers []*container
	gone       context.Context
	end        context.CancelFunc
}

func newPodRunner(o *options, prefix netip.Prefix) *podRunner {
	first := prefix.Addr().Next().Next()
	return &podRunner{dir: o.dir, images: o.images, apiPort: o.port, prefix: prefix, next: first, running: map[types.UID]*runningPod{}}
}

func (r *podRunner) gateway() netip.Addr { return r.prefix.Addr().Next() }

// run registers the node, says that all is ready, and then runs pods until the end.
func (r *podRunner) run(ctx context.Context, client *kubernetes.Clientset, ready func() error) error {
	r.client = client
	if err := r.register(ctx); err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	queue := make(chan *corev1.Pod, 4096)
	_, err := factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { queue <- o.(*corev1.Pod) },
		UpdateFunc: func(_, o any) { queue <- o.(*corev1.Pod) },
		DeleteFunc: func(o any) {
			if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			go r.stop(o.(*corev1.Pod).UID, 0)
		},
	})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	if err := ready(); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case pod := <-queue:
			if err := r.sync(ctx, pod); err != nil && ctx.Err() == nil {
				log.Printf("pod %s/%s: %v", pod.Namespace, pod.Name, err)
				r.again(ctx, pod, queue)
			}
		}
	}
}

func (r *podRunner) again(ctx context.Context, pod *corev1.Pod, queue chan<- *corev1.Pod) {
	time.AfterFunc(500*time.Millisecond, func() {
		now, err := r.client.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
		if err == nil && now.UID == pod.UID {
			queue <- now
		} else if err != nil && !apierrors.IsNotFound(err) && ctx.Err() == nil {
			r.again(ctx, pod, queue)
		}
	})
}

func (r *podRunner) register(ctx context.Context) error {
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: nodeName, Labels: map[string]string{"kubernetes.io/hostname": nodeName, "kubernetes.io/os": "linux"}},
	}
	node, err := r.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	now := metav1.Now()
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Lab", LastHeartbeatTime: now, LastTransitionTime: now}}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: r.gateway().String()}, {Type: corev1.NodeHostName, Address: nodeName}}
	if node, err = r.client.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{}); err != nil {
		return err
	}
	node.Spec.Taints = nil // admission marks a new node not-ready, and the controller that would clear it does not run here
	_, err = r.client.CoreV1().Nodes().Update(ctx, node, metav1.UpdateOptions{})
	return err
}

func (r *podRunner) sync(ctx context.Context, pod *corev1.Pod) error {
	pods := r.client.CoreV1().Pods(pod.Namespace)
	switch {
	case pod.DeletionTimestamp != nil:
		grace := time.Duration(0)
		if pod.DeletionGracePeriodSeconds != nil {
			grace = time.Duration(*pod.DeletionGracePeriodSeconds) * time.Second
		}
		go func() {
			r.stop(pod.UID, grace)
			zero := int64(0)
			err := pods.Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &zero, Preconditions: metav1.NewUIDPreconditions(string(pod.UID))})
			if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) && ctx.Err() == nil {
				log.Printf("pod %s/%s: %v", pod.Namespace, pod.Name, err)
			}
		}()
		return nil
	case pod.Spec.NodeName == "":
		target := corev1.ObjectReference{Kind: "Node", Name: nodeName}
		err := pods.Bind(ctx, &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: pod.Name}, Target: target}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
			return err
		}
		return nil
	case pod.Spec.NodeName != nodeName:
		return nil
	}
	r.mu.Lock()
	_, started := r.running[pod.UID]
	r.mu.Unlock()
	if started {
		return nil
	}
	running, err := r.start(ctx, pod)
	if err != nil {
		return err
	}
	go r.report(ctx, pod, running)
	return nil
}

func (r *podRunner) start(ctx context.Context, pod *corev1.Pod) (*runningPod, error) {
	id := strings.ReplaceAll(string(pod.UID), "-", "")[:10]
	p := &runningPod{addr: r.gateway()}
	p.gone, p.end = context.WithCancel(ctx)
	if len(pod.Spec.InitContainers) > 0 {
		return nil, fmt.Errorf("init containers are not supported")
	}
	volumes := map[string]string{}
	for _, v := range pod.Spec.Volumes {
		at := filepath.Join(r.dir, "pods", id, v.Name)
		if v.HostPath != nil {
			at = v.HostPath.Path
		}
		if err := r.writeVolume(ctx, pod, v, at); err != nil {
			return nil, fmt.Errorf("volume %s: %w", v.Name, err)
		}
		volumes[v.Name] = at
	}
	if !pod.Spec.HostNetwork {
		if err := r.createNetwork(id, p); err != nil {
			return nil, err
		}
	}
	for i := range pod.Spec.Containers {
		c := &container{spec: &pod.Spec.Containers[i], root: filepath.Join(r.dir, "pods", id, "root-"+pod.Spec.Containers[i].Name)}
		if err := r.prepare(ctx, pod, c, p, volumes); err != nil {
			return nil, fmt.Errorf("container %s: %w", c.spec.Name, err)
		}
		p.containers = append(p.containers, c)
	}
	for _, c := range p.containers {
		if err := c.start(); err != nil {
			return nil, fmt.Errorf("container %s: %w", c.spec.Name, err)
		}
		go c.keep(p.gone)
	}
	r.mu.Lock()
	r.running[pod.UID] = p
	r.mu.Unlock()
	return p, nil
}

// stop asks the pod's programs to end, makes them after the grace period, and removes its network.
func (r *podRunner) stop(uid types.UID, grace time.Duration) {
	r.mu.Lock()
	p := r.running[uid]
	delete(r.running, uid)
	r.mu.Unlock()
	if p == nil {
		return
	}
	p.end()
	var ends sync.WaitGroup
	for _, c := range p.containers {
		ends.Go(func() { c.stop(grace) })
	}
	ends.Wait()
	if p.netns != "" {
		_ = run("ip", "netns", "del", p.netns)
	}
}

func (r *podRunner) stopAll() {
	r.mu.Lock()
	var all []types.UID
	for uid := range r.running {
		all = append(all, uid)
	}
	r.mu.Unlock()
	for _, uid := range all {
		r.stop(uid, 0)
	}
	_ = os.RemoveAll(filepath.Join(r.dir, "pods"))
}
