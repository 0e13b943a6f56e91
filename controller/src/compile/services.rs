//! DNS names that Services ask for with external-dns's annotations. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Service;

use super::Input;
use super::annotations::others::{self, OLD_PREFIX, PREFIX};
use super::annotations::values::go_duration;
use super::findings::{Findings, annotation};
use super::names::{host_name, is_within, wildcard_base};
use super::settings::ZoneSettings;
use crate::objects::{ObjectKey, Stored};
use crate::ownership::{Claim, Refusal};
use crate::problem::Reason;

/// A Service of type LoadBalancer and the names it asks for.
#[derive(Debug)]
pub(crate) struct Names<'a> {
    pub(crate) key: &'a ObjectKey,
    pub(crate) stored: &'a Stored<Service>,
    /// Names in zones that are served here, sorted.
    pub(crate) hosts: Vec<String>,
    /// The annotation that they are from.
    pub(crate) field: String,
    /// TTL in seconds, if it asks for one.
    pub(crate) ttl: Option<u32>,
}

/// All Services that ask for names, the oldest first.
pub(crate) fn names<'a>(input: Input<'a>, findings: &mut Findings) -> Vec<Names<'a>> {
    let mut names: Vec<_> = input.own(&input.objects.services).filter_map(|(key, stored)| read(input, key, stored, findings)).collect();
    names.sort_by(|a, b| a.stored.age.cmp(&b.stored.age).then_with(|| a.key.cmp(b.key)));
    names
}

/// The names of one Service.
pub(crate) fn read<'a>(input: Input<'a>, key: &'a ObjectKey, stored: &'a Stored<Service>, findings: &mut Findings) -> Option<Names<'a>> {
    let annotations = stored.object.metadata.annotations.as_ref()?;
    if others::is_dns_elsewhere(annotations) {
        return None;
    }
    let is_ours = input.settings.service_class.is_ours(&stored.object);
    if !is_ours && stored.object.spec.as_ref().is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer")) {
        // Whoever gives it an address names it too.
        return None;
    }
    others::judge_service(stored, annotations, findings);
    let (name, value) = value(stored, annotations, "hostname", findings)?;
    let field = annotation(&name);
    if !is_ours {
        findings.warning(stored, field, Reason::NoEffect, "has no effect: only Services of type LoadBalancer get DNS names here");
        return None;
    }
    let mut hosts = Vec::new();
    for part in value.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match host_name(part) {
            Ok(host) if is_in_zones(&input.settings.zones, &host) => hosts.push(host),
            Ok(host) => {
                let zones = input.settings.zones.iter().map(|zone| zone.origin.as_str()).collect::<Vec<_>>().join(", ");
                let message = format!("{host:?} is outside the zones that are served here ({zones}); set it up where its domain is hosted");
                findings.warning(stored, &field, Reason::OutsideZones, message);
            }
            Err(error) => findings.error(stored, &field, Reason::InvalidAnnotation, format!("{part:?} {error}; it is passed over")),
        }
    }
    hosts.sort_unstable();
    hosts.dedup();
    let ttl = ttl(stored, annotations, findings);
    Some(Names { key, stored, hosts, field, ttl })
}

/// Whether a name, or the base of a wildcard, is in a zone that is served here.
pub(crate) fn is_in_zones(zones: &[ZoneSettings], host: &str) -> bool {
    let base = wildcard_base(host).unwrap_or(host);
    zones.iter().any(|zone| is_within(base, &zone.origin))
}

/// The annotation under either prefix.
fn value<'a>(stored: &Stored<Service>, annotations: &'a BTreeMap<String, String>, key: &str, findings: &mut Findings) -> Option<(String, &'a str)> {
    let (new, old) = (format!("{PREFIX}{key}"), format!("{OLD_PREFIX}{key}"));
    match (annotations.get(&new), annotations.get(&old)) {
        (Some(value), other) => {
            if other.is_some_and(|other| other != value) {
                let message = format!("differs from {new}, which is used; remove one of them");
                findings.warning(stored, annotation(&old), Reason::InvalidAnnotation, message);
            }
            Some((new, value))
        }
        (None, Some(value)) => Some((old, value)),
        (None, None) => None,
    }
}

fn ttl(stored: &Stored<Service>, annotations: &BTreeMap<String, String>, findings: &mut Findings) -> Option<u32> {
    let (name, text) = value(stored, annotations, "ttl", findings)?;
    let seconds = text.trim().parse::<u64>().ok().or_else(|| go_duration(text.trim()).map(|duration| duration.as_secs()));
    match seconds.and_then(|seconds| i32::try_from(seconds).ok()).and_then(|seconds| u32::try_from(seconds).ok()) {
        Some(0) => None,
        Some(seconds) => Some(seconds),
        None => {
            let message = format!("{text:?} is neither whole seconds nor a duration (1h30m) below 2^31 seconds; the zone's TTL is used");
            findings.warning(stored, annotation(&name), Reason::InvalidAnnotation, message);
            None
        }
    }
}

impl<'a> Names<'a> {
    /// Every name it asks for.
    pub(crate) fn claims(&self) -> impl Iterator<Item = Claim<'_>> {
        self.hosts.iter().map(|host| Claim { host, namespace: &self.key.namespace, age: &self.stored.age, object: &self.stored.reference })
    }

    /// Tells its owner which names it did not get.
    pub(crate) fn report_refusals(
        &self,
        permit: impl Fn(&str) -> Result<(), Refusal>,
        findings: &mut Findings,
        mut refused: impl FnMut(&str, String),
    ) {
        for host in &self.hosts {
            if let Err(refusal) = permit(host) {
                findings.error(self.stored, &self.field, Reason::HostOwnedByAnother, refusal.to_string());
                refused(host, refusal.to_string());
            }
        }
    }
}
