//! What comes of the objects of namespaces that are compiled together. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use acme::{SecretName, WantedSet};
use dns::RecordSet;
use gateway::l4::L4Table;
use gateway::table::TablePart;

use super::backends::Backends;
use super::certificates::{self, Scene};
use super::findings::Findings;
use super::parsed::{ParsedCertificates, Parser};
use super::report::{HostReport, RefusedClaim, ServiceReport};
use super::summary::{self, Certificates};
use super::whole::{Held, Whole};
use super::zones::{self, Contents};
use super::{CertificateSource, Input, ServedCertificate, ingresses, issuers, l4, routes, services};
use crate::ownership::Ownership;
use crate::problem::{ObjectRef, Problem};

/// All of it: nothing in it is borrowed, and what it takes to put many of them together is cheap to copy.
#[derive(Debug, Default)]
pub(super) struct Part {
    /// Rules.
    pub(super) table: TablePart,
    /// Certificates that are served, without the platform's.
    pub(super) served: Vec<ServedCertificate>,
    /// Certificates that are wanted, and what is told of them.
    pub(super) wanted: WantedSet,
    pub(super) certificates: Certificates,
    /// Records by zone.
    pub(super) records: Vec<Arc<[RecordSet]>>,
    /// TCP and UDP.
    pub(super) l4: L4Table,
    /// What is told, sorted.
    pub(super) hosts: Vec<Arc<HostReport>>,
    pub(super) services: Vec<Arc<ServiceReport>>,
    pub(super) refused: Vec<Arc<RefusedClaim>>,
    pub(super) problems: Vec<Problem>,
    /// Certificates that were parsed for it.
    pub(super) parsed: ParsedCertificates,
}

impl Part {
    /// Compiles the namespaces of `input`.
    pub(super) fn compile(input: Input<'_>, whole: &Whole, known: &ParsedCertificates) -> Self {
        let Whole { common, held, .. } = whole;
        let mut findings = Findings::default();
        let mut parser = Parser::new(known);

        let views = ingresses::ours(input, &mut findings);
        let names = services::names(input, &mut findings);
        let mut issuers = issuers::of_namespaces(input, &mut parser, &mut findings);
        issuers.extend(common.issuers.iter().map(|(id, issuer)| (id.clone(), issuer.clone())));
        let certified = certificates::claimants(input, &issuers);
        let claims = views.iter().flat_map(ingresses::View::claims).chain(names.iter().flat_map(services::Names::claims));
        let claims = claims.chain(certified.iter().flat_map(certificates::Claimant::claims)).collect();
        let ownership = Ownership::decide(claims, Arc::clone(&common.rules));
        let refused = refusals(&views, &names, &ownership, &mut findings);

        let scene = Scene { input, ownership: &ownership, issuers: &issuers };
        let decided = certificates::decide(scene, &views, &mut parser, &mut findings);

        let backends = Backends::new(input, &mut findings);
        let (placed, backends) = routes::gather(&views, &ownership, backends, &decided.served.coverage(), &mut findings);
        let Contents { zones, named, records } = zones::contents(input, &views, &names, &ownership, &held.served, &mut findings);
        let (l4, services) = load_balancers(input, held, named, &backends, &mut findings);

        let hosts = summary::hosts(input, &ownership, &placed, &decided, &records);
        let own = |secret: &SecretName| !certificates::is_zone_wildcard(input.settings, secret);
        let wanted = decided.orders.iter().filter(|(secret, _)| own(secret)).map(|(secret, wanted)| (secret.clone(), wanted.clone())).collect();
        let certificates = summary::certificates(input, &wanted, &mut parser);
        let is_own = |served: &ServedCertificate| match &served.source {
            CertificateSource::Held(secret) | CertificateSource::Tenant(secret) => own(secret),
        };
        Self {
            table: TablePart::new(placed.into_iter().map(|placed| placed.rule)),
            served: decided.served.certificates().into_iter().filter(is_own).collect(),
            wanted: certificates::wanted_set(wanted, &issuers),
            certificates,
            records: zones,
            l4,
            hosts,
            services,
            refused,
            problems: findings.into_problems(),
            parsed: parser.into_parsed(),
        }
    }
}

/// Tells everybody which hosts they did not get.
fn refusals(
    views: &[ingresses::View<'_>],
    names: &[services::Names<'_>],
    ownership: &Ownership<'_>,
    findings: &mut Findings,
) -> Vec<Arc<RefusedClaim>> {
    let mut refused = Vec::new();
    let mut told = |host: &str, object: &ObjectRef, message: String| {
        refused.push(Arc::new(RefusedClaim { host: host.to_owned(), object: object.clone(), message }));
    };
    for view in views {
        let permit = |host: &str| ownership.permit(view.namespace(), host);
        view.report_refusals(permit, findings, |host, message| told(host, &view.stored.reference, message));
    }
    for service in names {
        let permit = |host: &str| ownership.permit(&service.key.namespace, host);
        service.report_refusals(permit, findings, |host, message| told(host, &service.stored.reference, message));
    }
    refused.sort_unstable();
    refused
}

/// Listeners and report of the Services of type LoadBalancer.
fn load_balancers(
    input: Input<'_>,
    held: &Held,
    mut named: BTreeMap<&ObjectRef, Vec<String>>,
    backends: &Backends<'_>,
    findings: &mut Findings,
) -> (L4Table, Vec<Arc<ServiceReport>>) {
    let mut table = L4Table::default();
    let mut reports = Vec::new();
    let ours = input.own(input.balancers).filter(|(_, stored)| input.settings.service_class.is_ours(&stored.object));
    for (key, stored) in ours {
        let addresses = summary::addresses(&held.served, key);
        let ports = l4::listen(input, key, stored, held.served.services.get(key), backends, &mut table, findings);
        let hostnames = named.remove(&stored.reference).unwrap_or_default();
        let (namespace, name) = (key.namespace.clone(), key.name.clone());
        let refused = held.without.get(key).cloned();
        let pending = held.pending.get(key).cloned().unwrap_or_default();
        reports.push(Arc::new(ServiceReport { namespace, name, addresses: addresses.to_vec(), pending, ports, hostnames, refused }));
    }
    (table, reports)
}
