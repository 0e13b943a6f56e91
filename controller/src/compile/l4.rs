//! Services of type LoadBalancer: their addresses and what listens on them. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use gateway::l4::{L4Table, Listener, Transport};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Service, ServicePort};

use super::annotations::values::cidrs;
use super::backends::Backends;
use super::findings::{Findings, annotation};
use super::report::{RefusedAddress, ServicePortReport};
use super::{Input, Settings};
use crate::addresses::{Allocation, Allocations, Claim, PoolRanges, Port, Protocol, Reading, ServiceClass, Standing, allocate, claim_of};
use crate::config::Traffic;
use crate::objects::{ObjectKey, Stored};
use crate::problem::{Reason, Severity};

/// The annotation before `spec.loadBalancerSourceRanges`.
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

/// Idle time after which a TCP connection is ended: Linux's conntrack gives established ones five days, HAProxy's habit is hours; long enough for
/// desktops and databases that keep quiet.
const TCP_IDLE: Duration = Duration::from_secs(4 * 3600);
/// Idle time after which a UDP session is ended (conntrack's for streams is 120 s).
const UDP_IDLE: Duration = Duration::from_secs(120);

/// The pools of the configuration and those of objects; what is wrong with the latter is told on them.
pub(crate) fn pools<'a>(input: Input<'a>, findings: &mut Findings) -> Cow<'a, PoolRanges> {
    let (pools, faults) = input.settings.pools.with_objects(input.objects, &input.settings.pool_namespace);
    for fault in faults {
        if let Some(stored) = input.objects.address_pools.get(&fault.pool) {
            findings.push(fault.severity, (&**stored).into(), fault.field, fault.reason, fault.message);
        }
    }
    pools
}

/// Tells what is wrong with what a Service asks for.
pub(crate) fn report_request(stored: &Stored<Service>, reading: &Reading, findings: &mut Findings) {
    for error in &reading.errors {
        findings.push(error.severity(), stored.into(), error.field().to_owned(), error.reason(), error.to_string());
    }
}

/// Who gets which address, and who does not.
pub(crate) struct Addresses {
    pub(crate) allocations: Allocations,
    pub(crate) refused: BTreeMap<ObjectKey, RefusedAddress>,
    pub(crate) standing: Standing,
}

/// Decides who gets which address.
pub(crate) fn addresses(input: Input<'_>, findings: &mut Findings) -> Addresses {
    let mut claims = Vec::new();
    let mut refused = BTreeMap::new();
    for stored in input.balancers.values() {
        let Some(reading) = claim_of(stored, &input.settings.service_class) else { continue };
        report_request(stored, &reading, findings);
        let unreadable = reading.errors.iter().find(|error| error.severity() == Severity::Error);
        refused.extend(unreadable.map(|error| (reading.claim.service.clone(), refusal(error.field(), error.reason(), error))));
        claims.push(Arc::new(reading.claim));
    }
    let others = held_by_others(input);
    claims.extend(others.iter().cloned());
    let pools = pools(input, findings);
    let (mut outcome, standing) = allocate(&pools, &input.settings.quota, &input.facts.allocations, &claims);
    for (key, why) in &outcome.refusals {
        if let Some(stored) = input.objects.services.get(key) {
            findings.push(Severity::Error, (&**stored).into(), why.field().to_owned(), why.reason(), why.to_string());
            refused.insert(key.clone(), refusal(why.field(), why.reason(), why));
        }
    }
    for other in &others {
        outcome.allocations.services.remove(&other.service);
        refused.remove(&other.service);
    }
    Addresses { allocations: outcome.allocations, refused, standing }
}

fn refusal(field: &str, reason: Reason, why: &impl std::fmt::Display) -> RefusedAddress {
    RefusedAddress { field: field.to_owned(), reason, message: why.to_string() }
}

/// Services of other classes that have addresses of our pools, as where two allocators run side by side: they keep them, and nobody else gets them.
fn held_by_others(input: Input<'_>) -> Vec<Arc<Claim>> {
    let held = input.facts.allocations.services.keys().filter(|_| input.settings.serves_held_only);
    let others = held.filter_map(|key| input.objects.services.get(key)).filter(|stored| !input.settings.service_class.is_ours(&stored.object));
    let claim = |stored: &Arc<Stored<Service>>| {
        let class = stored.object.spec.as_ref().and_then(|spec| spec.load_balancer_class.clone());
        claim_of(stored, &ServiceClass { name: class, default: true }).map(|reading| Arc::new(Claim { request: None, ..reading.claim }))
    };
    others.filter_map(claim).collect()
}

/// Listeners of one Service, and its ports for the report.
pub(crate) fn listen(
    input: Input<'_>,
    key: &ObjectKey,
    stored: &Stored<Service>,
    held: Option<&Allocation>,
    backends: &Backends<'_>,
    table: &mut L4Table,
    findings: &mut Findings,
) -> Vec<ServicePortReport> {
    let Some(spec) = &stored.object.spec else { return Vec::new() };
    let allowed_sources = source_ranges(stored, findings);
    let addresses: &[IpAddr] = held.map_or(&[], |held| &held.addresses);
    let client_ip_affinity = spec.session_affinity.as_deref() == Some("ClientIP");
    let mut ports = Vec::new();
    for (index, port) in spec.ports.iter().flatten().enumerate() {
        let Some((number, transport)) = port_of(stored, index, port, findings) else { continue };
        let endpoints = backends.ready(&key.namespace, &key.name, port);
        if endpoints.is_empty() && !addresses.is_empty() {
            let message = format!("port {number} has no ready endpoint; connections are reset until one is");
            findings.warning(stored, format!("spec.ports[{index}]"), Reason::NoEndpoints, message);
        }
        let (protocol, idle_timeout) = if transport == Transport::Tcp { ("TCP", TCP_IDLE) } else { ("UDP", UDP_IDLE) };
        ports.push(ServicePortReport { port: number, protocol, endpoints: endpoints.len() });
        for address in addresses.iter().filter(|_| is_forwarded(input.settings, held, number, transport)) {
            let listener = Listener {
                service: key.to_string(),
                endpoints: endpoints.clone(),
                allowed_sources: allowed_sources.clone(),
                client_ip_affinity,
                idle_timeout,
            };
            table.listeners.insert((SocketAddr::new(*address, number), transport), listener);
        }
    }
    ports
}

/// A port that is new has to be held before it is served, as an address has: another Service that shares the address may have it.
fn is_forwarded(settings: &Settings, held: Option<&Allocation>, number: u16, transport: Transport) -> bool {
    let protocol = if transport == Transport::Tcp { Protocol::Tcp } else { Protocol::Udp };
    let is_held = || held.is_some_and(|held| held.ports.contains(&Port { protocol, port: number }));
    settings.traffic == Traffic::Forwarder && (!settings.serves_held_only || is_held())
}

fn port_of(stored: &Stored<Service>, index: usize, port: &ServicePort, findings: &mut Findings) -> Option<(u16, Transport)> {
    let transport = match port.protocol.as_deref() {
        None | Some("" | "TCP") => Transport::Tcp,
        Some("UDP") => Transport::Udp,
        Some(other) => {
            let message = format!("{other} is not forwarded; only TCP and UDP are");
            findings.error(stored, format!("spec.ports[{index}].protocol"), Reason::InvalidField, message);
            return None;
        }
    };
    match u16::try_from(port.port).ok().filter(|number| *number > 0) {
        Some(number) => Some((number, transport)),
        None => {
            findings.error(stored, format!("spec.ports[{index}].port"), Reason::InvalidField, format!("{} is no port; write 1 to 65535", port.port));
            None
        }
    }
}

/// The clients that may pass; a list that cannot be read admits nobody.
pub(crate) fn source_ranges(stored: &Stored<Service>, findings: &mut Findings) -> Option<Vec<IpNet>> {
    let listed = stored.object.spec.as_ref().and_then(|spec| spec.load_balancer_source_ranges.as_ref()).filter(|ranges| !ranges.is_empty());
    let legacy = stored.object.metadata.annotations.as_ref().and_then(|all| all.get(SOURCE_RANGES)).filter(|ranges| !ranges.trim().is_empty());
    let (text, field, reason) = match (listed, legacy) {
        (Some(ranges), _) => (ranges.join(","), "spec.loadBalancerSourceRanges".to_owned(), Reason::InvalidField),
        (None, Some(ranges)) => (ranges.clone(), annotation(SOURCE_RANGES), Reason::InvalidAnnotation),
        (None, None) => return None,
    };
    Some(cidrs(&text).unwrap_or_else(|part| {
        findings.error(
            stored,
            field,
            reason,
            format!("{part:?} is neither an address nor a CIDR; write for instance 192.0.2.0/24; nobody passes until it is mended"),
        );
        Vec::new()
    }))
}
