//! From what came of single namespaces to one whole. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use acme::{SecretName, WantedSet};
use gateway::l4::L4Table;

use super::part::Part;
use super::report::{CertificateReport, Report};
use super::whole::Whole;
use super::{Compiled, Facts, ServedCertificate, Settings, zones};
use crate::problem::Problem;

/// Puts everything together.
pub(super) fn merged<'p>(
    settings: &Settings,
    facts: &Facts,
    whole: Whole,
    parts: impl Iterator<Item = &'p Part> + Clone,
    wanted: Arc<WantedSet>,
) -> Compiled {
    let mut records: Vec<Vec<_>> = whole.records.into_iter().map(|records| vec![records]).collect();
    let mut l4 = L4Table::default();
    for part in parts.clone() {
        records.iter_mut().zip(&part.records).for_each(|(zone, part)| zone.push(Arc::clone(part)));
        l4.listeners.extend(part.l4.listeners.iter().map(|(bound, listener)| (*bound, listener.clone())));
    }
    let challenges = &facts.held.challenges;
    Compiled {
        table: gateway::RoutingTable::of(parts.clone().map(|part| &part.table)),
        certificates: served(whole.served, parts.clone()),
        challenges: gateway::Challenges { http01: challenges.http01.clone(), tls_alpn01: challenges.tls_alpn01.clone() },
        zones: zones::whole(settings, records),
        wanted,
        l4,
        allocations: whole.allocations,
        standing: Arc::new(whole.standing),
        problems: problems(whole.problems, parts.clone()),
        report: report(&whole.certificates, parts),
        public: whole.common.public,
        ownership: whole.common.rules,
    }
}

/// By source, as they are in each part.
fn served<'p>(platform: Vec<ServedCertificate>, parts: impl Iterator<Item = &'p Part>) -> Vec<ServedCertificate> {
    let mut served = platform;
    served.extend(parts.flat_map(|part| part.served.iter().cloned()));
    served.sort_by(|a, b| a.source.cmp(&b.source));
    served
}

fn problems<'p>(mut problems: Vec<Problem>, parts: impl Iterator<Item = &'p Part>) -> Vec<Problem> {
    problems.extend(parts.flat_map(|part| part.problems.iter().cloned()));
    problems.sort();
    problems.dedup();
    problems
}

fn report<'p>(platform: &BTreeMap<SecretName, Arc<CertificateReport>>, parts: impl Iterator<Item = &'p Part> + Clone) -> Report {
    let mut hosts: Vec<_> = parts.clone().flat_map(|part| part.hosts.iter().cloned()).collect();
    hosts.sort_by(|a, b| a.host.cmp(&b.host));
    let mut services: Vec<_> = parts.clone().flat_map(|part| part.services.iter().cloned()).collect();
    services.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    let mut refused: Vec<_> = parts.clone().flat_map(|part| part.refused.iter().cloned()).collect();
    refused.sort();
    let certificates: BTreeMap<_, _> = platform.iter().chain(parts.flat_map(|part| &part.certificates)).collect();
    Report { hosts, certificates: certificates.into_values().cloned().collect(), services, refused }
}
