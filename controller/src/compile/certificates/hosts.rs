//! Certificates for hosts in a zone that its wildcard does not reach and for which no tls entry names a Secret: each gets one of its own, from the issuer of
//! the wildcard and kept beside it. The namespace of the host waits its turn for it as for those that it asks for. Pure.

use std::collections::{BTreeSet, HashSet};

use acme::SecretName;

use super::orders::Orders;
use super::{Scene, ServeRequest, Served, by_platform, platform_issuer, wildcard_secret};
use crate::compile::findings::{Findings, Subject};
use crate::compile::ingresses::View;
use crate::compile::names::{is_within, parent, wildcard_base};
use crate::compile::settings::ZoneSettings;
use crate::problem::Reason;

/// Longest name of a Secret: files with its name have an ending, and file systems a limit.
const LONGEST_NAME: usize = 248;

/// The Secret for a host that needs a certificate of its own; `None` where a zone's wildcard is for it, or no zone.
pub(crate) fn host_secret(zones: &[ZoneSettings], host: &str) -> Option<SecretName> {
    let base = wildcard_base(host);
    let is_reached = |zone: &ZoneSettings| {
        let zone = zone.origin.as_str();
        base.map_or_else(|| host == zone || parent(host) == Some(zone), |base| base == zone)
    };
    let in_zone = zones.iter().any(|zone| is_within(base.unwrap_or(host), &zone.origin)) && !zones.iter().any(is_reached);
    in_zone.then(|| match base {
        // No zone of this name is served, so no wildcard of a zone is kept there.
        Some(base) => wildcard_secret(base),
        None => SecretName { namespace: SecretName::PLATFORM.to_owned(), name: format!("host-{host}") },
    })
}

/// A host that is to have a certificate, and the rule that names it first.
struct Need<'a> {
    view: &'a View<'a>,
    field: String,
    host: &'a str,
    secret: SecretName,
}

/// Wants certificates for the hosts of rules that have none otherwise. Returns what to serve with them.
pub(super) fn want<'a>(
    scene: Scene<'a, '_>,
    views: &'a [View<'a>],
    served: &Served,
    orders: &mut Orders<'a>,
    findings: &mut Findings,
) -> Vec<ServeRequest<'a>> {
    if !scene.issuers.contains_key(&platform_issuer(scene.input.settings)) {
        return Vec::new();
    }
    let asked: HashSet<&str> = views.iter().flat_map(|view| asked(scene, view)).collect();
    let mut told = HashSet::new();
    let needs = views.iter().flat_map(|view| needs(scene, view));
    let needs: Vec<_> = needs.filter(|need| !asked.contains(need.host) && !served.has(need.host) && told.insert(need.host)).collect();
    let wildcards: HashSet<(&str, &str)> = needs.iter().filter_map(|need| Some((need.view.namespace(), wildcard_base(need.host)?))).collect();
    // A wildcard of the same namespace is for what is one label below it too.
    let is_covered = |need: &Need<'_>| parent(need.host).is_some_and(|parent| wildcards.contains(&(need.view.namespace(), parent)));
    let single = needs.into_iter().filter(|need| wildcard_base(need.host).is_some() || !is_covered(need));
    single.filter_map(|need| need.order(scene, orders, findings)).collect()
}

/// The hosts for which tls entries name a Secret: what serves them is what is in it, and what is wrong with it is told.
fn asked<'a>(scene: Scene<'a, '_>, view: &'a View<'a>) -> impl Iterator<Item = &'a str> {
    let entries = view.spec.tls.iter().flatten().zip(&view.tls_hosts);
    let entries = entries.filter(|(tls, _)| tls.secret_name.as_ref().is_some_and(|name| !name.is_empty()));
    let hosts = entries.flat_map(|(_, hosts)| hosts.iter().flatten()).map(String::as_str);
    // Whoever does not hold a host cannot keep a certificate from it.
    hosts.filter(move |host| scene.ownership.permit_key(view.namespace(), host).is_ok())
}

/// The hosts of an Ingress that need a certificate of their own and that its namespace holds.
fn needs<'a>(scene: Scene<'a, '_>, view: &'a View<'a>) -> impl Iterator<Item = Need<'a>> {
    let hosts = view.rule_hosts.iter().enumerate().filter_map(|(index, host)| Some((index, host.as_deref()?)));
    hosts.filter_map(move |(index, host)| {
        let secret = host_secret(&scene.input.settings.zones, host)?;
        scene.ownership.permit_key(view.namespace(), host).ok()?;
        Some(Need { view, field: format!("spec.rules[{index}].host"), host, secret })
    })
}

impl<'a> Need<'a> {
    fn order(self, scene: Scene<'a, '_>, orders: &mut Orders<'a>, findings: &mut Findings) -> Option<ServeRequest<'a>> {
        let Self { view, field, host, secret } = self;
        if secret.name.len() > LONGEST_NAME {
            let message = format!("{host:?} is too long to keep a certificate under its name; ask for one with a tls entry that names a Secret");
            findings.error(view.stored, field, Reason::CertificateFailed, message);
            return None;
        }
        let names = BTreeSet::from([host.to_owned()]);
        let mut wanted = by_platform(scene.input.settings, scene.issuers, names, view.stored.reference.to_string())?;
        wanted.obtained_for = Some(view.key.namespace.clone());
        let subject = Subject::from(view.stored);
        orders.add(secret.clone(), wanted, subject, field.clone());
        Some(ServeRequest { secret, hosts: Some(vec![host.to_owned()]), subject, field, namespace: &view.key.namespace })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::Settings;
    use crate::config::{Config, Zone};

    #[test]
    fn only_hosts_that_no_zones_wildcard_is_for_need_a_certificate_of_their_own() {
        let mut config = Config::default();
        config.dns.zones = vec![Zone::named("z.test"), Zone::named("lab.z.test")];
        let settings = Settings::from_config(&config, &std::collections::BTreeMap::new());
        let zones = settings.map(|settings| settings.zones).unwrap_or_default();
        for (host, expected) in [
            ("z.test", None),
            ("a.z.test", None),
            ("*.z.test", None),
            ("b.a.z.test", Some("host-b.a.z.test")),
            ("*.a.z.test", Some("wildcard-a.z.test")),
            ("lab.z.test", None),
            ("a.lab.z.test", None),
            ("*.lab.z.test", None),
            ("b.a.lab.z.test", Some("host-b.a.lab.z.test")),
            ("elsewhere.test", None),
            ("b.a.elsewhere.test", None),
            ("*", None),
        ] {
            let secret = host_secret(&zones, host).map(|secret| (secret.namespace, secret.name));
            assert_eq!(secret, expected.map(|name| (SecretName::PLATFORM.to_owned(), name.to_owned())), "{host}");
        }
    }
}
