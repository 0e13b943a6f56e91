//! The Ingresses that are ours, read once: class rules, hosts, annotations. Pure.

use std::collections::HashSet;

use k8s_openapi::api::networking::v1::{Ingress, IngressSpec};

use super::Input;
use super::annotations::{self, Options, others};
use super::findings::{Findings, Subject};
use super::names::host_name;
use super::settings::ClassRules;
use crate::objects::{ObjectKey, Objects, Stored};
use crate::ownership::{CATCH_ALL, Claim, Refusal};
use crate::problem::Reason;

/// Where an Ingress names its class beside `spec.ingressClassName`.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// An Ingress that is ours.
#[derive(Debug)]
pub(crate) struct View<'a> {
    /// Its namespace and name.
    pub(crate) key: &'a ObjectKey,
    /// The object.
    pub(crate) stored: &'a Stored<Ingress>,
    /// Its spec.
    pub(crate) spec: &'a IngressSpec,
    /// What its annotations amount to.
    pub(crate) options: Options,
    /// Whether another DNS controller is to publish its names.
    pub(crate) dns_elsewhere: bool,
    /// Host of each rule; `None` where it is no host name.
    pub(crate) rule_hosts: Vec<Option<String>>,
    /// Hosts of each tls entry; `None` where it is no host name.
    pub(crate) tls_hosts: Vec<Vec<Option<String>>>,
}

/// All Ingresses that are ours, the oldest first. Canaries are left out: they never create a host, and get no traffic yet.
pub(crate) fn ours<'a>(input: Input<'a>, findings: &mut Findings) -> Vec<View<'a>> {
    let mut views: Vec<View<'a>> = input.own(&input.objects.ingresses).filter_map(|(key, stored)| view(input, key, stored, findings)).collect();
    views.sort_by(|a, b| a.stored.age.cmp(&b.stored.age).then_with(|| a.key.cmp(b.key)));
    views
}

/// One Ingress, if it is ours.
pub(crate) fn view<'a>(input: Input<'a>, key: &'a ObjectKey, stored: &'a Stored<Ingress>, findings: &mut Findings) -> Option<View<'a>> {
    let spec = stored.object.spec.as_ref().filter(|_| is_ours(input.objects, &input.settings.class, &stored.object))?;
    let options = annotations::read(input, Subject::from(stored), &key.namespace, stored.object.metadata.annotations.as_ref(), findings);
    if options.canary {
        return None;
    }
    let rule_hosts = rule_hosts(stored, spec, findings);
    let tls_hosts = tls_hosts(stored, spec, findings);
    let dns_elsewhere = others::judge_ingress(stored, &rule_hosts, &tls_hosts, findings);
    Some(View { key, stored, spec, options, dns_elsewhere, rule_hosts, tls_hosts })
}

/// ingress-nginx's class rules: the field wins, then the annotation; neither only where the administrator says so.
pub(crate) fn is_ours(objects: &Objects, rules: &ClassRules, ingress: &Ingress) -> bool {
    let field = ingress.spec.as_ref().and_then(|spec| spec.ingress_class_name.as_ref());
    let annotation = ingress.metadata.annotations.as_ref().and_then(|all| all.get(CLASS_ANNOTATION));
    match (field, annotation) {
        (Some(class), _) => {
            let class = objects.ingress_classes.get(&ObjectKey::new("", class));
            class.and_then(|class| class.object.spec.as_ref()?.controller.as_ref()).is_some_and(|controller| *controller == rules.controller)
        }
        (None, Some(class)) => *class == rules.ingress_class,
        (None, None) => rules.watch_without_class,
    }
}

fn checked_host(stored: &Stored<Ingress>, text: &str, field: impl Fn() -> String, findings: &mut Findings) -> Option<String> {
    match host_name(text) {
        Ok(name) => Some(name),
        Err(error) => {
            findings.error(stored, field(), Reason::InvalidField, format!("{text:?} {error}; it is passed over"));
            None
        }
    }
}

fn rule_hosts(stored: &Stored<Ingress>, spec: &IngressSpec, findings: &mut Findings) -> Vec<Option<String>> {
    let rules = spec.rules.iter().flatten().enumerate();
    rules
        .map(|(index, rule)| match rule.host.as_deref() {
            None | Some("") => Some(CATCH_ALL.to_owned()),
            Some(host) => checked_host(stored, host, || format!("spec.rules[{index}].host"), findings),
        })
        .collect()
}

fn tls_hosts(stored: &Stored<Ingress>, spec: &IngressSpec, findings: &mut Findings) -> Vec<Vec<Option<String>>> {
    let mut read = |entry: usize, hosts: &[String]| {
        let checked = hosts.iter().enumerate();
        checked.map(|(index, host)| checked_host(stored, host, || format!("spec.tls[{entry}].hosts[{index}]"), findings)).collect()
    };
    spec.tls.iter().flatten().enumerate().map(|(entry, tls)| read(entry, tls.hosts.as_deref().unwrap_or_default())).collect()
}

impl View<'_> {
    /// Its namespace.
    pub(crate) fn namespace(&self) -> &str {
        &self.key.namespace
    }

    /// Every host it asks for.
    pub(crate) fn claims(&self) -> impl Iterator<Item = Claim<'_>> {
        let catch_all = (self.rule_hosts.is_empty() && self.spec.default_backend.is_some()).then_some(CATCH_ALL);
        let hosts = self.rule_hosts.iter().chain(self.tls_hosts.iter().flatten()).flatten().map(String::as_str).chain(catch_all);
        hosts.map(|host| Claim { host, namespace: self.namespace(), age: &self.stored.age, object: &self.stored.reference })
    }

    /// Tells its owner which of its hosts it did not get, each once.
    pub(crate) fn report_refusals(
        &self,
        permit: impl Fn(&str) -> Result<(), Refusal>,
        findings: &mut Findings,
        mut refused: impl FnMut(&str, String),
    ) {
        let rules = self.rule_hosts.iter().enumerate().map(|(index, host)| (host, format!("spec.rules[{index}].host")));
        let tls = self
            .tls_hosts
            .iter()
            .enumerate()
            .flat_map(|(entry, hosts)| hosts.iter().enumerate().map(move |(index, host)| (host, format!("spec.tls[{entry}].hosts[{index}]"))));
        let default = self.claims().find(|claim| self.rule_hosts.is_empty() && claim.host == CATCH_ALL).map(|_| "spec.defaultBackend".to_owned());
        let catch_all = Some(CATCH_ALL.to_owned());
        let mut told = HashSet::new();
        for (host, field) in rules.chain(tls).chain(default.map(|field| (&catch_all, field))) {
            let Some(host) = host else { continue };
            let Err(refusal) = permit(host) else { continue };
            if told.insert(host.as_str()) {
                findings.error(self.stored, field, Reason::HostOwnedByAnother, refusal.to_string());
                refused(host, refusal.to_string());
            }
        }
    }
}
