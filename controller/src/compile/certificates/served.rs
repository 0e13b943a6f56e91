//! Which certificate serves which host: the tenant's own, then the one that is held for it, then the zone's wildcard. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use acme::SecretName;
use gateway::certificates::ParsedCertificate;

use super::orders::Orders;
use super::{Scene, ServeRequest, wildcard_secret};
use crate::compile::findings::Findings;
use crate::compile::names::{host_name, parent, wildcard_base};
use crate::compile::parsed::Parser;
use crate::compile::secrets::{find, is_issued, tls_pair};
use crate::compile::{CertificateSource, Input, ServedCertificate};
use crate::problem::Reason;

/// How good a certificate is for a name; the lesser is the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Tenant,
    Held,
    Wildcard,
    Expired,
}

struct Choice {
    rank: Rank,
    source: CertificateSource,
    certificate: Arc<ParsedCertificate>,
}

/// The certificate of each name.
#[derive(Default)]
pub(crate) struct Served {
    names: BTreeMap<String, Choice>,
}

/// The names that have a certificate.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    names: std::collections::HashSet<String>,
}

impl Coverage {
    /// Whether a certificate answers for the host, itself or by a wildcard one label up.
    pub(crate) fn covers(&self, host: &str) -> bool {
        self.names.contains(host) || parent(host).is_some_and(|parent| self.names.contains(&format!("*.{parent}")))
    }
}

impl Served {
    /// Chooses; requests come from the oldest to the youngest.
    pub(super) fn choose(
        scene: Scene<'_, '_>,
        requests: &[ServeRequest<'_>],
        orders: &Orders<'_>,
        parser: &mut Parser<'_>,
        findings: &mut Findings,
    ) -> Self {
        let mut served = Self::platform(scene.input, parser);
        for request in requests {
            served.serve(scene, request, orders, parser, findings);
        }
        served
    }

    /// The wildcards of the zones.
    pub(crate) fn platform(input: Input<'_>, parser: &mut Parser<'_>) -> Self {
        let mut served = Self::default();
        for zone in &input.settings.zones {
            let secret = wildcard_secret(&zone.origin);
            if let Some(certificate) = held(input, &secret, parser) {
                let rank = if certificate.not_after() > input.facts.now { Rank::Wildcard } else { Rank::Expired };
                for name in [zone.origin.clone(), format!("*.{}", zone.origin)] {
                    served.offer(name, rank, &CertificateSource::Held(secret.clone()), &certificate);
                }
            }
        }
        served
    }

    fn offer(&mut self, name: String, rank: Rank, source: &CertificateSource, certificate: &Arc<ParsedCertificate>) {
        // An expired certificate must not hide a wildcard that still serves: exact names win at the handshake.
        let hides_wildcard = rank == Rank::Expired && self.for_host(&name).is_some_and(|(_, other)| other.not_after() > certificate.not_after());
        if !hides_wildcard && self.names.get(&name).is_none_or(|other| rank < other.rank) && certificate.is_for(&name) {
            self.names.insert(name, Choice { rank, source: source.clone(), certificate: Arc::clone(certificate) });
        }
    }

    /// Serves one request, after those of older ones.
    pub(super) fn serve(
        &mut self,
        scene: Scene<'_, '_>,
        request: &ServeRequest<'_>,
        orders: &Orders<'_>,
        parser: &mut Parser<'_>,
        findings: &mut Findings,
    ) {
        let secret = &request.secret;
        let is_ordered = orders.contains(secret);
        if let Some(certificate) = held(scene.input, secret, parser).filter(|_| is_ordered) {
            self.offer_hosts(scene, request, Rank::Held, &CertificateSource::Held(secret.clone()), &certificate);
        }
        match find(scene.input.objects, secret) {
            Some(stored) => match tls_pair(stored).map(|(chain, key)| parser.parse(secret, chain, key)) {
                Some(Ok(certificate)) => {
                    let rank = if is_issued(stored) { Rank::Held } else { Rank::Tenant };
                    self.judge(scene, request, &certificate, findings);
                    self.offer_hosts(scene, request, rank, &CertificateSource::Tenant(secret.clone()), &certificate);
                }
                Some(Err(error)) => {
                    let message = format!("the Secret {:?} cannot be served: {error}", secret.name);
                    self.unusable(request, Reason::InvalidSecret, &message, findings);
                }
                None => self.unusable(
                    request,
                    Reason::InvalidSecret,
                    &format!("the Secret {:?} has not both of tls.crt and tls.key", secret.name),
                    findings,
                ),
            },
            None if is_ordered => {}
            None => {
                let message = format!(
                    "there is no Secret {:?} in this namespace; create it, or ask for a certificate with kubernetes.io/tls-acme: \"true\"",
                    secret.name
                );
                self.unusable(request, Reason::MissingReference, &message, findings);
            }
        }
    }

    fn offer_hosts(
        &mut self,
        scene: Scene<'_, '_>,
        request: &ServeRequest<'_>,
        rank: Rank,
        source: &CertificateSource,
        certificate: &Arc<ParsedCertificate>,
    ) {
        let rank = if certificate.not_after() > scene.input.facts.now { rank } else { Rank::Expired };
        let own = || certificate.names().iter().filter_map(|name| host_name(name).ok()).collect();
        let hosts: Vec<String> = request.hosts.clone().unwrap_or_else(own);
        // Only hosts that somebody in this namespace holds: names in a certificate are no claim.
        for host in hosts.into_iter().filter(|host| scene.ownership.holder(host).is_some_and(|holder| holder.namespace == request.namespace)) {
            self.offer(host, rank, source, certificate);
        }
    }

    /// Tells what keeps a tenant's certificate from serving as asked.
    fn judge(&self, scene: Scene<'_, '_>, request: &ServeRequest<'_>, certificate: &ParsedCertificate, findings: &mut Findings) {
        if certificate.not_after() <= scene.input.facts.now {
            let message = format!("the certificate in the Secret {:?} has expired; renew it", request.secret.name);
            findings.error(request.subject, &request.field, Reason::InvalidSecret, message);
        }
        for host in request.hosts.iter().flatten().filter(|host| !certificate.is_for(host)) {
            let message =
                format!("the certificate in the Secret {:?} is not for {host:?}; it names {}", request.secret.name, certificate.names().join(", "));
            findings.error(request.subject, &request.field, Reason::InvalidSecret, message);
        }
    }

    fn unusable(&self, request: &ServeRequest<'_>, reason: Reason, message: &str, findings: &mut Findings) {
        let covered = |host: &String| {
            let wildcard = parent(host).map(|parent| format!("*.{parent}"));
            wildcard_base(host).is_none() && wildcard.is_some_and(|wildcard| self.names.contains_key(&wildcard))
        };
        match &request.hosts {
            Some(hosts) if hosts.iter().all(covered) => {
                findings.warning(request.subject, &request.field, reason, format!("{message}; until then the wildcard of the zone answers"));
            }
            _ => findings.error(request.subject, &request.field, reason, format!("{message}; until then a certificate that nobody trusts answers")),
        }
    }

    /// Whether the name itself has a certificate.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// The names that have a certificate.
    pub(crate) fn coverage(&self) -> Coverage {
        Coverage { names: self.names.keys().cloned().collect() }
    }

    /// The source and certificate that answer for a host.
    pub(crate) fn for_host(&self, host: &str) -> Option<(&CertificateSource, &Arc<ParsedCertificate>)> {
        let choice = self.names.get(host).or_else(|| self.names.get(&format!("*.{}", parent(host)?)))?;
        Some((&choice.source, &choice.certificate))
    }

    /// Certificates with their names, by Secret.
    pub(crate) fn certificates(&self) -> Vec<ServedCertificate> {
        let mut by_source: BTreeMap<&CertificateSource, ServedCertificate> = BTreeMap::new();
        for (name, choice) in &self.names {
            let make = || ServedCertificate { names: Vec::new(), source: choice.source.clone(), certificate: Arc::clone(&choice.certificate) };
            by_source.entry(&choice.source).or_insert_with(make).names.push(name.clone());
        }
        by_source.into_values().collect()
    }
}

fn held(input: Input<'_>, secret: &SecretName, parser: &mut Parser<'_>) -> Option<Arc<ParsedCertificate>> {
    let held = input.facts.held.certificates.get(secret)?;
    parser.parse(secret, held.chain_pem.as_bytes(), held.key_pem.as_bytes()).ok()
}
