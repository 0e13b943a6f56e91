//! The status of Services of type LoadBalancer: the allocation, where it persists, and a condition that tells of it. Pure.
//!
//! An address is written for a Service only when no other one, which is not to have it too, has it in its status or may have it from a write that is not seen
//! yet: what is to be taken away is taken away first, in a pass of its own.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{LoadBalancerIngress, PortStatus, Service};
use serde_json::json;

use super::memory::Memory;
use super::pass::{Pass, Settings};
use super::subject::{owns_addresses, write};
use super::write::{StatusKind, StatusWrite, Target};
use crate::address_condition::Told;
use crate::addresses::{Allocation, Port, status_addresses};
use crate::compile::RefusedAddress;
use crate::config::Traffic;
use crate::objects::{ObjectKey, Stored};
use crate::problem::ObjectRef;

/// Statuses that are not as they should be.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) statuses: Vec<StatusWrite>,
    /// Addresses that Services lose.
    pub(super) withdrawn: Vec<(ObjectRef, Vec<IpAddr>)>,
}

pub(super) fn wanted(pass: &Pass, settings: &Settings, memory: &Memory, now: Timestamp) -> Wanted {
    let claims = Claims::new(pass, memory);
    let reports = pass.view.report.services.iter();
    let refused: HashMap<ObjectKey, &RefusedAddress> =
        reports.filter_map(|report| Some((ObjectKey::new(&report.namespace, &report.name), report.refused.as_ref()?))).collect();
    let mut wanted = Wanted::default();
    for (key, stored) in &pass.read.objects.services {
        let allocation = pass.allocations.services.get(key);
        let free = allocation.map(|allocation| claims.free_for(key, stored, allocation)).unwrap_or_default();
        let desired = allocation.map(|allocation| balanced(&free, &allocation.ports, settings.traffic)).unwrap_or_default();
        let told = told(&stored.object, allocation, &free, refused.get(key).copied());
        let ours = || owns_addresses(&stored.object.metadata) || memory.wrote_addresses(&Target { kind: StatusKind::Service, key: key.clone() });
        let stays = desired == entries(&stored.object) || desired.is_empty() && !ours();
        if stays && Told::is_shown(told.as_ref(), &stored.object) {
            continue;
        }
        if !stays && ours() {
            wanted.lost(stored, allocation);
        }
        let mut status = if desired.is_empty() { json!({}) } else { json!({"loadBalancer": {"ingress": desired}}) };
        if let Some(told) = told {
            status["conditions"] = json!([told.condition(&stored.object, now)]);
        }
        wanted.statuses.push(write(StatusKind::Service, key, stored, status));
    }
    wanted
}

/// What the Service's condition is to say, once these of its addresses are in its status. That it waits for others is worth a write only where it said
/// something else before: mostly it does not wait for long.
fn told(service: &Service, allocation: Option<&Allocation>, free: &[IpAddr], refused: Option<&RefusedAddress>) -> Option<Told> {
    match allocation.into_iter().flat_map(|allocation| &allocation.addresses).find(|address| !free.contains(address)) {
        Some(awaited) => Told::is_told(service).then(|| Told::waits_for(*awaited)),
        None => Told::of(free, refused),
    }
}

impl Wanted {
    fn lost(&mut self, stored: &Stored<Service>, allocation: Option<&Allocation>) {
        let stays = |address: &IpAddr| allocation.is_some_and(|allocation| allocation.addresses.contains(address));
        let lost: Vec<IpAddr> = status_addresses(&stored.object).filter(|address| !stays(address)).collect();
        if !lost.is_empty() {
            self.withdrawn.push((stored.reference.clone(), lost));
        }
    }
}

/// Who has which address, in a status or perhaps.
struct Claims<'a> {
    pass: &'a Pass,
    services: HashMap<IpAddr, Vec<&'a ObjectKey>>,
}

impl<'a> Claims<'a> {
    fn new(pass: &'a Pass, memory: &'a Memory) -> Self {
        let mut services: HashMap<IpAddr, Vec<&ObjectKey>> = HashMap::new();
        let held = pass.read.objects.services.iter().flat_map(|(key, stored)| status_addresses(&stored.object).map(move |address| (key, address)));
        for (key, address) in held.chain(memory.promises.iter()) {
            services.entry(address).or_default().push(key);
        }
        Self { pass, services }
    }

    /// The addresses of the allocation that the Service has already, and those that nobody has who is not to have them.
    fn free_for(&self, key: &ObjectKey, stored: &Stored<Service>, allocation: &Allocation) -> Vec<IpAddr> {
        let had: Vec<IpAddr> = status_addresses(&stored.object).collect();
        let shares = |other: &ObjectKey, address: &IpAddr| {
            let theirs = self.pass.allocations.services.get(other);
            theirs.is_some_and(|theirs| theirs.addresses.contains(address))
        };
        let is_free = |address: &IpAddr| self.services.get(address).into_iter().flatten().all(|other| *other == key || shares(other, address));
        allocation.addresses.iter().copied().filter(|address| had.contains(address) || is_free(address)).collect()
    }
}

fn entries(service: &Service) -> &[LoadBalancerIngress] {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default()
}

fn balanced(addresses: &[IpAddr], ports: &BTreeSet<Port>, traffic: Traffic) -> Vec<LoadBalancerIngress> {
    let mode = match traffic {
        // kube-proxy leaves the address alone: connections from inside of the cluster come to the forwarder too.
        Traffic::Forwarder => "Proxy",
        Traffic::KubeProxy => "VIP",
    };
    let status = |port: &Port| PortStatus { error: None, port: port.port.into(), protocol: port.protocol.to_string() };
    let entry = |address: &IpAddr| LoadBalancerIngress {
        hostname: None,
        ip: Some(address.to_string()),
        ip_mode: Some(mode.to_owned()),
        ports: Some(ports.iter().map(status).collect()),
    };
    addresses.iter().map(entry).collect()
}
