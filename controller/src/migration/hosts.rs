//! Hosts that ingress-nginx serves: where they are today, and where they would be. Pure.

use std::collections::{BTreeSet, HashMap};

use k8s_openapi::api::networking::v1::Ingress;
use serde::Serialize;

use super::{Change, Scene};
use crate::compile::{host_name, is_ours};
use crate::objects::{ObjectKey, Stored};
use crate::ownership::CATCH_ALL;
use crate::problem::ObjectRef;

/// A host of an Ingress.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostRow {
    /// The host; `*` where the Ingress names none.
    pub host: String,
    /// `namespace/name` of the Ingress.
    pub ingress: String,
    /// Addresses and host names in its status.
    pub today: Vec<String>,
    /// Those that Vrata would write there; empty where it is not configured.
    pub then: Vec<String>,
    /// What becomes of it.
    pub change: Change,
    /// Why it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A row for each host of each Ingress of our class.
pub(super) fn rows(scene: &Scene<'_>) -> Vec<HostRow> {
    let public = &scene.compiled.public;
    let then: Vec<String> = public.addresses.iter().map(ToString::to_string).chain(public.hostnames.iter().cloned()).collect();
    let verdicts = Verdicts::new(scene);
    let row = |key: &ObjectKey, stored: &Stored<Ingress>, host: String| {
        let (today, why) = (today(&stored.object), verdicts.against(&stored.reference, &host));
        let change = if why.is_some() { Change::Refused } else { Change::between(&today, &then) };
        let then = if why.is_some() { Vec::new() } else { then.clone() };
        HostRow { host, ingress: key.to_string(), today, then, change, why }
    };
    ours(scene)
        .flat_map(|(key, stored)| rule_hosts(&stored.object).into_iter().map(move |host| (key, stored, host)))
        .map(|(key, stored, host)| row(key, stored, host))
        .collect()
}

/// The Ingresses of our class.
pub(super) fn ours<'a>(scene: &Scene<'a>) -> impl Iterator<Item = (&'a ObjectKey, &'a Stored<Ingress>)> {
    let (objects, class) = (scene.cluster.objects, &scene.settings.class);
    objects.ingresses.iter().filter(move |(_, stored)| is_ours(objects, class, &stored.object)).map(|(key, stored)| (key, &**stored))
}

/// Addresses and host names in the status of an Ingress.
pub(super) fn today(ingress: &Ingress) -> Vec<String> {
    let balancer = ingress.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let entries = balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default();
    entries.iter().filter_map(|entry| entry.ip.clone().or_else(|| entry.hostname.clone())).collect()
}

fn rule_hosts(ingress: &Ingress) -> BTreeSet<String> {
    let Some(spec) = &ingress.spec else { return BTreeSet::new() };
    let named = spec.rules.iter().flatten().filter_map(|rule| match rule.host.as_deref() {
        None | Some("") => Some(CATCH_ALL.to_owned()),
        // What is no host name is a finding.
        Some(host) => host_name(host).ok(),
    });
    let catch_all = (spec.rules.as_ref().is_none_or(Vec::is_empty) && spec.default_backend.is_some()).then(|| CATCH_ALL.to_owned());
    named.chain(catch_all).collect()
}

/// What stands against hosts.
struct Verdicts<'a> {
    refused: HashMap<(&'a ObjectRef, &'a str), &'a str>,
    /// Routes by Ingress and host: why they answer 503, if they do.
    routes: HashMap<(&'a ObjectRef, &'a str), Option<String>>,
}

impl<'a> Verdicts<'a> {
    fn new(scene: &Scene<'a>) -> Self {
        let report = &scene.compiled.report;
        let refused = report.refused.iter().map(|claim| ((&claim.object, claim.host.as_str()), claim.message.as_str())).collect();
        let mut routes: HashMap<(&ObjectRef, &str), Option<String>> = HashMap::new();
        for host in &report.hosts {
            for route in &host.routes {
                let why = routes.entry((&route.ingress, &host.host)).or_default();
                *why = why.take().or_else(|| route.refused.as_ref().map(|refused| format!("{} answers {refused}", route.path)));
            }
        }
        Self { refused, routes }
    }

    fn against(&self, ingress: &ObjectRef, host: &str) -> Option<String> {
        let refused = self.refused.get(&(ingress, host)).map(|message| (*message).to_owned());
        let unserved = || "no route of this Ingress is served; see its findings".to_owned();
        refused.or_else(|| self.routes.get(&(ingress, host)).cloned().unwrap_or_else(|| Some(unserved())))
    }
}
