//! Reads what one Service asks for: annotations of MetalLB and PureLB, and its spec. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Service, ServiceSpec};

use crate::objects::{ObjectKey, Stored};
use crate::problem::{Reason, Severity};

use super::{Asked, Claim, Families, Family, Port, Protocol, Request, TrafficPolicy};

/// What is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A list of addresses with something else in it.
    #[error("{value:?} is not an IP address; write up to two addresses separated by a comma, one of each family")]
    BadAddress {
        /// The field.
        field: String,
        /// The part that is no address.
        value: String,
    },
    /// Two addresses of one family, or more than two.
    #[error("{value:?} names more than one address of a family; a Service has at most one IPv4 and one IPv6 address")]
    TooManyAddresses {
        /// The field.
        field: String,
        /// The whole value.
        value: String,
    },
    /// A list of namespaces with something else in it.
    #[error("{value:?} is no name of a namespace; write the namespaces, separated by commas, each by its full name")]
    BadNamespace {
        /// The field.
        field: String,
        /// The part that is no namespace.
        value: String,
    },
    /// Two fields that ask for the same thing.
    #[error("{field} and {other} are both set; keep one of them")]
    Conflicting {
        /// The field.
        field: String,
        /// The other one.
        other: String,
    },
    /// A field of the spec that has no such value.
    #[error("{value:?} is not allowed here; {expected}")]
    BadField {
        /// The field.
        field: String,
        /// Its value.
        value: String,
        /// What may be written.
        expected: &'static str,
    },
    /// An annotation of these prefixes that is not known.
    #[error("this annotation has no effect here; those that have one are {}", .known.join(", "))]
    UnknownAnnotation {
        /// The field.
        field: String,
        /// Those of the same prefix that are known.
        known: Vec<String>,
    },
}

impl RequestError {
    /// The field that is wrong.
    #[must_use]
    pub fn field(&self) -> &str {
        match self {
            Self::BadAddress { field, .. }
            | Self::TooManyAddresses { field, .. }
            | Self::BadNamespace { field, .. }
            | Self::Conflicting { field, .. }
            | Self::BadField { field, .. }
            | Self::UnknownAnnotation { field, .. } => field,
        }
    }

    /// The reason that goes into the [`crate::problem::Problem`].
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::UnknownAnnotation { .. } => Reason::NoEffect,
            Self::BadField { .. } => Reason::InvalidField,
            _ if self.field().starts_with("spec.") => Reason::InvalidField,
            _ => Reason::InvalidAnnotation,
        }
    }

    /// Whether the Service gets no address for it.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::UnknownAnnotation { .. } => Severity::Warning,
            _ => Severity::Error,
        }
    }
}

/// What was read of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What it asks for.
    pub claim: Claim,
    /// What is wrong with it.
    pub errors: Vec<RequestError>,
}

/// One thing that can be asked for by annotations of MetalLB and of PureLB.
struct Wish {
    /// Behind each of [`METALLB`].
    metallb: &'static str,
    /// Behind [`PURELB`].
    purelb: &'static str,
}

/// The first one wins wherever it is present, even if it is empty, as in MetalLB.
const METALLB: [&str; 2] = ["metallb.io/", "metallb.universe.tf/"];
const PURELB: &str = "purelb.io/";
const OURS: &str = "vrata.io/";

const POOL: Wish = Wish { metallb: "address-pool", purelb: "service-group" };
const ADDRESSES: Wish = Wish { metallb: "loadBalancerIPs", purelb: "addresses" };
const SHARING: Wish = Wish { metallb: "allow-shared-ip", purelb: "allow-shared-ip" };
const WISHES: [Wish; 3] = [POOL, ADDRESSES, SHARING];

/// What the products write themselves; copies of live objects carry them.
const WRITTEN: [&str; 6] = [
    "metallb.io/ip-allocated-from-pool",
    "metallb.universe.tf/ip-allocated-from-pool",
    "purelb.io/allocated-by",
    "purelb.io/allocated-from",
    "purelb.io/announcing-IPv4",
    "purelb.io/announcing-IPv6",
];

const SPEC_ADDRESS: &str = "spec.loadBalancerIP";

/// Namespaces with which a Service agrees to share its addresses, separated by commas. MetalLB has no such thing: there, whoever knows the key may join.
const SHARING_WITH: &str = "vrata.io/allow-shared-ip-with";

/// Which Services are ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceClass {
    /// Services with exactly this `spec.loadBalancerClass`.
    pub name: Option<String>,
    /// Whether Services without one are ours too.
    pub default: bool,
}

impl Default for ServiceClass {
    fn default() -> Self {
        Self { name: None, default: true }
    }
}

impl ServiceClass {
    /// Whether the Service is of type LoadBalancer and ours. Those of another class are not touched at all.
    #[must_use]
    pub fn is_ours(&self, service: &Service) -> bool {
        let Some(spec) = service.spec.as_ref().filter(|spec| spec.type_.as_deref() == Some("LoadBalancer")) else { return false };
        match spec.load_balancer_class.as_deref().filter(|class| !class.is_empty()) {
            Some(class) => self.name.as_deref() == Some(class),
            None => self.default,
        }
    }
}

/// What a Service asks for. `None` when it is not for us: another type, or another `spec.loadBalancerClass`.
#[must_use]
pub fn claim_of(service: &Stored<Service>, class: &ServiceClass) -> Option<Reading> {
    let spec = service.object.spec.as_ref().filter(|_| class.is_ours(&service.object))?;
    let none = BTreeMap::new();
    let annotations = service.object.metadata.annotations.as_ref().unwrap_or(&none);
    let mut errors = Vec::new();
    let families = note(families(spec), &mut errors).unwrap_or(Families::Any);
    let ports = ports_of(spec, &mut errors);
    let request = Request {
        pool: note(wish(annotations, &POOL), &mut errors).flatten(),
        addresses: note(addresses(annotations, spec), &mut errors).flatten(),
        sharing_key: note(wish(annotations, &SHARING), &mut errors).flatten().map(|asked| asked.value),
    };
    let shares_with = note(shares_with(annotations), &mut errors).unwrap_or_default();
    let request = errors.is_empty().then_some(request);
    errors.extend(unknown(annotations));
    let claim = Claim {
        service: ObjectKey::of(&service.reference),
        age: service.age.clone(),
        families,
        ports,
        labels: service.object.metadata.labels.clone().unwrap_or_default(),
        traffic: traffic(spec),
        shares_with,
        request,
    };
    Some(Reading { claim, errors })
}

fn traffic(spec: &ServiceSpec) -> TrafficPolicy {
    match spec.external_traffic_policy.as_deref() {
        Some("Local") => TrafficPolicy::Local(spec.selector.clone().unwrap_or_default()),
        _ => TrafficPolicy::Cluster,
    }
}

/// A list that is not understood agrees to nothing.
fn shares_with(annotations: &BTreeMap<String, String>) -> Result<BTreeSet<String>, RequestError> {
    let Some(value) = annotations.get(SHARING_WITH) else { return Ok(BTreeSet::new()) };
    let namespaces: BTreeSet<String> = value.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    match namespaces.iter().find(|name| name.contains('.') || !crate::source::is_subdomain(name)) {
        Some(name) => Err(RequestError::BadNamespace { field: field_of(SHARING_WITH), value: name.clone() }),
        None => Ok(namespaces),
    }
}

/// The value; an error is put aside, so that the rest is read too.
fn note<T>(result: Result<T, RequestError>, errors: &mut Vec<RequestError>) -> Option<T> {
    result.map_err(|error| errors.push(error)).ok()
}

fn field_of(key: &str) -> String {
    format!("metadata.annotations[{key}]")
}

/// What is asked for by annotation; the two products may both be named if they agree. An empty value asks for nothing.
fn wish(annotations: &BTreeMap<String, String>, wish: &Wish) -> Result<Option<Asked<String>>, RequestError> {
    let read = |key: String| annotations.get(&key).map(|value| Asked { value: value.trim().to_owned(), field: field_of(&key) });
    let some = |asked: &Asked<String>| !asked.value.is_empty();
    let metallb = METALLB.iter().find_map(|prefix| read(format!("{prefix}{}", wish.metallb))).filter(some);
    let purelb = read(format!("{PURELB}{}", wish.purelb)).filter(some);
    match (metallb, purelb) {
        (Some(one), Some(other)) if one.value != other.value => Err(RequestError::Conflicting { field: one.field, other: other.field }),
        (one, other) => Ok(one.or(other)),
    }
}

/// The key under which it shares its address, as far as that can be read.
pub(super) fn sharing_key_of(annotations: &BTreeMap<String, String>) -> Option<String> {
    wish(annotations, &SHARING).ok().flatten().map(|asked| asked.value)
}

/// As in MetalLB, the annotation and `spec.loadBalancerIP` exclude each other.
fn addresses(annotations: &BTreeMap<String, String>, spec: &ServiceSpec) -> Result<Option<Asked<Vec<IpAddr>>>, RequestError> {
    let annotated = wish(annotations, &ADDRESSES)?;
    let in_spec = spec.load_balancer_ip.as_deref().map(str::trim).filter(|value| !value.is_empty());
    match (annotated, in_spec) {
        (Some(asked), Some(_)) => Err(RequestError::Conflicting { field: asked.field, other: SPEC_ADDRESS.to_owned() }),
        (Some(asked), None) => parse_addresses(asked).map(Some),
        (None, Some(value)) => parse_addresses(Asked { value: value.to_owned(), field: SPEC_ADDRESS.to_owned() }).map(Some),
        (None, None) => Ok(None),
    }
}

fn parse_addresses(asked: Asked<String>) -> Result<Asked<Vec<IpAddr>>, RequestError> {
    let Asked { value, field } = asked;
    let parse = |part: &str| part.trim().parse().map_err(|_| RequestError::BadAddress { field: field.clone(), value: part.trim().to_owned() });
    let addresses = value.split(',').map(parse).collect::<Result<Vec<IpAddr>, _>>()?;
    let families: BTreeSet<_> = addresses.iter().map(|address| Family::of(*address)).collect();
    if families.len() < addresses.len() {
        return Err(RequestError::TooManyAddresses { field, value });
    }
    Ok(Asked { value: addresses, field })
}

/// An API server fills these fields in; where there is none, they may be missing.
fn families(spec: &ServiceSpec) -> Result<Families, RequestError> {
    let listed = spec.ip_families.iter().flatten().enumerate().map(|(position, family)| match family.as_str() {
        "IPv4" => Ok(Family::V4),
        "IPv6" => Ok(Family::V6),
        _ => Err(bad_field(format!("spec.ipFamilies[{position}]"), family, "write IPv4 or IPv6")),
    });
    let listed = listed.collect::<Result<Vec<_>, _>>()?;
    let of_cluster = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip).filter_map(|ip| ip.parse().ok().map(Family::of));
    let first = listed.first().copied().or_else(|| of_cluster.into_iter().next());
    match spec.ip_family_policy.as_deref() {
        Some("PreferDualStack") => Ok(Families::PreferDual(first.unwrap_or(Family::V4))),
        Some("RequireDualStack") => Ok(Families::RequireDual(first.unwrap_or(Family::V4))),
        // The API server's default for two families.
        None if listed.len() > 1 => Ok(Families::RequireDual(listed[0])),
        None | Some("SingleStack") => Ok(first.map_or(Families::Any, Families::Single)),
        Some(other) => Err(bad_field("spec.ipFamilyPolicy".to_owned(), other, "write SingleStack, PreferDualStack or RequireDualStack")),
    }
}

/// Its ports.
pub(super) fn ports_of(spec: &ServiceSpec, errors: &mut Vec<RequestError>) -> BTreeSet<Port> {
    let mut ports = BTreeSet::new();
    for (position, port) in spec.ports.iter().flatten().enumerate() {
        let protocol = match port.protocol.as_deref() {
            None | Some("TCP") => Ok(Protocol::Tcp),
            Some("UDP") => Ok(Protocol::Udp),
            Some("SCTP") => Ok(Protocol::Sctp),
            Some(other) => Err(bad_field(format!("spec.ports[{position}].protocol"), other, "write TCP, UDP or SCTP")),
        };
        let number = u16::try_from(port.port).ok().filter(|number| *number > 0);
        let number =
            number.ok_or_else(|| bad_field(format!("spec.ports[{position}].port"), &port.port.to_string(), "write a number from 1 to 65535"));
        if let (Some(protocol), Some(port)) = (note(protocol, errors), note(number, errors)) {
            ports.insert(Port { protocol, port });
        }
    }
    ports
}

fn bad_field(field: String, value: &str, expected: &'static str) -> RequestError {
    RequestError::BadField { field, value: value.to_owned(), expected }
}

/// A misspelt pool is an address from another pool: it must not pass in silence.
fn unknown(annotations: &BTreeMap<String, String>) -> impl Iterator<Item = RequestError> {
    annotations.keys().filter_map(|key| {
        let known: Vec<String> = if let Some(prefix) = METALLB.iter().find(|prefix| key.starts_with(**prefix)) {
            WISHES.iter().map(|wish| format!("{prefix}{}", wish.metallb)).collect()
        } else if key.starts_with(PURELB) {
            WISHES.iter().map(|wish| format!("{PURELB}{}", wish.purelb)).collect()
        } else if key.starts_with(OURS) {
            vec![SHARING_WITH.to_owned()]
        } else {
            return None;
        };
        let is_known = known.contains(key) || WRITTEN.contains(&key.as_str());
        (!is_known).then(|| RequestError::UnknownAnnotation { field: field_of(key), known })
    })
}

#[cfg(test)]
mod tests;
