//! The status of Services of type LoadBalancer: the allocation, where it persists, and a condition that tells of it. Pure.
//!
//! An address is written for a Service only when no other one, which is not to have it too, has it in its status or may have it from a write that is not seen
//! yet: what is to be taken away is taken away first, in a pass of its own.
//!
//! Where another controller owns the addresses in a status, the condition alone is written beside them: it says what is served, and remembers what was
//! allocated.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{LoadBalancerIngress, PortStatus, Service};
use serde_json::json;

use super::memory::Memory;
use super::pass::{Pass, Settings};
use super::subject::write;
use super::write::{StatusKind, StatusWrite, Target};
use crate::address_condition::Told;
use crate::addresses::{Allocation, Port, overwritten, owns_addresses, status_addresses};
use crate::compile::{RefusedAddress, ServiceReport};
use crate::config::Traffic;
use crate::objects::{ObjectKey, Stored};
use crate::problem::ObjectRef;

/// Statuses that are not as they should be.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) statuses: Vec<StatusWrite>,
    /// What is said beside statuses that another controller owns.
    pub(super) beside: Vec<StatusWrite>,
    /// Addresses that Services lose.
    pub(super) withdrawn: Vec<(ObjectRef, Vec<IpAddr>)>,
}

/// A Service and what it is to have.
#[derive(Clone, Copy)]
struct Case<'a> {
    key: &'a ObjectKey,
    stored: &'a Stored<Service>,
    allocation: Option<&'a Allocation>,
    /// What it has.
    served: &'a [IpAddr],
}

pub(super) fn wanted(pass: &Pass, settings: &Settings, memory: &Memory, now: Timestamp) -> Wanted {
    let claims = Claims::new(pass, memory);
    let reports: HashMap<ObjectKey, &ServiceReport> =
        pass.view.report.services.iter().map(|report| (ObjectKey::new(&report.namespace, &report.name), &**report)).collect();
    let mut wanted = Wanted::default();
    for (key, stored) in &pass.read.objects.services {
        let allocation = pass.allocations.services.get(key);
        let free = allocation.map(|allocation| claims.free_for(key, stored, allocation)).unwrap_or_default();
        let desired = allocation.map(|allocation| balanced(&free, &allocation.ports, settings.traffic)).unwrap_or_default();
        let report = reports.get(key);
        let told = told(&stored.object, allocation, &free, report.and_then(|report| report.refused.as_ref()));
        let served = report.map_or(&[][..], |report| &report.addresses);
        wanted.consider(Case { key, stored, allocation, served }, &desired, told, memory, now);
    }
    wanted
}

/// What the Service's condition is to say, once these of its addresses are in its status. That it waits for others is worth a write only where it said
/// something else before: mostly it does not wait for long.
fn told(service: &Service, allocation: Option<&Allocation>, free: &[IpAddr], refused: Option<&RefusedAddress>) -> Option<Told> {
    match allocation.into_iter().flat_map(|allocation| &allocation.addresses).find(|address| !free.contains(address)) {
        Some(awaited) => Told::is_told(service).then(|| Told::waits_for(free, *awaited)),
        None => Told::of(free, refused),
    }
}

/// The same where another controller owns the addresses in the status.
fn contested(case: Case<'_>, told: Told, managers: &[String]) -> Told {
    let before = Told::remembered(&case.stored.object);
    let Some(allocation) = case.allocation.filter(|_| told.is_allocated()) else { return told.with_only(&before) };
    let by = if managers.is_empty() { "another controller".to_owned() } else { managers.join(", ") };
    let (has, lacks): (Vec<_>, Vec<_>) = allocation.addresses.iter().partition(|address| case.served.contains(address));
    let are_remembered = has.iter().all(|address| before.contains(address));
    match (lacks.is_empty(), are_remembered) {
        (true, false) => Told::elsewhere(&has, &by),
        (true, true) => Told::overwritten(&has, &by),
        (false, _) => Told::kept_out(&has, &lacks, &by).with_only(&before),
    }
}

impl Wanted {
    fn consider(&mut self, case: Case<'_>, desired: &[LoadBalancerIngress], told: Option<Told>, memory: &Memory, now: Timestamp) {
        let Case { key, stored, .. } = case;
        let target = Target { kind: StatusKind::Service, key: key.clone() };
        let owned = owns_addresses(&stored.object.metadata);
        self.lost(case);
        if desired.is_empty() && !owned && !memory.wrote_addresses(&target) {
            return self.beside(case, told.as_ref(), now);
        }
        let stays = desired == entries(&stored.object);
        if stays && Told::is_shown(told.as_ref(), &stored.object) {
            return;
        }
        if let Some(managers) = memory.conflict(&target).filter(|_| !stays && !owned) {
            let told = told.clone().map(|told| contested(case, told, managers));
            self.beside(case, told.as_ref(), now);
        }
        let mut status = if desired.is_empty() { json!({}) } else { json!({"loadBalancer": {"ingress": desired}}) };
        if let Some(told) = told {
            status["conditions"] = json!([told.condition(&stored.object, now)]);
        }
        self.statuses.push(write(StatusKind::Service, key, stored, status));
    }

    /// The condition alone.
    fn beside(&mut self, case: Case<'_>, told: Option<&Told>, now: Timestamp) {
        let Case { key, stored, .. } = case;
        if !Told::is_shown(told, &stored.object) {
            let status = told.map_or_else(|| json!({}), |told| json!({"conditions": [told.condition(&stored.object, now)]}));
            self.beside.push(StatusWrite { beside: true, ..write(StatusKind::Service, key, stored, status) });
        }
    }

    /// Tells of addresses that were ours, and are not the Service's any more.
    fn lost(&mut self, Case { stored, allocation, .. }: Case<'_>) {
        let service = &stored.object;
        let stays = |address: &IpAddr| allocation.is_some_and(|allocation| allocation.addresses.contains(address));
        let had: Vec<IpAddr> = if owns_addresses(&service.metadata) { status_addresses(service).collect() } else { overwritten(service) };
        let lost: Vec<IpAddr> = had.into_iter().filter(|address| !stays(address)).collect();
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
        let of = |service| status_addresses(service).chain(overwritten(service));
        let held = pass.read.objects.services.iter().flat_map(|(key, stored)| of(&stored.object).map(move |address| (key, address)));
        for (key, address) in held.chain(memory.promises.iter()) {
            services.entry(address).or_default().push(key);
        }
        Self { pass, services }
    }

    /// The addresses of the allocation that the Service has already, and those that nobody has who is not to have them.
    fn free_for(&self, key: &ObjectKey, stored: &Stored<Service>, allocation: &Allocation) -> Vec<IpAddr> {
        let had: Vec<IpAddr> = status_addresses(&stored.object).chain(overwritten(&stored.object)).collect();
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
