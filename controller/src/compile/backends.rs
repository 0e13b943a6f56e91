//! From the Service that a rule or a port names to the endpoints behind it. Pure.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use gateway::table::{Backend, Endpoint, Protocol, may_reach_host};
use k8s_openapi::api::core::v1::{ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{IngressServiceBackend, ServiceBackendPort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Input;
use super::findings::Findings;
use crate::objects::ObjectKey;
use crate::problem::Reason;

/// The label that ties an EndpointSlice to its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Why a backend cannot be had.
#[derive(Debug, Clone)]
pub(crate) struct Missing {
    /// Field below the backend.
    pub(crate) field: &'static str,
    /// Why.
    pub(crate) reason: Reason,
    /// What to do.
    pub(crate) message: String,
}

/// Namespace, Service, port by number and by name, protocol.
type Known<'a> = (&'a str, &'a str, Option<i32>, Option<&'a str>, Protocol);

type Resolved = Result<Arc<Backend>, Missing>;

/// Finds backends, each one once.
pub(crate) struct Backends<'a> {
    input: Input<'a>,
    slices: HashMap<(&'a str, &'a str), Vec<&'a EndpointSlice>>,
    known: HashMap<Known<'a>, Resolved>,
}

/// The port that a rule names.
enum Port<'a> {
    Number(i32),
    Name(&'a str),
}

impl<'a> Backends<'a> {
    /// Sorts the endpoint slices by Service.
    pub(crate) fn new(input: Input<'a>, findings: &mut Findings) -> Self {
        let mut slices: HashMap<_, Vec<_>> = HashMap::new();
        for (key, stored) in input.own(&input.objects.endpoint_slices) {
            match stored.object.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_NAME)) {
                Some(service) => slices.entry((key.namespace.as_str(), service.as_str())).or_default().push(&stored.object),
                None => {
                    let message = format!("has no label {SERVICE_NAME}, so it belongs to no Service; add it");
                    findings.hint(&**stored, "metadata.labels", Reason::NoEffect, message);
                }
            }
        }
        let backends = Self { input, slices, known: HashMap::new() };
        backends.report_forbidden(findings);
        backends
    }

    /// Tells of addresses that are never served, once an object.
    fn report_forbidden(&self, findings: &mut Findings) {
        let told = |forbidden: Vec<(String, &str)>| {
            let ((field, first), others) = forbidden.split_first().map(|(first, others)| (first.clone(), others.len()))?;
            let others = if others == 0 { String::new() } else { format!(" (and {others} more)") };
            let why = "is loopback, link-local, multicast or unspecified: it leads into the gateway's own machine or network";
            Some((field, format!("{first:?}{others} {why}; it gets no requests; give the address of the app")))
        };
        let is_forbidden = |address: &str| address.parse().is_ok_and(|address| !self.may_serve(address));
        for (_, stored) in self.input.own(&self.input.objects.endpoint_slices) {
            let endpoints = stored.object.endpoints.iter().flatten().enumerate();
            let addresses =
                endpoints.flat_map(|(i, endpoint)| endpoint.addresses.iter().enumerate().map(move |(j, address)| (i, j, address.as_str())));
            let forbidden = addresses.filter(|(.., address)| is_forbidden(address));
            if let Some((field, message)) = told(forbidden.map(|(i, j, address)| (format!("endpoints[{i}].addresses[{j}]"), address)).collect()) {
                findings.error(&**stored, field, Reason::EndpointRefused, message);
            }
        }
        for (_, stored) in self.input.own(&self.input.objects.endpoints) {
            let subsets = stored.object.subsets.iter().flatten().enumerate();
            let addresses =
                subsets.flat_map(|(i, subset)| subset.addresses.iter().flatten().enumerate().map(move |(j, address)| (i, j, address.ip.as_str())));
            let forbidden = addresses.filter(|(.., address)| is_forbidden(address));
            if let Some((field, message)) = told(forbidden.map(|(i, j, address)| (format!("subsets[{i}].addresses[{j}].ip"), address)).collect()) {
                findings.error(&**stored, field, Reason::EndpointRefused, message);
            }
        }
    }

    /// The backend that a rule names, in the namespace of its Ingress.
    pub(crate) fn resolve(&mut self, namespace: &'a str, named: &'a IngressServiceBackend, protocol: Protocol) -> Resolved {
        static NO_PORT: ServiceBackendPort = ServiceBackendPort { name: None, number: None };
        let port = named.port.as_ref().unwrap_or(&NO_PORT);
        let known = (namespace, named.name.as_str(), port.number, port.name.as_deref(), protocol);
        if let Some(resolved) = self.known.get(&known) {
            return resolved.clone();
        }
        let resolved = self.find(namespace, &named.name, port, protocol).map(Arc::new);
        self.known.insert(known, resolved.clone());
        resolved
    }

    fn find(&self, namespace: &str, name: &str, port: &ServiceBackendPort, protocol: Protocol) -> Result<Backend, Missing> {
        let (port, written) = match (port.number, port.name.as_deref()) {
            (Some(number), _) => (Port::Number(number), number.to_string()),
            (None, Some(name)) => (Port::Name(name), name.to_owned()),
            (None, None) => return Err(missing("service.port", Reason::InvalidField, "has neither a number nor a name; write one".into())),
        };
        let no_service = || missing("service.name", Reason::MissingReference, format!("there is no Service {name:?} in this namespace; create it"));
        let stored = self.input.objects.services.get(&ObjectKey::new(namespace, name)).ok_or_else(no_service)?;
        let spec = stored.object.spec.as_ref().ok_or_else(no_service)?;
        let external = spec.external_name.as_deref().filter(|_| spec.type_.as_deref() == Some("ExternalName"));
        let (endpoints, server_name) = match external {
            Some(external) => (vec![self.external(name, external, spec, &port)?], external.trim_end_matches('.').to_ascii_lowercase()),
            None => {
                let found = find_port(spec, &port).ok_or_else(|| no_port(name, spec, &written))?;
                let addresses = self.ready(namespace, name, found);
                (addresses.into_iter().map(Endpoint::Address).collect(), format!("{name}.{namespace}.svc"))
            }
        };
        let (namespace, service) = (namespace.to_owned(), name.to_owned());
        Ok(Backend { name: format!("{namespace}-{service}-{written}"), namespace, service, port: written, protocol, server_name, endpoints })
    }

    fn external(&self, service: &str, name: &str, spec: &ServiceSpec, port: &Port<'_>) -> Result<Endpoint, Missing> {
        let refused =
            |reason, why: &str| missing("service.name", reason, format!("the Service {service:?} has the externalName {name:?}, which {why}"));
        let host = name.trim_end_matches('.').to_ascii_lowercase();
        // Never loopback, also where endpoints may be: what a name leads to is looked at by the gateway, which knows of no exception.
        if !may_reach_host(&host) {
            let why =
                "is loopback, link-local, multicast or unspecified: it leads into the gateway's own machine or network; name another host there";
            return Err(refused(Reason::EndpointRefused, why));
        }
        if host.is_empty() || host.len() > 253 {
            return Err(refused(Reason::InvalidField, "is no DNS name"));
        }
        let target = match (find_port(spec, port), port) {
            (Some(found), _) => match found.target_port {
                Some(IntOrString::Int(number)) => number,
                _ => found.port,
            },
            (None, Port::Number(number)) if spec.ports.as_ref().is_none_or(Vec::is_empty) => *number,
            (None, Port::Number(number)) => return Err(no_port(service, spec, &number.to_string())),
            (None, Port::Name(name)) => return Err(no_port(service, spec, name)),
        };
        let number = u16::try_from(target).ok().filter(|number| *number > 0).ok_or_else(|| no_port(service, spec, &target.to_string()))?;
        Ok(Endpoint::Name(host, number))
    }

    /// Ready endpoints of a Service's port, sorted, each once.
    pub(crate) fn ready(&self, namespace: &str, service: &str, port: &ServicePort) -> Vec<SocketAddr> {
        let mut addresses = match self.slices.get(&(namespace, service)) {
            Some(slices) => slices.iter().flat_map(|slice| in_slice(slice, port)).collect(),
            None => self.in_endpoints(namespace, service, port),
        };
        addresses.retain(|address| self.may_serve(address.ip()));
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// Endpoints objects, for Services without an EndpointSlice; what is not ready is not among `addresses`.
    fn in_endpoints(&self, namespace: &str, service: &str, port: &ServicePort) -> Vec<SocketAddr> {
        let Some(stored) = self.input.objects.endpoints.get(&ObjectKey::new(namespace, service)) else { return Vec::new() };
        let subsets = stored.object.subsets.iter().flatten();
        subsets
            .flat_map(|subset| {
                let fits = |name: Option<&str>, protocol: Option<&str>| is_port(port, name, protocol);
                let numbers =
                    subset.ports.iter().flatten().filter(move |found| fits(found.name.as_deref(), found.protocol.as_deref())).map(|found| found.port);
                let ips = subset.addresses.iter().flatten().filter_map(|address| address.ip.parse::<IpAddr>().ok()).collect::<Vec<_>>();
                numbers
                    .filter_map(|number| u16::try_from(number).ok())
                    .flat_map(move |number| ips.clone().into_iter().map(move |ip| SocketAddr::new(ip, number)))
            })
            .collect()
    }

    fn may_serve(&self, address: IpAddr) -> bool {
        self.input.settings.may_serve(address)
    }
}

fn missing(field: &'static str, reason: Reason, message: String) -> Missing {
    Missing { field, reason, message }
}

fn no_port(service: &str, spec: &ServiceSpec, written: &str) -> Missing {
    let ports = spec.ports.iter().flatten().map(|port| match &port.name {
        Some(name) => format!("{} ({name})", port.port),
        None => port.port.to_string(),
    });
    let ports = ports.collect::<Vec<_>>().join(", ");
    missing("service.port", Reason::MissingReference, format!("the Service {service:?} has no port {written}; its ports are: {ports}"))
}

fn find_port<'s>(spec: &'s ServiceSpec, port: &Port<'_>) -> Option<&'s ServicePort> {
    // Rules speak HTTP: of a UDP and a TCP port of one number the latter is meant.
    spec.ports.iter().flatten().filter(|found| found.protocol.as_deref().unwrap_or("TCP") == "TCP").find(|found| match port {
        Port::Number(number) => found.port == *number,
        Port::Name(name) => found.name.as_deref() == Some(name),
    })
}

/// Whether the port of a slice is the Service's: they are tied by name.
fn is_port(port: &ServicePort, name: Option<&str>, protocol: Option<&str>) -> bool {
    name.unwrap_or_default() == port.name.as_deref().unwrap_or_default() && protocol.unwrap_or("TCP") == port.protocol.as_deref().unwrap_or("TCP")
}

fn in_slice(slice: &EndpointSlice, port: &ServicePort) -> Vec<SocketAddr> {
    let ports = slice.ports.iter().flatten().filter(|found| is_port(port, found.name.as_deref(), found.protocol.as_deref()));
    let numbers: Vec<u16> = ports.filter_map(|found| u16::try_from(found.port?).ok()).collect();
    let ready = slice.endpoints.iter().flatten().filter(|endpoint| endpoint.conditions.as_ref().and_then(|all| all.ready) != Some(false));
    let addresses = ready.flat_map(|endpoint| &endpoint.addresses).filter_map(|address| address.parse::<IpAddr>().ok());
    addresses.flat_map(|ip| numbers.iter().map(move |number| SocketAddr::new(ip, *number))).collect()
}
