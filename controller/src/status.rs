//! What the program says about itself: one immutable view a pass, published for the admin listener. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;

use crate::addresses::Standing;
use crate::compile::{CertificateReport, DnsReport, RefusedClaim, Report, ServiceReport, Settings, TlsReport};
use crate::ownership::Rules;
use crate::problem::{ObjectRef, Problem};
use crate::source::Read;

/// Whether requests should be sent here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// The first snapshot is not there yet.
    #[default]
    Starting,
    /// All is served.
    Serving,
    /// A stop was asked for; what is open is being finished.
    Draining,
}

/// This process among the replicas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replica {
    /// Its name among them.
    pub identity: String,
    /// Whether it orders certificates, allocates addresses and writes statuses.
    pub leader: bool,
}

/// What is published at one moment.
#[derive(Debug, Default)]
pub struct Published {
    /// Grows with each swap; 0 before the first.
    pub generation: u64,
    /// Whether requests should be sent here.
    pub phase: Phase,
    /// This process among others, where there are others.
    pub replica: Option<Replica>,
    /// What is served.
    pub view: Arc<View>,
}

/// What is served, for explanations and status.
#[derive(Debug, Default)]
pub struct View {
    /// Routes and certificates.
    pub snapshot: Arc<gateway::Snapshot>,
    /// Zones.
    pub zones: Arc<dns::ZoneSet>,
    /// What became of the objects.
    pub report: Report,
    /// What is wrong, worst first.
    pub problems: Vec<Problem>,
    /// Whether the objects are those that an earlier run read last.
    pub stale: bool,
    /// Objects of kinds that were passed over.
    pub ignored: BTreeMap<String, usize>,
    /// Addresses under which clients reach the gateway.
    pub public_addresses: Vec<IpAddr>,
    /// What the pass started from; `None` before the first.
    pub basis: Option<Basis>,
}

/// What a pass started from, for whoever has to judge one more object as that pass would have.
#[derive(Debug, Clone)]
pub struct Basis {
    /// The administrator's part.
    pub settings: Arc<Settings>,
    /// The objects.
    pub read: Arc<Read>,
    /// The rules of ownership.
    pub rules: Arc<Rules>,
    /// Who holds which address.
    pub standing: Arc<Standing>,
}

/// `/api/v1/status`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status<'a> {
    /// Version of the program.
    pub version: &'static str,
    /// Grows with each swap.
    pub generation: u64,
    /// Whether requests should be sent here.
    pub ready: bool,
    /// Whether what is served is what an earlier run read last, because the cluster cannot be asked.
    pub stale: bool,
    /// This process among others, where there are others.
    #[serde(flatten)]
    pub replica: Option<&'a Replica>,
    /// What is wrong, worst first.
    pub problems: &'a [Problem],
    /// Hosts that are served.
    pub hosts: Vec<HostStatus<'a>>,
    /// All routes.
    pub routes: Vec<RouteStatus<'a>>,
    /// Certificates that are wanted.
    pub certificates: &'a [Arc<CertificateReport>],
    /// Zones that are served.
    pub zones: Vec<ZoneStatus>,
    /// Services of type LoadBalancer with their addresses.
    pub addresses: &'a [Arc<ServiceReport>],
    /// Hosts that were asked for and not given.
    pub refused: &'a [Arc<RefusedClaim>],
    /// Objects of kinds that were passed over, by `apiVersion/kind`.
    pub ignored: &'a BTreeMap<String, usize>,
}

/// A host in the status.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostStatus<'a> {
    /// Its name.
    pub host: &'a str,
    /// Namespace that holds it.
    pub namespace: &'a str,
    /// The object that claimed it first.
    pub owner: &'a ObjectRef,
    /// HTTPS.
    pub tls: &'a TlsReport,
    /// DNS.
    pub dns: Option<&'a DnsReport>,
}

/// A route in the status.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteStatus<'a> {
    /// Host of the route.
    pub host: &'a str,
    /// Path as the rule has it.
    pub path: &'a str,
    /// `Exact` or `Prefix`.
    pub path_type: &'static str,
    /// `namespace/name` of the Ingress.
    pub ingress: String,
    /// `service:port`.
    pub backend: &'a str,
    /// Number of ready endpoints.
    pub endpoints: usize,
    /// Why requests are refused here, if they are.
    pub refused: Option<&'a str>,
}

/// A zone in the status.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ZoneStatus {
    /// Its apex.
    pub name: String,
    /// Its serial.
    pub serial: u32,
    /// Number of record sets.
    pub record_sets: usize,
}

impl Published {
    /// Why requests should not be sent here; `None` when they should.
    #[must_use]
    pub const fn unready(&self) -> Option<&'static str> {
        match self.phase {
            Phase::Starting => Some("starting: the first snapshot is not served yet"),
            Phase::Serving => None,
            Phase::Draining => Some("draining: a stop was asked for"),
        }
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> Status<'_> {
        let view = &*self.view;
        Status {
            version: env!("CARGO_PKG_VERSION"),
            generation: self.generation,
            ready: self.unready().is_none(),
            stale: view.stale,
            replica: self.replica.as_ref(),
            problems: &view.problems,
            hosts: view.hosts().collect(),
            routes: view.routes().collect(),
            certificates: &view.report.certificates,
            zones: view.zones.zones().iter().map(|zone| ZoneStatus::of(zone)).collect(),
            addresses: &view.report.services,
            refused: &view.report.refused,
            ignored: &view.ignored,
        }
    }

    /// The status as JSON.
    #[must_use]
    pub fn status_json(&self) -> String {
        serde_json::to_string(&self.status()).expect("plain values without maps of other keys than strings")
    }
}

impl View {
    fn hosts(&self) -> impl Iterator<Item = HostStatus<'_>> {
        self.report.hosts.iter().map(|host| HostStatus {
            host: &host.host,
            namespace: &host.namespace,
            owner: &host.owner,
            tls: &host.tls,
            dns: host.dns.as_ref(),
        })
    }

    fn routes(&self) -> impl Iterator<Item = RouteStatus<'_>> {
        self.report.hosts.iter().flat_map(|host| {
            host.routes.iter().map(|route| RouteStatus {
                host: &host.host,
                path: &route.path,
                path_type: route.path_type,
                ingress: format!("{}/{}", route.ingress.namespace.as_deref().unwrap_or_default(), route.ingress.name),
                backend: &route.backend,
                endpoints: route.endpoints,
                refused: route.refused.as_deref(),
            })
        })
    }
}

impl ZoneStatus {
    fn of(zone: &dns::Zone) -> Self {
        Self { name: zone.origin().to_string(), serial: zone.serial(), record_sets: zone.records().count() }
    }
}
