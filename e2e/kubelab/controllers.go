package main

import (
	"context"
	"flag"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/certificates/rootcacertpublisher"
	"k8s.io/kubernetes/pkg/controller/daemon"
	"k8s.io/kubernetes/pkg/controller/deployment"
	"k8s.io/kubernetes/pkg/controller/endpointslice"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/namespace"
	"k8s.io/kubernetes/pkg/controller/replicaset"
	"k8s.io/kubernetes/pkg/controller/serviceaccount"
)

const (
	workers           = 5
	endpointsPerSlice = 100
	refreshOfKinds    = 2 * time.Second
)

// startControllers runs those of kube-controller-manager that the tests need, in this process: all of them together would
// add a seventh to what has to be compiled.
func startControllers(ctx context.Context, config *rest.Config, journal string) error {
	out, err := os.Create(journal)
	if err != nil {
		return err
	}
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	for name, value := range map[string]string{"logtostderr": "false", "stderrthreshold": "FATAL"} {
		if err := flags.Set(name, value); err != nil {
			return err
		}
	}
	klog.SetOutput(out)
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	shared := informers.NewSharedInformerFactory(client, 0)
	started := make(chan struct{})
	var starts []func()
	for _, build := range []func(context.Context, kubernetes.Interface, informers.SharedInformerFactory) (func(), error){workloads, endpoints} {
		start, err := build(ctx, client, shared)
		if err != nil {
			return err
		}
		starts = append(starts, start)
	}
	accounts, err := namespaceContents(ctx, client, shared, config)
	if err != nil {
		return err
	}
	garbage, err := removal(ctx, client, shared, config, started)
	if err != nil {
		return err
	}
	for _, start := range append(starts, accounts, garbage) {
		start()
	}
	shared.Start(ctx.Done())
	close(started)
	return nil
}

// workloads are Deployments, ReplicaSets and DaemonSets.
func workloads(ctx context.Context, client kubernetes.Interface, shared informers.SharedInformerFactory) (func(), error) {
	apps, core := shared.Apps().V1(), shared.Core().V1()
	deployments, err := deployment.NewDeploymentController(ctx, apps.Deployments(), apps.ReplicaSets(), core.Pods(), client)
	if err != nil {
		return nil, err
	}
	replicaSets := replicaset.NewReplicaSetController(ctx, apps.ReplicaSets(), core.Pods(), client, replicaset.BurstReplicas)
	backoff := flowcontrol.NewBackOff(time.Second, time.Minute)
	daemonSets, err := daemon.NewDaemonSetsController(ctx, apps.DaemonSets(), apps.ControllerRevisions(), core.Pods(), core.Nodes(), client, backoff)
	if err != nil {
		return nil, err
	}
	return func() {
		go deployments.Run(ctx, workers)
		go replicaSets.Run(ctx, workers)
		go daemonSets.Run(ctx, workers)
	}, nil
}

// endpoints are the EndpointSlices of Services.
func endpoints(ctx context.Context, client kubernetes.Interface, shared informers.SharedInformerFactory) (func(), error) {
	core := shared.Core().V1()
	slices := endpointslice.NewController(ctx, core.Pods(), core.Services(), core.Nodes(), shared.Discovery().V1().EndpointSlices(), endpointsPerSlice, client, 0)
	return func() { go slices.Run(ctx, workers) }, nil
}

// namespaceContents are the ServiceAccount `default` and the cluster's CA that every namespace has.
func namespaceContents(ctx context.Context, client kubernetes.Interface, shared informers.SharedInformerFactory, config *rest.Config) (func(), error) {
	core := shared.Core().V1()
	accounts, err := serviceaccount.NewServiceAccountsController(klog.FromContext(ctx), core.ServiceAccounts(), core.Namespaces(), client, serviceaccount.DefaultServiceAccountsControllerOptions())
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(config.CAFile)
	if err != nil {
		return nil, err
	}
	publisher, err := rootcacertpublisher.NewPublisher(core.ConfigMaps(), core.Namespaces(), client, ca)
	if err != nil {
		return nil, err
	}
	return func() {
		go accounts.Run(ctx, 1)
		go publisher.Run(ctx, 1)
	}, nil
}

// removal empties namespaces that are deleted and removes what belongs to objects that are gone.
func removal(ctx context.Context, client kubernetes.Interface, shared informers.SharedInformerFactory, config *rest.Config, started <-chan struct{}) (func(), error) {
	meta, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	namespaces := namespace.NewNamespaceController(ctx, client, meta, client.Discovery().ServerPreferredNamespacedResources, shared.Core().V1().Namespaces(), time.Minute, corev1.FinalizerKubernetes)
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))
	ignored := map[schema.GroupResource]struct{}{{Resource: "events"}: {}, {Group: "events.k8s.io", Resource: "events"}: {}}
	anyKind := informerfactory.NewInformerFactory(shared, metadatainformer.NewSharedInformerFactory(meta, 0))
	graph := garbagecollector.NewDependencyGraphBuilder(ctx, meta, mapper, ignored, anyKind, started)
	collector, err := garbagecollector.NewComposedGarbageCollector(ctx, client, meta, mapper, graph)
	if err != nil {
		return nil, err
	}
	return func() {
		go namespaces.Run(ctx, workers)
		go collector.Run(ctx, workers, refreshOfKinds)
		go collector.Sync(ctx, client.Discovery(), refreshOfKinds)
	}, nil
}
