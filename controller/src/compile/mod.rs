//! From objects to everything that is served: the heart of the program. Pure and total: no I/O, no clock, no panic; the same input always gives the
//! same output, and what is wrong with an object is a [`Problem`] beside the output, never the end of it.
//!
//! ```text
//! Objects ─┬→ ownership ─┬→ certificates ─→ routes ─┬→ Compiled ─→ gateway, dns, acme
//! Settings ┤             └→ l4 (addresses) ─→ zones ┘       └────→ problems, report ─→ people
//! Facts ───┘
//! ```
//! Namespaces are compiled in groups that have nothing to do with each other (`partition`), each to a `part`; `whole` is what is decided for all of them, and
//! `merge` puts everything together. `memory` keeps parts from one compilation to the next.
//!
//! What this does not do: build a zone with its serial, parse keys for the TLS acceptor, write anything. Whoever runs it does that with the result.

mod alone;
mod annotations;
mod backends;
mod certificates;
mod findings;
mod ingresses;
mod issuers;
mod l4;
mod memory;
mod merge;
mod named;
mod names;
mod parsed;
mod part;
mod partition;
mod policy;
mod public;
mod references;
mod report;
mod routes;
mod secrets;
mod services;
mod settings;
mod summary;
mod whole;
mod zones;

use std::sync::Arc;
use std::time::SystemTime;

pub(crate) use alone::Pass;
pub use annotations::documentation as annotations_page;
pub(crate) use annotations::others::{OLD_PREFIX as OLD_DNS_PREFIX, PREFIX as DNS_PREFIX};
pub use certificates::platform_secrets;
pub(crate) use ingresses::is_ours;
pub use memory::Memory;
pub use named::NamedSecrets;
pub(crate) use names::host_name;
pub use public::PublicAddresses;
pub use report::{
    CertificateReport, CertificateStatus, DnsReport, HostReport, RefusedAddress, RefusedClaim, Report, RouteReport, ServicePortReport, ServiceReport,
    TlsReport, TlsStatus,
};
pub(crate) use services::is_in_zones;
pub use settings::{ClassRules, Settings, SettingsError, ZoneSettings};

use gateway::certificates::ParsedCertificate;
use k8s_openapi::api::core::v1::Service;

use crate::addresses::{Allocations, Standing};
use crate::objects::{Kind, ObjectKey, Objects, Stored};
use crate::ownership::{Policy, Rules};
use crate::problem::Problem;
pub(crate) use secrets::{is_issued, tls_texts};

/// What is held and was decided before, read back from where it persists.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Certificates, their states and the challenges of the moment.
    pub held: Arc<acme::Held>,
    /// Addresses that Services hold.
    pub allocations: Allocations,
    /// The last policy of ownership that could be read, for when that of the ConfigMap cannot.
    pub policy: Option<Arc<Policy>>,
    /// The time, for what is expired.
    pub now: SystemTime,
}

impl Default for Facts {
    fn default() -> Self {
        Self { held: Arc::default(), allocations: Allocations::default(), policy: None, now: SystemTime::UNIX_EPOCH }
    }
}

/// Everything that is to be served, wanted, written and told.
#[derive(Debug, Default)]
pub struct Compiled {
    /// Which route serves a host and path.
    pub table: gateway::RoutingTable,
    /// Certificates for the TLS acceptor. No two have a name in common.
    pub certificates: Vec<ServedCertificate>,
    /// HTTP-01 and TLS-ALPN-01 challenges that the gateway answers.
    pub challenges: gateway::Challenges,
    /// The zones, in the order of the configuration. A serial is not part of them.
    pub zones: Vec<ZoneContent>,
    /// Certificates that are to be held.
    pub wanted: Arc<acme::WantedSet>,
    /// Where clients reach the gateway.
    pub public: PublicAddresses,
    /// TCP and UDP listeners of Services.
    pub l4: gateway::l4::L4Table,
    /// Addresses that Services hold from now on. They have to persist before `l4` and `zones` are served; with [`Settings::serves_held_only`] these two
    /// have only what was held before.
    pub allocations: Allocations,
    /// The same, to judge one more Service by.
    pub standing: Arc<Standing>,
    /// What decided about hosts beside seniority; its policy is the last one that could be read.
    pub ownership: Arc<Rules>,
    /// Findings, sorted, without duplicates.
    pub problems: Vec<Problem>,
    /// The same for people: plain values for status, explanations and the page.
    pub report: Report,
}

/// What a zone holds.
#[derive(Debug, Clone)]
pub struct ZoneContent {
    /// Its apex.
    pub origin: dns::Name,
    /// The SOA, but for the serial.
    pub soa: dns::Soa,
    /// All other records in parts, of which the unchanged ones are shared from one compilation to the next; ready for [`dns::Zone::build`].
    pub records: Vec<Arc<[dns::RecordSet]>>,
}

impl PartialEq for ZoneContent {
    fn eq(&self, other: &Self) -> bool {
        let parts = || self.records.iter().zip(&other.records);
        self.origin == other.origin
            && self.soa == other.soa
            && self.records.len() == other.records.len()
            && parts().all(|(ours, theirs)| Arc::ptr_eq(ours, theirs) || ours == theirs)
    }
}

impl ZoneContent {
    /// All records, by owner and type.
    #[must_use]
    pub fn sets(&self) -> Vec<&dns::RecordSet> {
        let mut sets: Vec<_> = self.records.iter().flat_map(|part| &**part).collect();
        sets.sort_by(|a, b| a.owner.cmp(&b.owner).then_with(|| a.record_type().map(u16::from).cmp(&b.record_type().map(u16::from))));
        sets
    }
}

/// A certificate and the server names it answers for.
#[derive(Debug, Clone)]
pub struct ServedCertificate {
    /// Exact names and `*.` wildcards, lower case, sorted; each one of the certificate's own.
    pub names: Vec<String>,
    /// Which Secret it is from.
    pub source: CertificateSource,
    /// Chain and key.
    pub certificate: Arc<ParsedCertificate>,
}

/// Where a certificate is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum CertificateSource {
    /// Ordered and held by this program.
    Held(acme::SecretName),
    /// Brought by a tenant in a Secret.
    Tenant(acme::SecretName),
}

/// What is compiled: read-only, handed around whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a> {
    pub(crate) objects: &'a Objects,
    pub(crate) settings: &'a Settings,
    pub(crate) facts: &'a Facts,
    pub(crate) public: &'a PublicAddresses,
    /// Services of type LoadBalancer.
    pub(crate) balancers: &'a Kind<Service>,
    /// Namespaces that are compiled; what their objects name may be in others.
    pub(crate) namespaces: &'a [String],
}

impl<'a> Input<'a> {
    /// Objects of the namespaces that are compiled.
    pub(crate) fn own<T>(self, kind: &'a Kind<T>) -> impl Iterator<Item = (&'a ObjectKey, &'a Arc<Stored<T>>)> {
        self.namespaces.iter().flat_map(move |namespace| kind.of(namespace))
    }
}

/// Compiles everything.
#[must_use]
pub fn compile(objects: &Objects, settings: &Settings, facts: &Facts) -> Compiled {
    compile_changes(&mut Memory::default(), objects, settings, facts)
}

/// The same, where `memory` has what has not changed since the last time.
#[must_use]
pub fn compile_changes(memory: &mut Memory, objects: &Objects, settings: &Settings, facts: &Facts) -> Compiled {
    let (whole, parts, wanted) = memory.compile(objects, settings, facts);
    merge::merged(settings, facts, whole, parts, wanted)
}

#[cfg(test)]
mod tests;
