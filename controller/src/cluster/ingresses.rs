//! The status of Ingresses: where clients reach the gateway that serves them. Pure.

use std::collections::HashSet;

use k8s_openapi::api::networking::v1::{Ingress, IngressLoadBalancerIngress};
use serde_json::{Value, json};

use super::memory::Memory;
use super::pass::Pass;
use super::subject::write;
use super::write::{StatusKind, StatusWrite, Target};
use crate::addresses::owns_addresses;
use crate::compile::PublicAddresses;
use crate::problem::ObjectRef;

/// Statuses that are not as they should be. Only an Ingress with a route has the gateway's addresses: others publish DNS names by them, and the host of an
/// Ingress that did not get it is not to lead here. Until the gateway has an address nothing is written.
pub(super) fn wanted<'a>(pass: &'a Pass, memory: &'a Memory) -> impl Iterator<Item = StatusWrite> {
    let served: HashSet<&ObjectRef> = pass.view.report.hosts.iter().flat_map(|host| &host.routes).map(|route| &route.ingress).collect();
    let public = Some(&pass.public).filter(|public| **public != PublicAddresses::default());
    let ingresses = public.into_iter().flat_map(move |public| pass.read.objects.ingresses.iter().map(move |ingress| (public, ingress)));
    ingresses.filter_map(move |(public, (key, stored))| {
        let current = entries(&stored.object);
        let status = if served.contains(&stored.reference) {
            (!is(current, public)).then(|| status(public))?
        } else {
            let ours = || owns_addresses(&stored.object.metadata) || memory.wrote_addresses(&Target { kind: StatusKind::Ingress, key: key.clone() });
            (!current.is_empty() && ours()).then(|| json!({}))?
        };
        Some(write(StatusKind::Ingress, key, stored, status))
    })
}

fn entries(ingress: &Ingress) -> &[IngressLoadBalancerIngress] {
    let balancer = ingress.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default()
}

fn is(entries: &[IngressLoadBalancerIngress], public: &PublicAddresses) -> bool {
    let addresses = public.addresses.iter().map(|address| (Some(address.to_string()), None));
    let wanted = addresses.chain(public.hostnames.iter().map(|name| (None, Some(name.clone()))));
    wanted.eq(entries.iter().map(|entry| (entry.ip.clone(), entry.hostname.clone())))
}

fn status(public: &PublicAddresses) -> Value {
    let addresses = public.addresses.iter().map(|address| json!({"ip": address}));
    let ingress: Vec<Value> = addresses.chain(public.hostnames.iter().map(|name| json!({"hostname": name}))).collect();
    json!({"loadBalancer": {"ingress": ingress}})
}
