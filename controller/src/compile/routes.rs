//! From Ingress rules to the rules of the routing table, with ingress-nginx's precedence. Pure.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt::Arguments;
use std::sync::Arc;

use gateway::table::{Action, HostPattern, PathMatch, Policy, Route, RouteId, Rule, TlsRedirect};
use k8s_openapi::api::networking::v1::{HTTPIngressPath, IngressBackend};

use super::annotations::Redirect;
use super::backends::{Backends, Missing};
use super::certificates::Coverage;
use super::findings::Findings;
use super::ingresses::View;
use super::names::wildcard_base;
use crate::ownership::{CATCH_ALL, Ownership};
use crate::problem::Reason;

/// A rule.
pub(crate) struct Placed<'a> {
    pub(crate) rule: Rule,
    /// The Ingress it is from, and the host that it is for there.
    pub(crate) from: Option<(&'a View<'a>, &'a str)>,
}

/// What is known of a host while its rules are gathered.
struct Host<'a> {
    /// The Ingress that declared it first: its defaultBackend serves what no rule does.
    first: &'a View<'a>,
    /// Whether a rule has the path `/`.
    has_root: bool,
    /// Whether there is any rule.
    has_rules: bool,
}

struct Gatherer<'a, 'f> {
    backends: Backends<'a>,
    coverage: &'f Coverage,
    tls_hosts: HashSet<&'a str>,
    findings: &'f mut Findings,
    /// Who has a path: host, whether it is Exact, text.
    taken: HashMap<(&'a str, bool, &'a str), &'a View<'a>>,
    /// By the Ingress whose own they are; `None`: of all that ask for nothing special.
    policies: HashMap<(Option<*const View<'a>>, u8), Arc<Policy>>,
    usual: Policy,
    hosts: HashMap<&'a str, Host<'a>>,
    rules: Vec<Placed<'a>>,
}

/// All rules, sorted by host and path; no two have both in common.
pub(crate) fn gather<'a>(
    views: &'a [View<'a>],
    ownership: &Ownership<'a>,
    backends: Backends<'a>,
    coverage: &Coverage,
    findings: &mut Findings,
) -> (Vec<Placed<'a>>, Backends<'a>) {
    let owned = |view: &View<'_>, host: &str| ownership.permit(view.namespace(), host).is_ok();
    let tls = views.iter().flat_map(|view| view.tls_hosts.iter().flatten().flatten().filter(|host| owned(view, host)).map(String::as_str));
    let mut gatherer = Gatherer {
        backends,
        coverage,
        tls_hosts: tls.collect(),
        findings,
        taken: HashMap::with_capacity(views.len()),
        policies: HashMap::new(),
        usual: Policy::default(),
        hosts: HashMap::with_capacity(views.len()),
        rules: Vec::with_capacity(views.len()),
    };
    for view in views {
        gatherer.add_rules(view, |host| owned(view, host));
    }
    gatherer.add_defaults();
    gatherer.close_reserved(ownership);
    let mut rules = gatherer.rules;
    rules.sort_by(|a, b| (a.rule.host(), a.rule.path()).cmp(&(b.rule.host(), b.rule.path())));
    (rules, gatherer.backends)
}

/// The path as it is matched.
fn written(path: &HTTPIngressPath) -> &str {
    path.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/")
}

/// What a path matches; `None` after a finding.
pub(crate) fn read_path(view: &View<'_>, path: &HTTPIngressPath, field: Arguments<'_>, findings: &mut Findings) -> Option<PathMatch> {
    let text = written(path);
    let matched = match path.path_type.as_str() {
        "Exact" => PathMatch::Exact(text.into()),
        "" | "Prefix" | "ImplementationSpecific" => PathMatch::Prefix(text.into()),
        other => {
            let message = format!("{other:?} is none of Exact, Prefix, ImplementationSpecific; the path is passed over");
            findings.error(view.stored, format!("{field}.pathType"), Reason::InvalidField, message);
            return None;
        }
    };
    if !text.starts_with('/') {
        let message = format!("{text:?} does not start with /; the path is passed over");
        findings.error(view.stored, format!("{field}.path"), Reason::InvalidField, message);
        return None;
    }
    if text.contains(['(', ')', '[', ']', '*', '^', '$', '|', '\\']) {
        let message = format!("{text:?} looks like a regular expression; it is matched as it is written, character by character");
        findings.warning(view.stored, format!("{field}.path"), Reason::NotSupportedYet, message);
    }
    Some(matched)
}

/// Says that another Ingress has the path.
pub(crate) fn taken(host: &str, ingress: &str) -> String {
    format!("the host {host:?} has this path already in Ingress {ingress}, which is older; that one is served")
}

impl<'a> Gatherer<'a, '_> {
    fn add_rules(&mut self, view: &'a View<'a>, owned: impl Fn(&str) -> bool) {
        for (index, (rule, host)) in view.spec.rules.iter().flatten().zip(&view.rule_hosts).enumerate() {
            let Some(host) = host.as_deref().filter(|host| owned(host)) else { continue };
            self.hosts.entry(host).or_insert(Host { first: view, has_root: false, has_rules: false });
            for (position, path) in rule.http.iter().flat_map(|http| &http.paths).enumerate() {
                self.add_path(view, host, path, format_args!("spec.rules[{index}].http.paths[{position}]"));
            }
        }
        if view.rule_hosts.is_empty() && view.spec.default_backend.is_some() && owned(CATCH_ALL) {
            self.hosts.entry(CATCH_ALL).or_insert(Host { first: view, has_root: false, has_rules: false });
        }
    }

    fn add_path(&mut self, view: &'a View<'a>, host: &'a str, path: &'a HTTPIngressPath, field: Arguments<'_>) {
        let Some(matched) = read_path(view, path, field, self.findings) else { return };
        let (is_exact, text) = (matches!(matched, PathMatch::Exact(_)), written(path));
        match self.taken.entry((host, is_exact, text)) {
            Entry::Occupied(first) => {
                let message = taken(host, &first.get().key.to_string());
                return self.findings.error(view.stored, format!("{field}.path"), Reason::PathTaken, message);
            }
            Entry::Vacant(free) => drop(free.insert(view)),
        }
        let action = self.action(view, &path.backend, format_args!("{field}.backend"));
        if let Some(host) = self.hosts.get_mut(host) {
            host.has_rules = true;
            host.has_root |= !is_exact && text == "/";
        }
        self.place(view, host, matched, action);
    }

    fn place(&mut self, view: &'a View<'a>, host: &'a str, path: PathMatch, action: Action) {
        let text = match &path {
            PathMatch::Exact(text) | PathMatch::Prefix(text) => text.to_string(),
        };
        let name = if host == CATCH_ALL { String::new() } else { host.to_owned() };
        let id = RouteId { namespace: view.key.namespace.clone(), ingress: view.key.name.clone(), host: name, path: text };
        let route = Arc::new(Route::new(id, self.policy(view, host), action));
        self.rules.push(Placed { rule: Rule::new(pattern(host), path, route), from: Some((view, host)) });
    }

    fn action(&mut self, view: &'a View<'a>, backend: &'a IngressBackend, field: Arguments<'_>) -> Action {
        let unavailable = |reason: String| Action::fail(503, reason);
        let resolved = match (&backend.service, &backend.resource) {
            (Some(service), _) => self.backends.resolve(&view.key.namespace, service, view.options.protocol),
            (None, resource) => {
                let what = if resource.is_some() { "resource backends are not supported; name a Service" } else { "names no Service; name one" };
                Err(Missing {
                    field: if resource.is_some() { "resource" } else { "service" },
                    reason: Reason::InvalidField,
                    message: what.to_owned(),
                })
            }
        };
        match resolved {
            Err(missing) => {
                let message = format!("{}; the path answers 503 until then", missing.message);
                self.findings.error(view.stored, format!("{field}.{}", missing.field), missing.reason, message);
                unavailable(missing.message)
            }
            Ok(_) if view.options.refusal.is_some() => unavailable(view.options.refusal.clone().unwrap_or_default()),
            Ok(backend) => {
                if backend.endpoints.is_empty() {
                    let message = format!(
                        "the Service {:?} has no ready endpoint for its port {}; the path answers 503 until one is",
                        backend.service, backend.port
                    );
                    self.findings.warning(view.stored, format!("{field}.service.name"), Reason::NoEndpoints, message);
                }
                Action::Forward(backend)
            }
        }
    }

    /// What no rule of a host serves: the defaultBackend of the Ingress that declared the host first, else 404.
    fn add_defaults(&mut self) {
        let mut open: Vec<_> = self.hosts.iter().filter(|(_, host)| !host.has_root).map(|(name, host)| (*name, host.first, host.has_rules)).collect();
        open.sort_unstable_by_key(|(name, ..)| *name);
        for (name, view, has_rules) in open {
            let root = PathMatch::Prefix("/".into());
            match &view.spec.default_backend {
                Some(backend) => {
                    let action = self.action(view, backend, format_args!("spec.defaultBackend"));
                    self.place(view, name, root, action);
                }
                // The host is declared all the same: it must not fall to the catch-all.
                None if !has_rules => self.place(view, name, root, Action::fail(404, "the host has no paths")),
                None => {}
            }
        }
    }

    /// A tenant's catch-all must not answer for the names of the platform.
    fn close_reserved(&mut self, ownership: &Ownership<'_>) {
        if !self.hosts.contains_key(CATCH_ALL) {
            return;
        }
        let reserved = ownership.reserved();
        for name in reserved.zones.iter().chain(&reserved.names).filter(|name| !name.contains(['_', '*'])) {
            let id = RouteId { namespace: String::new(), ingress: String::new(), host: name.clone(), path: "/".into() };
            let action = Action::fail(404, "the name is reserved for the platform");
            let route = Arc::new(Route::new(id, Arc::new(Policy { tls_redirect: TlsRedirect::Never, ..Policy::default() }), action));
            let host = HostPattern::Exact(name.as_str().into());
            self.rules.push(Placed { rule: Rule::new(host, PathMatch::Prefix("/".into()), route), from: None });
        }
    }

    /// The policy of an Ingress, one for each way its hosts are redirected. What thousands share stays in the processor's cache.
    fn policy(&mut self, view: &'a View<'a>, host: &str) -> Arc<Policy> {
        let tls_redirect = match view.options.redirect {
            Redirect::Always => TlsRedirect::Always,
            Redirect::Never => TlsRedirect::Never,
            Redirect::WithCertificate if host == CATCH_ALL => TlsRedirect::WhenCertificate,
            Redirect::WithCertificate if self.tls_hosts.contains(host) || self.coverage.covers(host) => TlsRedirect::Always,
            Redirect::WithCertificate => TlsRedirect::Never,
        };
        let make = || Arc::new(Policy { tls_redirect, ..view.options.policy.clone() });
        let whose = (view.options.policy != self.usual).then_some(std::ptr::from_ref(view));
        Arc::clone(self.policies.entry((whose, tls_redirect as u8)).or_insert_with(make))
    }
}

fn pattern(host: &str) -> HostPattern {
    match wildcard_base(host) {
        _ if host == CATCH_ALL => HostPattern::Any,
        Some(base) => HostPattern::Wildcard(base.into()),
        None => HostPattern::Exact(host.into()),
    }
}
