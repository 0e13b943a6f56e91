//! From objects to everything that is served: the heart of the program. Pure and total: no I/O, no clock, no panic; the same input always gives the
//! same output, and what is wrong with an object is a [`Problem`] beside the output, never the end of it.
//!
//! ```text
//! Objects ─┬→ ownership ─┬→ certificates ─→ routes ─┬→ Compiled ─→ gateway, dns, acme
//! Settings ┤             └→ l4 (addresses) ─→ zones ┘       └────→ problems, report ─→ people
//! Facts ───┘
//! ```
//! What this does not do: build a zone with its serial, parse keys for the TLS acceptor, write anything. Whoever runs it does that with the result.

mod alone;
mod annotations;
mod backends;
mod certificates;
mod findings;
mod ingresses;
mod issuers;
mod l4;
mod named;
mod names;
mod parsed;
mod policy;
mod public;
mod references;
mod report;
mod routes;
mod secrets;
mod services;
mod settings;
mod summary;
mod zones;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

pub(crate) use alone::Pass;
pub use annotations::documentation as annotations_page;
pub(crate) use annotations::others::{OLD_PREFIX as OLD_DNS_PREFIX, PREFIX as DNS_PREFIX};
pub use certificates::platform_secrets;
pub(crate) use ingresses::is_ours;
pub use named::named_secrets;
pub(crate) use names::host_name;
pub use parsed::ParsedCertificates;
pub use public::PublicAddresses;
pub use report::{
    CertificateReport, CertificateStatus, DnsReport, HostReport, RefusedAddress, RefusedClaim, Report, RouteReport, ServicePortReport, ServiceReport,
    TlsReport, TlsStatus,
};
pub(crate) use services::is_in_zones;
pub use settings::{ClassRules, Settings, SettingsError, ZoneSettings};

use gateway::certificates::ParsedCertificate;

use crate::addresses::Allocations;
use crate::objects::{ObjectKey, Objects};
use crate::ownership::{Ownership, Policy, Rules};
use crate::problem::{ObjectRef, Problem};
use backends::Backends;
use certificates::Scene;
use findings::Findings;
use l4::Addresses;
use parsed::Parser;
pub(crate) use secrets::{is_issued, tls_texts};
use zones::Contents;

/// What is held and was decided before, read back from where it persists.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Certificates, their states and the challenges of the moment.
    pub held: Arc<acme::Held>,
    /// Addresses that Services hold.
    pub allocations: Allocations,
    /// [`Compiled::parsed`] of the last compilation: what is in it need not be parsed again. It has no influence on the result.
    pub parsed: ParsedCertificates,
    /// The last policy of ownership that could be read, for when that of the ConfigMap cannot.
    pub policy: Option<Arc<Policy>>,
    /// The time, for what is expired.
    pub now: SystemTime,
}

impl Default for Facts {
    fn default() -> Self {
        let (held, allocations, parsed) = (Arc::default(), Allocations::default(), ParsedCertificates::default());
        Self { held, allocations, parsed, policy: None, now: SystemTime::UNIX_EPOCH }
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
    pub wanted: acme::WantedSet,
    /// Where clients reach the gateway.
    pub public: PublicAddresses,
    /// TCP and UDP listeners of Services.
    pub l4: gateway::l4::L4Table,
    /// Addresses that Services hold from now on. They have to persist before `l4` and `zones` are served; with [`Settings::serves_held_only`] these two
    /// have only what was held before.
    pub allocations: Allocations,
    /// What decided about hosts beside seniority; its policy is the last one that could be read.
    pub ownership: Arc<Rules>,
    /// Certificates that were parsed, for the next compilation.
    pub parsed: ParsedCertificates,
    /// Findings, sorted, without duplicates.
    pub problems: Vec<Problem>,
    /// The same for people: plain values for status, explanations and the page.
    pub report: Report,
}

/// What a zone holds.
#[derive(Debug, Clone, PartialEq)]
pub struct ZoneContent {
    /// Its apex.
    pub origin: dns::Name,
    /// The SOA, but for the serial.
    pub soa: dns::Soa,
    /// All other records, sorted by owner and type; ready for [`dns::Zone::build`].
    pub records: Vec<dns::RecordSet>,
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
}

/// Compiles everything.
#[must_use]
pub fn compile(objects: &Objects, settings: &Settings, facts: &Facts) -> Compiled {
    let public = public::addresses(objects, settings);
    let input = Input { objects, settings, facts, public: &public };
    let mut findings = Findings::default();
    let mut parser = Parser::new(&facts.parsed);

    let views = ingresses::ours(input, &mut findings);
    let names = services::names(input, &mut findings);
    let issuers = issuers::usable(input, &mut parser, &mut findings);
    let certified = certificates::claimants(input, &issuers);
    let claims = views.iter().flat_map(ingresses::View::claims).chain(names.iter().flat_map(services::Names::claims));
    let claims = claims.chain(certified.iter().flat_map(certificates::Claimant::claims)).collect();
    let ownership_rules = Arc::new(policy::rules(input, &mut findings));
    let ownership = Ownership::decide(claims, Arc::clone(&ownership_rules));
    let refused = refusals(&views, &names, &ownership, &mut findings);

    let scene = Scene { input, ownership: &ownership, issuers: &issuers };
    let decided = certificates::decide(scene, &views, &mut parser, &mut findings);

    let backends = Backends::new(input, &mut findings);
    let (placed, backends) = routes::gather(&views, &ownership, backends, &decided.served.coverage(), &mut findings);
    let Addresses { allocations, refused: without } = l4::addresses(input, &mut findings);
    let served = if settings.serves_held_only { facts.allocations.common(&allocations) } else { allocations.clone() };
    let Contents { zones, named, records } = zones::contents(input, &views, &names, &ownership, &served, &mut findings);
    let (l4, services) = load_balancers(input, (&served, without), named, &backends, &mut findings);

    let hosts = summary::hosts(input, &ownership, &placed, &decided, &records);
    let report = Report { hosts, certificates: summary::certificates(input, &decided.orders, &mut parser), services, refused };
    Compiled {
        table: gateway::RoutingTable::build(placed.into_iter().map(|placed| placed.rule)),
        certificates: decided.served.certificates(),
        challenges: gateway::Challenges { http01: facts.held.challenges.http01.clone(), tls_alpn01: facts.held.challenges.tls_alpn01.clone() },
        zones,
        wanted: certificates::wanted_set(&decided.orders, &issuers),
        l4,
        allocations,
        public,
        ownership: ownership_rules,
        parsed: parser.into_parsed(),
        problems: findings.into_problems(),
        report,
    }
}

/// Tells everybody which hosts they did not get.
fn refusals(views: &[ingresses::View<'_>], names: &[services::Names<'_>], ownership: &Ownership<'_>, findings: &mut Findings) -> Vec<RefusedClaim> {
    let mut refused = Vec::new();
    for view in views {
        let permit = |host: &str| ownership.permit(view.namespace(), host);
        view.report_refusals(permit, findings, |host, message| {
            refused.push(RefusedClaim { host: host.to_owned(), object: view.stored.reference.clone(), message });
        });
    }
    for service in names {
        let permit = |host: &str| ownership.permit(&service.key.namespace, host);
        service.report_refusals(permit, findings, |host, message| {
            refused.push(RefusedClaim { host: host.to_owned(), object: service.stored.reference.clone(), message });
        });
    }
    refused.sort_unstable();
    refused
}

/// Listeners and report of the Services of type LoadBalancer.
fn load_balancers(
    input: Input<'_>,
    (allocations, mut without): (&Allocations, BTreeMap<ObjectKey, RefusedAddress>),
    mut named: BTreeMap<&ObjectRef, Vec<String>>,
    backends: &Backends<'_>,
    findings: &mut Findings,
) -> (gateway::l4::L4Table, Vec<ServiceReport>) {
    let mut table = gateway::l4::L4Table::default();
    let mut reports = Vec::new();
    for (key, stored) in input.objects.services.iter().filter(|(_, stored)| input.settings.service_class.is_ours(&stored.object)) {
        let addresses = summary::addresses(allocations, key);
        let ports = l4::listen(input, key, stored, allocations.services.get(key), backends, &mut table, findings);
        let hostnames = named.remove(&stored.reference).unwrap_or_default();
        let (namespace, name) = (key.namespace.clone(), key.name.clone());
        let refused = without.remove(key);
        reports.push(ServiceReport { namespace, name, addresses: addresses.to_vec(), ports, hostnames, refused });
    }
    (table, reports)
}

#[cfg(test)]
mod tests;
