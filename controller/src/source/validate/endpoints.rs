//! discovery.k8s.io/v1 EndpointSlice and v1 Endpoints. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use k8s_openapi::api::core::v1::Endpoints;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::names::is_subdomain;
use super::port;
use crate::problem::Reason;
use crate::source::finding::Findings;

/// As in Kubernetes.
const MAX_ENDPOINTS: usize = 1_000;

/// The label that says which Service a slice belongs to.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// An EndpointSlice.
pub(in crate::source) fn endpoint_slice(slice: &mut EndpointSlice, found: &mut Findings) {
    let valid: fn(&str) -> bool = match slice.address_type.as_str() {
        "IPv4" => |text| text.parse::<Ipv4Addr>().is_ok(),
        "IPv6" => |text| text.parse::<Ipv6Addr>().is_ok(),
        "FQDN" => |text| is_subdomain(text),
        other => {
            let wrong = if other.is_empty() { "addressType is missing".to_owned() } else { format!("{other:?} is no addressType") };
            found.refuse("addressType", format!("{wrong}. Write IPv4, IPv6 or FQDN."));
            return;
        }
    };
    if !slice.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(SERVICE_LABEL)) {
        found.warn("metadata.labels", Reason::NoEffect, format!("There is no label {SERVICE_LABEL}; the slice belongs to no Service. Add it."));
    }
    let endpoints = slice.endpoints.as_deref().unwrap_or_default();
    if endpoints.len() > MAX_ENDPOINTS {
        found.refuse("endpoints", format!("{} endpoints; at most {MAX_ENDPOINTS} are allowed in one slice.", endpoints.len()));
    }
    for (index, endpoint) in endpoints.iter().enumerate() {
        if endpoint.addresses.is_empty() {
            found.refuse(format!("endpoints[{index}].addresses"), "The list of addresses is empty. Write an address.");
        }
        for (place, address) in endpoint.addresses.iter().enumerate().filter(|(_, address)| !valid(address)) {
            let field = format!("endpoints[{index}].addresses[{place}]");
            found.refuse(field, format!("{address:?} is no address of type {}.", slice.address_type));
        }
    }
    for (index, entry) in slice.ports.iter().flatten().enumerate() {
        let field = format!("ports[{index}]");
        entry.port.into_iter().for_each(|number| port(&format!("{field}.port"), number, found));
        protocol(&field, entry.protocol.as_deref(), found);
    }
}

/// An Endpoints object.
pub(in crate::source) fn endpoints(endpoints: &mut Endpoints, found: &mut Findings) {
    for (index, subset) in endpoints.subsets.iter().flatten().enumerate() {
        for (name, list) in [("addresses", &subset.addresses), ("notReadyAddresses", &subset.not_ready_addresses)] {
            for (place, address) in list.iter().flatten().enumerate().filter(|(_, address)| address.ip.parse::<IpAddr>().is_err()) {
                found.refuse(format!("subsets[{index}].{name}[{place}].ip"), format!("{:?} is no IP address.", address.ip));
            }
        }
        for (place, entry) in subset.ports.iter().flatten().enumerate() {
            let field = format!("subsets[{index}].ports[{place}]");
            port(&format!("{field}.port"), entry.port, found);
            protocol(&field, entry.protocol.as_deref(), found);
        }
    }
}

fn protocol(field: &str, protocol: Option<&str>, found: &mut Findings) {
    if let Some(other) = protocol.filter(|name| !["TCP", "UDP", "SCTP"].contains(name)) {
        found.refuse(format!("{field}.protocol"), format!("{other:?} is no protocol. Write TCP or UDP."));
    }
}
