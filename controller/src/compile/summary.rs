//! The report, from what was decided. Pure.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::SystemTime;

use acme::{CertificateState, SecretName, Wanted};
use gateway::table::{Action, HostPattern, PathMatch, Route};
use jiff::Timestamp;

use super::certificates::{Decided, Orders};
use super::names::wildcard_base;
use super::parsed::Parser;
use super::report::{CertificateReport, CertificateStatus, DnsReport, HostReport, RouteReport, TlsReport, TlsStatus};
use super::routes::Placed;
use super::secrets::{find, is_issued, tls_pair};
use super::zones::zone_of;
use super::{CertificateSource, Input, ZoneContent};
use crate::ownership::{CATCH_ALL, Ownership};

/// All hosts that are held, by name.
pub(crate) fn hosts(
    input: Input<'_>,
    ownership: &Ownership<'_>,
    rules: &[Placed<'_>],
    decided: &Decided<'_>,
    zones: &[ZoneContent],
) -> Vec<HostReport> {
    let mut routes: HashMap<String, Vec<RouteReport>> = HashMap::with_capacity(rules.len());
    for placed in rules {
        if let Some(view) = placed.view {
            let host = match &placed.rule.host {
                HostPattern::Exact(host) => host.clone(),
                HostPattern::Wildcard(base) => format!("*.{base}"),
                HostPattern::Any => CATCH_ALL.to_owned(),
            };
            routes.entry(host).or_default().push(route(&placed.rule.path, &placed.rule.route, &view.stored.reference));
        }
    }
    let mut records = records_by_owner(zones);
    let pending = pending(input, &decided.orders);
    let mut hosts: Vec<HostReport> = ownership
        .hosts()
        .map(|(host, holder)| HostReport {
            host: host.to_owned(),
            namespace: holder.namespace.to_owned(),
            owner: holder.object.clone(),
            tls: tls(host, decided, &pending),
            dns: zone_of(&input.settings.zones, wildcard_base(host).unwrap_or(host))
                .map(|index| DnsReport { zone: input.settings.zones[index].origin.clone(), records: records.remove(host).unwrap_or_default() }),
            routes: routes.remove(host).unwrap_or_default(),
        })
        .collect();
    hosts.sort_unstable_by(|a, b| a.host.cmp(&b.host));
    hosts
}

fn route(path: &PathMatch, route: &Route, ingress: &crate::problem::ObjectRef) -> RouteReport {
    let (path, path_type) = match path {
        PathMatch::Exact(path) => (path.clone(), "Exact"),
        PathMatch::Prefix(path) => (path.clone(), "Prefix"),
    };
    let (backend, endpoints, refused) = match &route.action {
        Action::Forward(backend) => (format!("{}:{}", backend.service, backend.port), backend.endpoints.len(), None),
        Action::Fail { status, reason } => (String::new(), 0, Some(format!("{status}: {reason}"))),
    };
    RouteReport { path, path_type, ingress: ingress.clone(), backend, endpoints, refused }
}

fn records_by_owner(zones: &[ZoneContent]) -> HashMap<String, Vec<String>> {
    let mut records: HashMap<String, Vec<String>> = HashMap::with_capacity(zones.iter().map(|zone| zone.records.len()).sum());
    for set in zones.iter().flat_map(|zone| &zone.records) {
        let mut owner = set.owner.to_ascii();
        owner.make_ascii_lowercase();
        owner.truncate(owner.trim_end_matches('.').len());
        records.entry(owner).or_default().extend(set.data.iter().map(|data| format!("{} {data}", data.record_type())));
    }
    records
}

/// Hosts whose own certificate is wanted and not there: whether its order failed.
fn pending<'o>(input: Input<'_>, orders: &'o Orders<'_>) -> HashMap<&'o str, bool> {
    let held = &input.facts.held;
    let open = orders.iter().filter(|(secret, _)| !held.certificates.contains_key(secret));
    let names = open.flat_map(|(secret, wanted)| {
        let failed = matches!(held.states.get(secret), Some(CertificateState::Failed(_)));
        wanted.names.iter().map(move |name| (name.as_str(), failed))
    });
    names.collect()
}

fn tls(host: &str, decided: &Decided<'_>, pending: &HashMap<&str, bool>) -> TlsReport {
    if let Some((source, certificate)) = decided.served.for_host(host) {
        let (CertificateSource::Held(secret) | CertificateSource::Tenant(secret)) = source;
        let status = if secret.namespace == SecretName::PLATFORM { TlsStatus::Wildcard } else { TlsStatus::Own };
        return TlsReport { status, secret: Some(secret.to_string()), not_after: timestamp(certificate.not_after()) };
    }
    let wildcard = host.split_once('.').map(|(_, parent)| format!("*.{parent}"));
    let status = match pending.get(host).or_else(|| pending.get(wildcard.as_deref()?)) {
        Some(true) => TlsStatus::Failed,
        Some(false) => TlsStatus::Issuing,
        None => TlsStatus::None,
    };
    TlsReport { status, secret: None, not_after: None }
}

/// All certificates that are wanted, by Secret.
pub(crate) fn certificates(input: Input<'_>, orders: &Orders<'_>, parser: &mut Parser<'_>) -> Vec<CertificateReport> {
    orders.iter().map(|(secret, wanted)| certificate(input, secret, wanted, parser)).collect()
}

fn certificate(input: Input<'_>, secret: &SecretName, wanted: &Wanted, parser: &mut Parser<'_>) -> CertificateReport {
    let held = &input.facts.held;
    let not_after = held.certificates.get(secret).map(|held| held.not_after).or_else(|| issued_elsewhere(input, secret, parser));
    let (status, next_attempt, failure) = match held.states.get(secret) {
        Some(CertificateState::Ready { renew_at, renewal_failure: None }) => (CertificateStatus::Ready, Some(*renew_at), None),
        Some(CertificateState::Ready { renewal_failure: Some(failure), .. }) => {
            (CertificateStatus::RenewalFailing, Some(failure.retry_at), Some(failure.message.clone()))
        }
        Some(CertificateState::Failed(failure)) => (CertificateStatus::Failed, Some(failure.retry_at), Some(failure.message.clone())),
        // Another replica has obtained it, and knows when it is renewed.
        None if not_after.is_some() => (CertificateStatus::Ready, None, None),
        Some(CertificateState::Issuing) | None => (CertificateStatus::Issuing, None, None),
    };
    CertificateReport {
        secret: secret.to_string(),
        names: wanted.names.iter().cloned().collect(),
        issuer: wanted.issuer.to_string(),
        wanted_by: wanted.wanted_by.clone(),
        status,
        not_after: not_after.and_then(timestamp),
        next_attempt: next_attempt.and_then(timestamp),
        failure,
    }
}

/// The end of a certificate that an issuer had written into its Secret, and that is not held here.
fn issued_elsewhere(input: Input<'_>, secret: &SecretName, parser: &mut Parser<'_>) -> Option<SystemTime> {
    let stored = find(input.objects, secret).filter(|stored| is_issued(stored))?;
    let (chain, key) = tls_pair(stored)?;
    parser.parse(secret, chain, key).ok().map(|certificate| certificate.not_after())
}

fn timestamp(time: SystemTime) -> Option<Timestamp> {
    Timestamp::try_from(time).ok()
}

/// Addresses of a Service.
pub(crate) fn addresses<'a>(allocations: &'a crate::addresses::Allocations, key: &crate::objects::ObjectKey) -> &'a [IpAddr] {
    allocations.services.get(key).map_or(&[], |held| &held.addresses)
}
