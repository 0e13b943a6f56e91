//! The allocation as a cluster holds it: the status of Services. Pure.
//!
//! What this program wrote is in `loadBalancer` and, once more, in a condition. Where another controller has written over the one, the other still says it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{LoadBalancerIngress, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::address_condition::Told;
use crate::cluster::FIELD_MANAGER;
use crate::objects::{Balancers, Stored};

use super::requests::{ports_of, sharing_key_of};
use super::{Allocation, Allocations, Family, Foreign, PoolRanges, Port, Protocol};

/// What Services of type LoadBalancer hold according to their status: addresses that are in a pool, one of each family, with the ports that are listed beside
/// them. Where none are listed, as other allocators leave it, all ports of the Service count as held.
#[must_use]
pub fn held_allocations(balancers: &Balancers, pools: &PoolRanges) -> Allocations {
    let services = balancers.services().iter();
    Allocations { services: services.filter_map(|(key, stored)| Some((key.clone(), held(stored, pools)?))).collect() }
}

fn held(stored: &Stored<Service>, pools: &PoolRanges) -> Option<Allocation> {
    let spec = stored.object.spec.as_ref().filter(|spec| spec.type_.as_deref() == Some("LoadBalancer"))?;
    let in_pools = |address: &IpAddr| pools.pool_of(*address).is_some();
    let is_foreign = !owns_addresses(&stored.object.metadata);
    let shown: Vec<IpAddr> = status_addresses(&stored.object).filter(in_pools).collect();
    let remembered: Vec<IpAddr> = Told::remembered(&stored.object).into_iter().filter(|address| is_foreign && in_pools(address)).collect();
    let foreign = is_foreign.then(|| Foreign { addresses: shown.clone(), is_remembered: !remembered.is_empty() });
    let addresses = if remembered.is_empty() { first_of_families(&shown) } else { remembered };
    let pool = pools.pool_of(*addresses.first()?)?.to_owned();
    let listed: BTreeSet<Port> = entries(&stored.object).iter().filter(|entry| is_one_of(entry, &addresses)).flat_map(ports).collect();
    let ports = if listed.is_empty() { ports_of(spec, &mut Vec::new()) } else { listed };
    let sharing_key = stored.object.metadata.annotations.as_ref().and_then(sharing_key_of);
    Some(Allocation { addresses, pool, ports, sharing_key, foreign })
}

fn first_of_families(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let mut first: Vec<IpAddr> = Vec::new();
    for address in addresses.iter().copied() {
        if first.iter().all(|other| Family::of(*other) != Family::of(address)) {
            first.push(address);
        }
    }
    first
}

/// Whether the addresses in the object's status are ours; the mirror keeps no other owners.
pub(crate) fn owns_addresses(meta: &ObjectMeta) -> bool {
    let entries = meta.managed_fields.iter().flatten();
    entries.into_iter().any(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER) && entry.subresource.as_deref() == Some("status"))
}

/// The addresses of a Service over which another controller has written; none where its status has them and no others.
pub(crate) fn overwritten(service: &Service) -> Vec<IpAddr> {
    let remembered = if owns_addresses(&service.metadata) { Vec::new() } else { Told::remembered(service) };
    if status_addresses(service).eq(remembered.iter().copied()) { Vec::new() } else { remembered }
}

/// The addresses in a Service's status, in its order.
pub(crate) fn status_addresses(service: &Service) -> impl Iterator<Item = IpAddr> {
    entries(service).iter().filter_map(address)
}

fn entries(service: &Service) -> &[LoadBalancerIngress] {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default()
}

fn address(entry: &LoadBalancerIngress) -> Option<IpAddr> {
    entry.ip.as_ref()?.parse().ok()
}

fn is_one_of(entry: &LoadBalancerIngress, addresses: &[IpAddr]) -> bool {
    address(entry).is_some_and(|address| addresses.contains(&address))
}

fn ports(entry: &LoadBalancerIngress) -> impl Iterator<Item = Port> {
    entry.ports.iter().flatten().filter_map(|status| {
        let protocol = match status.protocol.as_str() {
            "TCP" => Protocol::Tcp,
            "UDP" => Protocol::Udp,
            "SCTP" => Protocol::Sctp,
            _ => return None,
        };
        Some(Port { protocol, port: u16::try_from(status.port).ok()? })
    })
}
