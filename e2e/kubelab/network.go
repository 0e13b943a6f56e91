package main

import (
	"fmt"
	"net/netip"
)

const (
	bridge    = "kubelab0"
	announced = "192.0.2.0/24"
)

func createBridge(prefix netip.Prefix) error {
	return runAll(
		[]string{"ip", "link", "set", "lo", "up"},
		[]string{"ip", "link", "add", bridge, "type", "bridge"},
		[]string{"ip", "addr", "add", fmt.Sprintf("%s/%d", prefix.Addr().Next(), prefix.Bits()), "dev", bridge},
		[]string{"ip", "link", "set", bridge, "up"},
	)
}

// createNetwork gives the pod the next address, on a network namespace of its own behind the bridge.
func (r *podRunner) createNetwork(id string, p *runningPod) error {
	r.mu.Lock()
	addr := r.next
	r.next = addr.Next()
	r.mu.Unlock()
	if !r.prefix.Contains(addr) {
		return fmt.Errorf("no pod address left in %s", r.prefix)
	}
	p.netns, p.addr = "pod-"+id, addr
	host := "v" + id
	_ = run("ip", "netns", "del", p.netns)
	return runAll(
		[]string{"ip", "netns", "add", p.netns},
		[]string{"ip", "link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", p.netns},
		[]string{"ip", "link", "set", host, "master", bridge, "up"},
		[]string{"ip", "-n", p.netns, "link", "set", "lo", "up"},
		[]string{"ip", "-n", p.netns, "addr", "add", fmt.Sprintf("%s/%d", addr, r.prefix.Bits()), "dev", "eth0"},
		[]string{"ip", "-n", p.netns, "link", "set", "eth0", "up"},
		[]string{"ip", "-n", p.netns, "route", "add", "default", "via", r.gateway().String()},
		// A pod answers at any of these, as a node does that announces addresses of Services; who reaches which pod is the test's.
		[]string{"ip", "-n", p.netns, "route", "add", "local", announced, "dev", "lo"},
		// As containerd does: low ports are free to all in a pod's own network.
		[]string{"ip", "netns", "exec", p.netns, "sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start"},
	)
}
