//! The allocation as a cluster holds it: the status of Services. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{LoadBalancerIngress, Service};

use crate::objects::{Balancers, Stored};

use super::requests::{ports_of, sharing_key_of};
use super::{Allocation, Allocations, Family, PoolRanges, Port, Protocol};

/// What Services of type LoadBalancer hold according to their status: addresses that are in a pool, one of each family, with the ports that are listed beside
/// them. Where none are listed, as other allocators leave it, all ports of the Service count as held.
#[must_use]
pub fn held_allocations(balancers: &Balancers, pools: &PoolRanges) -> Allocations {
    let services = balancers.services().iter();
    Allocations { services: services.filter_map(|(key, stored)| Some((key.clone(), held(stored, pools)?))).collect() }
}

fn held(stored: &Stored<Service>, pools: &PoolRanges) -> Option<Allocation> {
    let spec = stored.object.spec.as_ref().filter(|spec| spec.type_.as_deref() == Some("LoadBalancer"))?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in status_addresses(&stored.object) {
        let is_first_of_family = addresses.iter().all(|other| Family::of(*other) != Family::of(address));
        if is_first_of_family && pools.pool_of(address).is_some() {
            addresses.push(address);
        }
    }
    let pool = pools.pool_of(*addresses.first()?)?.to_owned();
    let listed: BTreeSet<Port> = entries(&stored.object).iter().filter(|entry| is_one_of(entry, &addresses)).flat_map(ports).collect();
    let ports = if listed.is_empty() { ports_of(spec, &mut Vec::new()) } else { listed };
    let sharing_key = stored.object.metadata.annotations.as_ref().and_then(sharing_key_of);
    Some(Allocation { addresses, pool, ports, sharing_key })
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
