//! What became of the objects, as plain values for people: `/api/v1/status`, the page, `vrata explain`. No secrets, no decisions.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::problem::{ObjectRef, Reason};

/// The whole report.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Hosts that are served, by name.
    pub hosts: Vec<Arc<HostReport>>,
    /// Certificates that are wanted, by Secret.
    pub certificates: Vec<Arc<CertificateReport>>,
    /// Services of type LoadBalancer, by namespace and name.
    pub services: Vec<Arc<ServiceReport>>,
    /// Hosts that objects asked for and did not get, by host.
    pub refused: Vec<Arc<RefusedClaim>>,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostReport {
    /// Its name, `*.`-wildcards as they are written, `*` for the catch-all.
    pub host: String,
    /// Namespace that holds it.
    pub namespace: Arc<str>,
    /// The object that claimed it first.
    pub owner: ObjectRef,
    /// HTTPS.
    pub tls: TlsReport,
    /// DNS; `None` when the name is outside the zones that are served here.
    pub dns: Option<DnsReport>,
    /// Its routes, in order of path.
    pub routes: Vec<RouteReport>,
}

/// HTTPS of a host.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsReport {
    /// Where it stands.
    pub status: TlsStatus,
    /// `namespace/name` of the Secret that serves it.
    pub secret: Option<Arc<str>>,
    /// End of the certificate.
    #[serde(serialize_with = "rfc3339")]
    pub not_after: Option<Timestamp>,
}

/// Where HTTPS of a host stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum TlsStatus {
    /// A certificate of the host's own.
    Own,
    /// The wildcard of a zone.
    Wildcard,
    /// A certificate is being ordered; until then the default certificate answers.
    Issuing,
    /// The certificate cannot be had; see the problems.
    Failed,
    /// No certificate: the default one answers.
    None,
}

/// DNS of a host.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DnsReport {
    /// The zone.
    pub zone: Arc<str>,
    /// Its records, `A 192.0.2.1` or `CNAME name.`.
    pub records: Arc<[String]>,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteReport {
    /// Path as the rule has it.
    pub path: String,
    /// `Exact` or `Prefix`.
    pub path_type: &'static str,
    /// The Ingress it is from.
    pub ingress: ObjectRef,
    /// `service:port`; empty when the route is refused.
    pub backend: String,
    /// Number of ready endpoints.
    pub endpoints: usize,
    /// Why requests are refused here, if they are.
    pub refused: Option<String>,
}

/// A certificate.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateReport {
    /// `namespace/name` of its Secret.
    pub secret: String,
    /// DNS names.
    pub names: Vec<String>,
    /// Who signs.
    pub issuer: String,
    /// The object that wants it.
    pub wanted_by: String,
    /// Where it stands.
    pub status: CertificateStatus,
    /// End of the certificate that is held.
    #[serde(serialize_with = "rfc3339")]
    pub not_after: Option<Timestamp>,
    /// When its renewal, or the next attempt, starts.
    #[serde(serialize_with = "rfc3339")]
    pub next_attempt: Option<Timestamp>,
    /// What the last attempt failed with.
    pub failure: Option<String>,
}

/// Where a certificate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum CertificateStatus {
    /// Held.
    Ready,
    /// Held, and its renewal failed.
    RenewalFailing,
    /// Being ordered.
    Issuing,
    /// The last attempt failed and there is none.
    Failed,
}

/// A Service of type LoadBalancer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceReport {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Allocated addresses.
    pub addresses: Vec<std::net::IpAddr>,
    /// Addresses that are allocated and not served before its status has them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<std::net::IpAddr>,
    /// Ports.
    pub ports: Vec<ServicePortReport>,
    /// DNS names that lead to it.
    pub hostnames: Vec<String>,
    /// Why it has not all addresses that it asks for, if it has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusedAddress>,
}

/// Why a Service has not all addresses that it asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusedAddress {
    /// The field that cannot be met.
    pub field: String,
    /// Why, in one word.
    pub reason: Reason,
    /// Why, for its tenant.
    pub message: String,
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePortReport {
    /// Port on the allocated address.
    pub port: u16,
    /// `TCP` or `UDP`.
    pub protocol: &'static str,
    /// Number of ready endpoints.
    pub endpoints: usize,
}

/// A host that an object asked for and did not get.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusedClaim {
    /// The host.
    pub host: String,
    /// Who asked.
    pub object: ObjectRef,
    /// Why not.
    pub message: String,
}

#[allow(clippy::ref_option, reason = "serde asks for a reference")]
fn rfc3339<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.collect_str(time),
        None => serializer.serialize_none(),
    }
}
