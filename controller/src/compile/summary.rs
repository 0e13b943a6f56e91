//! The report, from what was decided. Pure.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use acme::{CertificateState, SecretName, Wanted};
use gateway::table::{Action, PathMatch, Route};
use jiff::Timestamp;

use super::certificates::{Decided, Orders, is_zone_wildcard};
use super::names::wildcard_base;
use super::parsed::Parser;
use super::report::{CertificateReport, CertificateStatus, DnsReport, HostReport, RouteReport, TlsReport, TlsStatus};
use super::routes::Placed;
use super::secrets::{find, is_issued, tls_pair};
use super::zones::zone_of;
use super::{CertificateSource, Input, Settings};
use crate::ownership::{Holder, Ownership};

/// The hosts that are held, by name; `records` are what is told of their DNS.
pub(crate) fn hosts(
    input: Input<'_>,
    ownership: &Ownership<'_>,
    rules: &[Placed<'_>],
    decided: &Decided<'_>,
    records: &HashMap<&str, Arc<[String]>>,
) -> Vec<Arc<HostReport>> {
    let mut routes: HashMap<&str, Vec<RouteReport>> = HashMap::with_capacity(rules.len());
    for placed in rules {
        if let Some((view, host)) = placed.from {
            routes.entry(host).or_default().push(route(placed.rule.path(), &placed.rule.route, &view.stored.reference));
        }
    }
    let zones: Vec<Arc<str>> = input.settings.zones.iter().map(|zone| zone.origin.as_str().into()).collect();
    let dns = |host: &str| {
        let zone = Arc::clone(&zones[zone_of(&input.settings.zones, wildcard_base(host).unwrap_or(host))?]);
        Some(DnsReport { zone, records: records.get(host).cloned().unwrap_or_default() })
    };
    let mut tls = Tls { settings: input.settings, decided, pending: pending(input, &decided.orders), secrets: HashMap::new() };
    let mut held: Vec<_> = ownership.hosts().collect();
    held.sort_unstable_by_key(|(host, _)| *host);
    let report = |(host, holder): (&str, &Holder<'_>)| HostReport {
        host: host.to_owned(),
        namespace: holder.object.namespace.clone().unwrap_or_else(|| holder.namespace.into()),
        owner: holder.object.clone(),
        tls: tls.report(host),
        dns: dns(host),
        routes: routes.remove(host).unwrap_or_default(),
    };
    held.into_iter().map(report).map(Arc::new).collect()
}

fn route(path: &PathMatch, route: &Route, ingress: &crate::problem::ObjectRef) -> RouteReport {
    let (path, path_type) = match path {
        PathMatch::Exact(path) => (path.to_string(), "Exact"),
        PathMatch::Prefix(path) => (path.to_string(), "Prefix"),
    };
    let (backend, endpoints, refused) = match &route.action {
        Action::Forward(backend) => (format!("{}:{}", backend.service, backend.port), backend.endpoints.len(), None),
        Action::Fail(failure) => (String::new(), 0, Some(format!("{}: {}", failure.status, failure.reason))),
    };
    RouteReport { path, path_type, ingress: ingress.clone(), backend, endpoints, refused }
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

/// What there is to tell of HTTPS.
struct Tls<'d> {
    settings: &'d Settings,
    decided: &'d Decided<'d>,
    pending: HashMap<&'d str, bool>,
    /// Names of Secrets that were told before: most hosts have the same.
    secrets: HashMap<&'d SecretName, Arc<str>>,
}

impl Tls<'_> {
    fn report(&mut self, host: &str) -> TlsReport {
        if let Some((source, certificate)) = self.decided.served.for_host(host) {
            let (CertificateSource::Held(secret) | CertificateSource::Tenant(secret)) = source;
            let status = if is_zone_wildcard(self.settings, secret) { TlsStatus::Wildcard } else { TlsStatus::Own };
            let secret = self.secrets.entry(secret).or_insert_with(|| secret.to_string().into());
            return TlsReport { status, secret: Some(Arc::clone(secret)), not_after: timestamp(certificate.not_after()) };
        }
        let wildcard = host.split_once('.').map(|(_, parent)| format!("*.{parent}"));
        let status = match self.pending.get(host).or_else(|| self.pending.get(wildcard.as_deref()?)) {
            Some(true) => TlsStatus::Failed,
            Some(false) => TlsStatus::Issuing,
            None => TlsStatus::None,
        };
        TlsReport { status, secret: None, not_after: None }
    }
}

/// Certificates that are wanted, by Secret.
pub(crate) type Certificates = BTreeMap<SecretName, Arc<CertificateReport>>;

/// What is told of these.
pub(crate) fn certificates(input: Input<'_>, wanted: &BTreeMap<SecretName, Wanted>, parser: &mut Parser<'_>) -> Certificates {
    wanted.iter().map(|(secret, wanted)| (secret.clone(), Arc::new(certificate(input, secret, wanted, parser)))).collect()
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
