//! DNS names that external-dns publishes: which of them would be answered here, and with what. Pure.

use std::collections::{BTreeSet, HashMap};

use k8s_openapi::api::core::v1::Service;
use serde::Serialize;

use super::{Change, Scene, hosts, services};
use crate::compile::{DNS_PREFIX, HostReport, OLD_DNS_PREFIX, host_name, is_in_zones};
use crate::problem::ObjectRef;

/// A name that an object asks for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NameRow {
    /// The name.
    pub name: String,
    /// The object.
    pub object: ObjectRef,
    /// Addresses in its status, which is what external-dns publishes.
    pub today: Vec<String>,
    /// Records that would be answered here, `A 192.0.2.1`.
    pub then: Vec<String>,
    /// What becomes of it.
    pub change: Change,
    /// Why it is refused, or left to others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A row for each name of each object.
pub(super) fn rows(scene: &Scene<'_>) -> Vec<NameRow> {
    let answers = Answers::new(scene);
    let ingresses = hosts::ours(scene).flat_map(|(_, stored)| {
        let spec = stored.object.spec.iter();
        let rules = spec.clone().flat_map(|spec| spec.rules.iter().flatten()).filter_map(|rule| rule.host.as_deref());
        let tls = spec.flat_map(|spec| spec.tls.iter().flatten()).flat_map(|tls| tls.hosts.iter().flatten()).map(String::as_str);
        let names: BTreeSet<String> = rules.chain(tls).filter_map(|name| host_name(name).ok()).collect();
        let today = hosts::today(&stored.object);
        names.into_iter().map(move |name| (name, &stored.reference, today.clone(), true))
    });
    let services = scene.cluster.objects.services.values().filter(|stored| services::is_balancer(&stored.object)).flat_map(|stored| {
        let (today, ours) = (services::today(&stored.object), scene.settings.service_class.is_ours(&stored.object));
        asked(&stored.object).into_iter().map(move |name| (name, &stored.reference, today.clone(), ours))
    });
    ingresses.chain(services).map(|(name, object, today, ours)| answers.row(name, object, today, ours)).collect()
}

/// Names that a Service asks for.
fn asked(service: &Service) -> BTreeSet<String> {
    let annotations = service.metadata.annotations.iter().flatten();
    let is_hostname = |key: &str| [DNS_PREFIX, OLD_DNS_PREFIX].iter().any(|prefix| key.strip_prefix(prefix) == Some("hostname"));
    annotations.filter(|(key, _)| is_hostname(key)).flat_map(|(_, value)| value.split(',')).filter_map(|name| host_name(name.trim()).ok()).collect()
}

/// What is answered here.
struct Answers<'a> {
    scene: &'a Scene<'a>,
    hosts: HashMap<&'a str, &'a HostReport>,
    refused: HashMap<(&'a ObjectRef, &'a str), &'a str>,
}

impl<'a> Answers<'a> {
    fn new(scene: &'a Scene<'a>) -> Self {
        let report = &scene.compiled.report;
        let hosts = report.hosts.iter().map(|host| (host.host.as_str(), &**host)).collect();
        let refused = report.refused.iter().map(|claim| ((&claim.object, claim.host.as_str()), claim.message.as_str())).collect();
        Self { scene, hosts, refused }
    }

    fn row(&self, name: String, object: &ObjectRef, today: Vec<String>, ours: bool) -> NameRow {
        let (change, then, why) = self.verdict(&name, object, &today, ours);
        NameRow { name, object: object.clone(), today, then, change, why }
    }

    fn verdict(&self, name: &str, object: &ObjectRef, today: &[String], ours: bool) -> (Change, Vec<String>, Option<String>) {
        let without = |change, why: &str| (change, Vec::new(), Some(why.to_owned()));
        let zones = &self.scene.settings.zones;
        match () {
            () if zones.is_empty() => (Change::Unknown, Vec::new(), None),
            () if !is_in_zones(zones, name) => without(Change::Elsewhere, "outside the zones that are served here"),
            () if !ours => without(Change::Elsewhere, "whoever gives the Service its address names it too"),
            () => match (self.refused.get(&(object, name)), self.hosts.get(name).and_then(|host| host.dns.as_ref())) {
                (Some(refused), _) => without(Change::Refused, refused),
                (None, Some(dns)) if !dns.records.is_empty() => (self.change(today, &dns.records), dns.records.to_vec(), None),
                // Where it has no address yet, or none is configured, there is nothing to answer with.
                (None, _) => (Change::Unknown, Vec::new(), None),
            },
        }
    }

    fn change(&self, today: &[String], records: &[String]) -> Change {
        let places: Vec<String> = records.iter().filter_map(|record| record.split_once(' ')).map(|(_, value)| value.to_owned()).collect();
        Change::between(today, &places)
    }
}
