package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// betweenProbes is short, whatever a probe asks for: tests wait for it.
const betweenProbes = 200 * time.Millisecond

// report writes the pod's status whenever it changes, until the pod is gone.
func (r *podRunner) report(ctx context.Context, pod *corev1.Pod, p *runningPod) {
	ready, failures, written, complained := false, int32(0), "", ""
	for {
		if probe(p) {
			ready, failures = true, 0
		} else if failures++; failures >= threshold(pod) {
			ready = false
		}
		state := fmt.Sprint(ready)
		for _, c := range p.containers {
			pid, restarts, _, runs := c.state()
			state += fmt.Sprint(" ", pid, restarts, runs)
		}
		if state != written {
			err := r.writeStatus(ctx, pod, p, ready)
			switch {
			case err == nil:
				written = state
			case apierrors.IsNotFound(err):
				return
			case !apierrors.IsConflict(err) && ctx.Err() == nil && err.Error() != complained:
				complained = err.Error()
				log.Printf("pod %s/%s: status: %v", pod.Namespace, pod.Name, err)
			}
		}
		select {
		case <-p.gone.Done():
			return
		case <-time.After(betweenProbes):
		}
	}
}

// threshold is after how many failures the pod is not ready any more.
func threshold(pod *corev1.Pod) int32 {
	most := int32(1)
	for _, c := range pod.Spec.Containers {
		if c.ReadinessProbe != nil {
			most = max(most, c.ReadinessProbe.FailureThreshold)
		}
	}
	return most
}

// probe tells whether every program runs and every probe succeeds.
func probe(p *runningPod) bool {
	for _, c := range p.containers {
		if _, _, _, runs := c.state(); !runs {
			return false
		}
		if c.spec.ReadinessProbe != nil && !succeeds(c.spec, c.spec.ReadinessProbe, p.addr.String()) {
			return false
		}
	}
	return true
}

func succeeds(spec *corev1.Container, probe *corev1.Probe, host string) bool {
	switch {
	case probe.TCPSocket != nil:
		conn, err := net.DialTimeout("tcp", net.JoinHostPort(host, number(spec, probe.TCPSocket.Port.String())), time.Second)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	case probe.HTTPGet != nil:
		get := probe.HTTPGet
		scheme := "http"
		if get.Scheme == corev1.URISchemeHTTPS {
			scheme = "https"
		}
		if get.Host != "" {
			host = get.Host
		}
		client := http.Client{Timeout: time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
		answer, err := client.Get(scheme + "://" + net.JoinHostPort(host, number(spec, get.Port.String())) + get.Path)
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode >= 200 && answer.StatusCode < 400
	default:
		return true
	}
}

// number is a port's, given by number or by name.
func number(spec *corev1.Container, port string) string {
	for _, named := range spec.Ports {
		if named.Name == port {
			return fmt.Sprint(named.ContainerPort)
		}
	}
	return port
}

func (r *podRunner) writeStatus(ctx context.Context, pod *corev1.Pod, p *runningPod, ready bool) error {
	now, err := r.client.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if now.UID != pod.UID {
		return apierrors.NewNotFound(corev1.Resource("pods"), pod.Name)
	}
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	t := metav1.Now()
	now.Status.Phase = corev1.PodRunning
	now.Status.HostIP = r.gateway().String()
	now.Status.HostIPs = []corev1.HostIP{{IP: r.gateway().String()}}
	now.Status.PodIP = p.addr.String()
	now.Status.PodIPs = []corev1.PodIP{{IP: p.addr.String()}}
	if now.Status.StartTime == nil {
		now.Status.StartTime = &t
	}
	now.Status.Conditions = []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: t},
		{Type: corev1.PodInitialized, Status: corev1.ConditionTrue, LastTransitionTime: t},
		{Type: corev1.ContainersReady, Status: status, LastTransitionTime: t},
		{Type: corev1.PodReady, Status: status, LastTransitionTime: t},
	}
	now.Status.ContainerStatuses = nil
	for _, c := range p.containers {
		now.Status.ContainerStatuses = append(now.Status.ContainerStatuses, containerStatus(c, ready))
	}
	_, err = r.client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, now, metav1.UpdateOptions{})
	return err
}

func containerStatus(c *container, ready bool) corev1.ContainerStatus {
	pid, restarts, started, runs := c.state()
	s := corev1.ContainerStatus{
		Name: c.spec.Name, Image: c.spec.Image, ImageID: c.spec.Image, ContainerID: fmt.Sprintf("process://%d", pid),
		Ready: ready, Started: &runs, RestartCount: restarts,
	}
	if runs {
		s.State.Running = &corev1.ContainerStateRunning{StartedAt: started}
	} else {
		s.State.Waiting = &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "the program ended; see log/pod." + "*." + c.spec.Name + ".log"}
	}
	return s
}
