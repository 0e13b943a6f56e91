//! What tenants apply in a lab: the image `echo` behind a Service, and objects in front of it.

use std::fmt::Write as _;

/// A namespace with one pod of the image `echo` behind the Service `echo`.
pub fn echo(namespace: &str) -> String {
    images(&include_str!("echo.yaml").replace("NAMESPACE", namespace))
}

/// Where the images `vrata:test` and `echo:test` are, for a cluster that was there before; in kubelab an image is a program of its name.
const REGISTRY: &str = "VRATA_E2E_REGISTRY";

/// The manifest with its images where they are.
pub(super) fn images(manifest: &str) -> String {
    std::env::var(REGISTRY).map_or_else(|_| manifest.to_owned(), |registry| manifest.replace("registry.example", &registry))
}

/// An Ingress `name` for one host, as the operator's users write it, before the Service `echo`.
pub fn ingress(namespace: &str, name: &str, host: &str) -> String {
    ingress_with(namespace, name, host, &[])
}

/// The same with more annotations.
pub fn ingress_with(namespace: &str, name: &str, host: &str, annotations: &[(&str, &str)]) -> String {
    let mut more = String::new();
    for (key, value) in annotations {
        let _ = writeln!(more, "    {key}: {value:?}");
    }
    include_str!("ingress.yaml").replace("    ANNOTATIONS\n", &more).replace("NAMESPACE", namespace).replace("NAME", name).replace("HOST", host)
}

/// A Service `name` of type LoadBalancer before the pod's TCP and UDP port 7000, with a DNS name.
pub fn load_balancer(namespace: &str, name: &str, host: &str) -> String {
    include_str!("load-balancer.yaml").replace("NAMESPACE", namespace).replace("NAME", name).replace("HOST", host)
}
