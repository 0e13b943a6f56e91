//! Which certificates are wanted: the wildcards of the zones, then what Ingresses and Certificates ask for. Pure.
//!
//! Wildcard first: a host one label below a zone is served by the zone's wildcard and never costs an order. What else somebody asks for gets its own
//! certificate in a Secret of its own namespace; deeper hosts that nobody asks for get theirs beside the wildcard.

mod hosts;
mod objects;
mod orders;
mod requests;
mod served;

use std::collections::{BTreeMap, BTreeSet};

use acme::{ChallengeKind, Issuer, IssuerId, SecretName, Wanted, WantedSet};

use super::Input;
use super::findings::{Findings, Subject};
use super::ingresses::View;
use super::issuers::Issuers;
use super::names::{is_within, parent, wildcard_base};
use super::parsed::Parser;
use super::settings::ZoneSettings;
use crate::ownership::Ownership;

pub(crate) use hosts::host_secret;
pub(crate) use objects::{Claimant, claimants};
pub(crate) use orders::{Orders, report_platform_failures};
pub(super) use requests::COMMON_NAME;
pub(crate) use requests::judge;
pub(crate) use served::{Coverage, Served};

/// Most names of one certificate: public CAs sign no more.
const MOST_NAMES: usize = 100;

/// What deciding about certificates needs.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a, 's> {
    pub(crate) input: Input<'a>,
    pub(crate) ownership: &'s Ownership<'s>,
    pub(crate) issuers: &'s Issuers,
}

/// A Secret that an Ingress serves hosts with.
pub(crate) struct ServeRequest<'a> {
    /// The Secret.
    pub(crate) secret: SecretName,
    /// Hosts that its namespace may use; `None`: whatever the certificate is for.
    pub(crate) hosts: Option<Vec<String>>,
    /// Who asks.
    pub(crate) subject: Subject<'a>,
    /// Where it says so.
    pub(crate) field: String,
    /// Namespace of the Ingress.
    pub(crate) namespace: &'a str,
}

/// What is wanted, and what is served of what is held.
pub(crate) struct Decided<'a> {
    pub(crate) orders: Orders<'a>,
    pub(crate) served: Served,
}

/// Decides about all certificates.
pub(crate) fn decide<'a>(scene: Scene<'a, '_>, views: &'a [View<'a>], parser: &mut Parser<'_>, findings: &mut Findings) -> Decided<'a> {
    let mut orders = Orders::default();
    let mut serve = Vec::new();
    for view in views {
        requests::read(scene, view, parser, &mut orders, &mut serve, findings);
    }
    objects::read(scene, &mut orders, findings);
    orders.settle(findings);
    orders.add_platform(platform(scene.input, scene.issuers));
    let mut served = Served::choose(scene, &serve, &orders, parser, findings);
    for request in hosts::want(scene, views, &served, &mut orders, findings) {
        served.serve(scene, &request, &orders, parser, findings);
    }
    orders.report_failures(scene.input, findings);
    Decided { orders, served }
}

/// The wildcards of the zones, where the platform's issuer can be used.
pub(crate) fn platform(input: Input<'_>, issuers: &Issuers) -> Vec<(SecretName, Wanted)> {
    let of_zone = |zone: &ZoneSettings| {
        let names = [zone.origin.clone(), format!("*.{}", zone.origin)];
        Some((wildcard_secret(&zone.origin), by_platform(input.settings, issuers, names.into(), format!("zone {}", zone.origin))?))
    };
    input.settings.zones.iter().filter_map(of_zone).collect()
}

/// A certificate for names in the zones from the platform's issuer, where that can be used.
fn by_platform(settings: &super::Settings, issuers: &Issuers, names: BTreeSet<String>, wanted_by: String) -> Option<Wanted> {
    let issuer = platform_issuer(settings);
    let challenges = match issuers.get(&issuer)? {
        Issuer::Acme(_) => names.iter().map(|name| (name.clone(), vec![ChallengeKind::Dns01])).collect(),
        Issuer::SelfSigned | Issuer::Ca(_) => BTreeMap::new(),
    };
    Some(Wanted {
        names,
        issuer,
        key: acme::KeyKind::default(),
        duration: None,
        renew_before: None,
        challenges,
        obtained_for: None,
        wanted_by,
        secret_annotations: BTreeMap::new(),
        secret_labels: BTreeMap::new(),
    })
}

/// The Secret of a zone's wildcard.
pub(crate) fn wildcard_secret(zone: &str) -> SecretName {
    SecretName { namespace: SecretName::PLATFORM.to_owned(), name: format!("wildcard-{zone}") }
}

/// Whether the Secret is that of a zone's wildcard.
pub(crate) fn is_zone_wildcard(settings: &super::Settings, secret: &SecretName) -> bool {
    secret.namespace == SecretName::PLATFORM && settings.zones.iter().any(|zone| wildcard_secret(&zone.origin) == *secret)
}

/// The Secrets of all zones' wildcards.
#[must_use]
pub fn platform_secrets(settings: &super::Settings) -> Vec<SecretName> {
    settings.zones.iter().map(|zone| wildcard_secret(&zone.origin)).collect()
}

fn platform_issuer(settings: &super::Settings) -> IssuerId {
    IssuerId { namespace: None, name: settings.platform_issuer.clone() }
}

impl<'a> Scene<'a, '_> {
    /// Whether a certificate of this issuer for the host is needless because the zone's wildcard serves it.
    fn is_served_by_wildcard(&self, host: &str, issuer: &IssuerId) -> bool {
        let platform = platform_issuer(self.input.settings);
        let public = *issuer == platform || matches!(self.issuers.get(issuer), Some(Issuer::Acme(_)));
        public && self.issuers.contains_key(&platform) && self.zone_one_up(host).is_some()
    }

    /// The zone that the host is one label below.
    fn zone_one_up(&self, host: &str) -> Option<&'a ZoneSettings> {
        let parent = parent(host).filter(|_| wildcard_base(host).is_none())?;
        self.input.settings.zones.iter().find(|zone| zone.origin == parent)
    }

    /// Challenges that can show control over the name; none where there is no way.
    fn challenges(&self, name: &str) -> &'static [ChallengeKind] {
        let base = wildcard_base(name).unwrap_or(name);
        match () {
            () if self.input.settings.zones.iter().any(|zone| is_within(base, &zone.origin)) => &[ChallengeKind::Dns01],
            () if base.len() < name.len() => &[],
            () => &[ChallengeKind::Http01, ChallengeKind::TlsAlpn01],
        }
    }
}

/// Certificates as the engine is given them, with the issuers that they name.
pub(crate) fn wanted_set(certificates: BTreeMap<SecretName, Wanted>, issuers: &Issuers) -> WantedSet {
    let named: BTreeSet<&IssuerId> = certificates.values().map(|wanted| &wanted.issuer).collect();
    let issuers = issuers.iter().filter(|(id, _)| named.contains(id)).map(|(id, issuer)| (id.clone(), issuer.clone())).collect();
    WantedSet { issuers, certificates }
}
