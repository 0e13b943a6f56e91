//! v1 Service. Pure.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::names::is_subdomain;
use super::{port, port_name};
use crate::source::finding::Findings;

const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

/// A Service.
pub(in crate::source) fn service(service: &mut Service, found: &mut Findings) {
    let Some(spec) = &service.spec else {
        found.refuse("spec", "spec is missing. Write spec.ports.");
        return;
    };
    match spec.type_.as_deref().unwrap_or("ClusterIP") {
        "ExternalName" => external_name(spec, found),
        "ClusterIP" | "NodePort" | "LoadBalancer" => {
            let headless = spec.cluster_ip.as_deref() == Some("None");
            if spec.ports.iter().flatten().next().is_none() && !headless {
                found.refuse("spec.ports", "There is no port. Write spec.ports.");
            }
        }
        other => found.refuse("spec.type", format!("{other:?} is no type of Service. Write ClusterIP, NodePort, LoadBalancer or ExternalName.")),
    }
    ports(spec.ports.as_deref().unwrap_or_default(), found);
    for (index, range) in spec.load_balancer_source_ranges.iter().flatten().enumerate() {
        if range.trim().parse::<IpNet>().is_err() {
            let field = format!("spec.loadBalancerSourceRanges[{index}]");
            found.refuse(field, format!("{range:?} is no CIDR. Write for instance 192.0.2.0/24; a single address is 192.0.2.1/32."));
        }
    }
    if let Some(address) = spec.load_balancer_ip.as_deref().filter(|text| !text.is_empty() && text.parse::<IpAddr>().is_err()) {
        found.refuse("spec.loadBalancerIP", format!("{address:?} is no IP address."));
    }
}

fn external_name(spec: &ServiceSpec, found: &mut Findings) {
    let name = spec.external_name.as_deref().unwrap_or_default();
    if !is_subdomain(name.strip_suffix('.').unwrap_or(name)) {
        let wrong = if name.is_empty() { "externalName is missing".to_owned() } else { format!("{name:?} is no DNS name in lower case") };
        found.refuse("spec.externalName", format!("{wrong}. A Service of type ExternalName names a host."));
    }
}

fn ports(ports: &[ServicePort], found: &mut Findings) {
    let (mut names, mut numbers) = (HashSet::new(), HashSet::new());
    for (index, entry) in ports.iter().enumerate() {
        let field = format!("spec.ports[{index}]");
        port(&format!("{field}.port"), entry.port, found);
        let protocol = entry.protocol.as_deref().unwrap_or("TCP");
        if !PROTOCOLS.contains(&protocol) {
            found.refuse(format!("{field}.protocol"), format!("{protocol:?} is no protocol. Write TCP or UDP."));
        }
        if !numbers.insert((protocol, entry.port)) {
            found.refuse(format!("{field}.port"), format!("{protocol} port {} is there twice. Remove one.", entry.port));
        }
        match entry.name.as_deref().filter(|name| !name.is_empty()) {
            None if ports.len() > 1 => found.refuse(format!("{field}.name"), "name is missing. With several ports each needs a name."),
            Some(name) if !super::is_label(name) => found.refuse(format!("{field}.name"), format!("{name:?} is no RFC 1123 label.")),
            Some(name) if !names.insert(name) => found.refuse(format!("{field}.name"), format!("Name {name:?} is there twice. Rename one.")),
            _ => {}
        }
        match &entry.target_port {
            Some(IntOrString::Int(number)) if *number != 0 => port(&format!("{field}.targetPort"), *number, found),
            Some(IntOrString::String(name)) => port_name(&format!("{field}.targetPort"), name, found),
            _ => {}
        }
    }
}
