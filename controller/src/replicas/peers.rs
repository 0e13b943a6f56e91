//! Where the replicas listen: each ready one at the ports of our own listeners. Pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use acme::Listeners;
use k8s_openapi::api::discovery::v1::EndpointSlice;

/// Label by which a Service's EndpointSlices are found.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Our own listeners, and the same ports of every ready replica. A listener on one kind of address is asked for on that kind only.
#[must_use]
pub fn listeners<'a>(own: &Listeners, slices: impl Iterator<Item = &'a EndpointSlice>) -> Listeners {
    let addresses: BTreeSet<IpAddr> = slices.flat_map(ready).collect();
    let everywhere = |own: &[SocketAddr]| {
        let ports: BTreeSet<(bool, u16)> = own.iter().map(|listener| (listener.is_ipv4(), listener.port())).collect();
        let of =
            |(v4, port): (bool, u16)| addresses.iter().filter(move |address| address.is_ipv4() == v4).map(move |address| (*address, port).into());
        let all: BTreeSet<SocketAddr> = own.iter().copied().chain(ports.into_iter().flat_map(of)).collect();
        all.into_iter().collect()
    };
    Listeners { dns: everywhere(&own.dns), http: everywhere(&own.http), https: everywhere(&own.https) }
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
    use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions};

    use super::*;

    fn endpoint(address: &str, ready: Option<bool>) -> Endpoint {
        let conditions = ready.map(|ready| EndpointConditions { ready: Some(ready), ..EndpointConditions::default() });
        Endpoint { addresses: vec![address.to_owned()], conditions, ..Endpoint::default() }
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
        let slice = EndpointSlice { endpoints: Some(endpoints), ..EndpointSlice::default() };
        let addresses = |list: &[&str]| list.iter().map(|address| address.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let own = Listeners { dns: addresses(&["0.0.0.0:53", "[::]:5353"]), http: addresses(&["10.0.0.1:80"]), https: Vec::new() };
        let expected = Listeners {
            dns: addresses(&["0.0.0.0:53", "10.0.0.1:53", "10.0.0.2:53", "[::]:5353", "[fd00::1]:5353"]),
            http: addresses(&["10.0.0.1:80", "10.0.0.2:80"]),
            https: Vec::new(),
        };
        assert_eq!(listeners(&own, [slice].iter()), expected);
        assert_eq!(listeners(&own, [].iter()).http, own.http);
    }
}
