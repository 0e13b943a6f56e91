//! Where the replicas listen: each ready one at the ports that the Service names, or else at those of our own listeners. Pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use acme::Listeners;
use k8s_openapi::api::discovery::v1::EndpointSlice;

/// Label by which a Service's EndpointSlices are found.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Names of ports in the Service. Where it has one of them it tells what every replica listens on, which need not be what this one does.
const PORTS: [&str; 3] = ["dns", "http", "https"];

/// Our own listeners, and those of every ready replica. A replica is asked at those of its addresses that are of a kind which we listen on, too.
#[must_use]
pub fn listeners<'a>(own: &Listeners, slices: impl Iterator<Item = &'a EndpointSlice>) -> Listeners {
    let slices: Vec<&EndpointSlice> = slices.collect();
    let of = |name, own: &[SocketAddr]| {
        let peers = slices.iter().flat_map(|slice| peers(slice, name, own));
        let all: BTreeSet<SocketAddr> = own.iter().copied().chain(peers).collect();
        all.into_iter().collect()
    };
    Listeners { dns: of(PORTS[0], &own.dns), http: of(PORTS[1], &own.http), https: of(PORTS[2], &own.https) }
}

/// The listeners of one kind that are in a slice.
fn peers(slice: &EndpointSlice, name: &str, own: &[SocketAddr]) -> BTreeSet<SocketAddr> {
    let own_ports = |address: &IpAddr| own.iter().filter(|own| own.is_ipv4() == address.is_ipv4()).map(|own| own.port()).collect::<Vec<_>>();
    let is_named = PORTS.iter().any(|name| port(slice, name).is_some());
    let ports = |address: &IpAddr| match port(slice, name) {
        Some(port) if own.is_empty() || !own_ports(address).is_empty() => vec![port],
        _ if is_named => Vec::new(),
        _ => own_ports(address),
    };
    ready(slice).flat_map(|address| ports(&address).into_iter().map(move |port| (address, port).into())).collect()
}

fn port(slice: &EndpointSlice, name: &str) -> Option<u16> {
    let ports = slice.ports.iter().flatten();
    ports.filter(|port| port.name.as_deref() == Some(name)).find_map(|port| u16::try_from(port.port?).ok())
}

/// Addresses of the endpoints that are ready; one that does not say so counts as ready (`EndpointConditions`).
fn ready(slice: &EndpointSlice) -> impl Iterator<Item = IpAddr> {
    let endpoints = slice.endpoints.iter().flatten();
    let ready = endpoints.filter(|endpoint| endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true));
    ready.flat_map(|endpoint| &endpoint.addresses).filter_map(|address| address.parse().ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort};

    use super::*;

    fn endpoint(address: &str, ready: Option<bool>) -> Endpoint {
        let conditions = ready.map(|ready| EndpointConditions { ready: Some(ready), ..EndpointConditions::default() });
        Endpoint { addresses: vec![address.to_owned()], conditions, ..Endpoint::default() }
    }

    fn slice(endpoints: Vec<Endpoint>, ports: &[(&str, i32)]) -> EndpointSlice {
        let port = |(name, port): &(&str, i32)| EndpointPort { name: Some((*name).to_owned()), port: Some(*port), ..EndpointPort::default() };
        EndpointSlice { endpoints: Some(endpoints), ports: Some(ports.iter().map(port).collect()), ..EndpointSlice::default() }
    }

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|address| address.parse().unwrap()).collect()
    }

    #[test]
    fn every_ready_replica_is_asked_at_our_ports() {
        let endpoints = vec![
            endpoint("10.0.0.1", Some(true)),
            endpoint("10.0.0.2", None),
            endpoint("10.0.0.3", Some(false)),
            endpoint("fd00::1", Some(true)),
            endpoint("no address", Some(true)),
        ];
        let slice = slice(endpoints, &[("admin", 9090)]);
        let own = Listeners { dns: addresses(&["0.0.0.0:53", "[::]:5353"]), http: addresses(&["10.0.0.1:80"]), https: Vec::new() };
        let expected = Listeners {
            dns: addresses(&["0.0.0.0:53", "10.0.0.1:53", "10.0.0.2:53", "[::]:5353", "[fd00::1]:5353"]),
            http: addresses(&["10.0.0.1:80", "10.0.0.2:80"]),
            https: Vec::new(),
        };
        assert_eq!(listeners(&own, [slice].iter()), expected);
        assert_eq!(listeners(&own, [].iter()).http, own.http);
    }

    #[test]
    fn the_ports_that_the_service_names_are_those_of_the_replicas() {
        let slice = slice(vec![endpoint("10.0.0.1", None), endpoint("fd00::1", None)], &[("http", 8080), ("https", 8443)]);
        let leads_only = Listeners::default();
        let gateways = Listeners {
            dns: Vec::new(),
            http: addresses(&["10.0.0.1:8080", "[fd00::1]:8080"]),
            https: addresses(&["10.0.0.1:8443", "[fd00::1]:8443"]),
        };
        assert_eq!(listeners(&leads_only, [slice.clone()].iter()), gateways);
        let own = Listeners { dns: addresses(&["0.0.0.0:53"]), http: addresses(&["0.0.0.0:8080"]), https: Vec::new() };
        let found = listeners(&own, [slice].iter());
        assert_eq!((found.dns, found.http), (own.dns, addresses(&["0.0.0.0:8080", "10.0.0.1:8080"])));
    }
}
