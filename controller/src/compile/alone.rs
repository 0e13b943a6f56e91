//! One object judged by itself, against what the last pass decided of all others: the answer that compiling it among them would give. Pure.
//!
//! It looks up what the object names and walks through nothing, so that it costs the same whether there are ten Ingresses or ten thousand. What an object
//! names and what is not there (yet) is not its business: that comes with the next pass.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::Ingress;

use super::findings::Findings;
use super::ingresses::{self, View};
use super::report::{HostReport, Report};
use super::{Facts, Input, PublicAddresses, Settings, certificates, l4, routes, services};
use crate::addresses::{Standing, claim_of};
use crate::objects::{Age, Kind, ObjectKey, Objects, Stored};
use crate::ownership::{Holdings, Rules};
use crate::problem::{ObjectRef, Problem, Reason, Severity};
use gateway::table::PathMatch;

/// What the last pass started from and decided.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) objects: &'a Objects,
    pub(crate) rules: &'a Rules,
    pub(crate) report: &'a Report,
    pub(crate) standing: &'a Standing,
}

/// What is no part of a judgement.
#[derive(Debug, Default)]
struct Nothing {
    facts: Facts,
    public: PublicAddresses,
    balancers: Kind<Service>,
}

/// What was held by objects that are older than the one that asks: all that counts for it.
#[derive(Debug, Clone, Copy)]
struct Before<'a> {
    pass: Pass<'a>,
    age: &'a Age,
    object: &'a ObjectRef,
    /// Whether it asks for the first time, so that whoever holds a host came before it.
    is_new: bool,
}

impl<'a> Pass<'a> {
    /// What is wrong with an Ingress.
    ///
    /// Hosts that its version before did not ask for (`claimed` has those that it did) are judged as if it came last, whatever its age: who has a host
    /// is not to lose it to an old object that is edited, or to one of the same second.
    pub(crate) fn judge_ingress(self, key: &ObjectKey, stored: &Stored<Ingress>, claimed: &BTreeSet<String>) -> Vec<Problem> {
        let nothing = Nothing::default();
        let mut findings = Findings::default();
        if let Some(view) = ingresses::view(self.input(&nothing), key, stored, &mut findings) {
            let before = Before { pass: self, age: &stored.age, object: &stored.reference, is_new: false };
            let permit = |host: &str| self.rules.permit(&before.of(host, claimed), &key.namespace, host);
            view.report_refusals(permit, &mut findings, |_, _| {});
            let is_shared = |host: &str| permit(host).is_ok() && before.of(host, claimed).holder(host).is_some_and(|holder| holder != key.namespace);
            certificates::judge(self.input(&nothing), &view, is_shared, &mut findings);
            for (index, (rule, host)) in view.spec.rules.iter().flatten().zip(&view.rule_hosts).enumerate() {
                let Some(host) = host.as_deref().filter(|host| permit(host).is_ok()) else { continue };
                for (position, path) in rule.http.iter().flat_map(|http| &http.paths).enumerate() {
                    let field = format!("spec.rules[{index}].http.paths[{position}]");
                    if let Some(matched) = routes::read_path(&view, path, format_args!("{field}"), &mut findings) {
                        before.report_taken(&view, host, &matched, &field, &mut findings);
                    }
                }
            }
        }
        findings.into_problems()
    }

    /// What is wrong with a Service; of `claimed` as for an Ingress.
    pub(crate) fn judge_service(self, key: &ObjectKey, stored: &Stored<Service>, claimed: &BTreeSet<String>) -> Vec<Problem> {
        let nothing = Nothing::default();
        let mut findings = Findings::default();
        if let Some(names) = services::read(self.input(&nothing), key, stored, &mut findings) {
            let before = Before { pass: self, age: &stored.age, object: &stored.reference, is_new: false };
            names.report_refusals(|host| self.rules.permit(&before.of(host, claimed), &key.namespace, host), &mut findings, |_, _| {});
        }
        if let Some(reading) = claim_of(stored, &self.settings.service_class) {
            l4::report_request(stored, &reading, &mut findings);
            l4::source_ranges(stored, &mut findings);
            if let Some(refusal) = self.standing.refusal(&self.settings.quota, &Arc::new(reading.claim)) {
                // Of a namespace that is not seen yet it is not known which pools are for it.
                let severity = if self.is_seen(&key.namespace) { Severity::Error } else { Severity::Warning };
                findings.push(severity, stored.into(), refusal.field().to_owned(), refusal.reason(), refusal.to_string());
            }
        }
        findings.into_problems()
    }

    /// The hosts that an Ingress asks for.
    pub(crate) fn hosts_of_ingress(self, key: &ObjectKey, stored: &Stored<Ingress>) -> BTreeSet<String> {
        let nothing = Nothing::default();
        let view = ingresses::view(self.input(&nothing), key, stored, &mut Findings::default());
        view.iter().flat_map(View::claims).map(|claim| claim.host.to_owned()).collect()
    }

    /// The hosts that a Service asks for.
    pub(crate) fn hosts_of_service(self, key: &ObjectKey, stored: &Stored<Service>) -> BTreeSet<String> {
        let nothing = Nothing::default();
        let names = services::read(self.input(&nothing), key, stored, &mut Findings::default());
        names.into_iter().flat_map(|names| names.hosts).collect()
    }

    fn input<'i>(self, nothing: &'i Nothing) -> Input<'i>
    where
        'a: 'i,
    {
        Input {
            objects: self.objects,
            settings: self.settings,
            facts: &nothing.facts,
            public: &nothing.public,
            balancers: &nothing.balancers,
            namespaces: &[],
        }
    }

    /// Whether the last pass knew of the namespace. Where no namespace is an object, all are what they are named.
    fn is_seen(self, namespace: &str) -> bool {
        let Objects { namespaces, services, .. } = self.objects;
        namespaces.is_empty() || namespaces.contains_key(&ObjectKey::new("", namespace)) || services.of(namespace).next().is_some()
    }

    fn host(self, host: &str) -> Option<&'a HostReport> {
        let hosts = &self.report.hosts;
        hosts.binary_search_by(|report| report.host.as_str().cmp(host)).ok().map(|at| &*hosts[at])
    }

    fn age_of(self, object: &ObjectRef) -> Option<&'a Age> {
        let key = ObjectKey::of(object);
        match &*object.kind {
            "Ingress" => self.objects.ingresses.get(&key).map(|stored| &stored.age),
            "Service" => self.objects.services.get(&key).map(|stored| &stored.age),
            "Certificate" => self.objects.certificates.get(&key).map(|stored| &stored.age),
            _ => None,
        }
    }
}

impl Before<'_> {
    /// What counts for this host.
    fn of(self, host: &str, claimed: &BTreeSet<String>) -> Self {
        Self { is_new: !claimed.contains(host), ..self }
    }

    /// Whether the object comes before the one that asks; who has no time of creation has not been created yet.
    fn is_older(&self, object: &ObjectRef) -> bool {
        self.age.created.is_none() || self.pass.age_of(object).is_none_or(|age| (age, object) <= (self.age, self.object))
    }

    /// Tells of a path that an older Ingress has.
    fn report_taken(&self, view: &View<'_>, host: &str, matched: &PathMatch, field: &str, findings: &mut Findings) {
        let (text, path_type) = match matched {
            PathMatch::Exact(text) => (text, "Exact"),
            PathMatch::Prefix(text) => (text, "Prefix"),
        };
        let routes = self.pass.host(host).into_iter().flat_map(|report| &report.routes);
        let same = |route: &&super::RouteReport| route.path == **text && route.path_type == path_type && route.ingress != *self.object;
        if let Some(other) = routes.filter(same).find(|route| self.declares(&route.ingress, host, text) && self.is_older(&route.ingress)) {
            let by = format!("{}/{}", other.ingress.namespace.as_deref().unwrap_or_default(), other.ingress.name);
            findings.error(view.stored, format!("{field}.path"), Reason::PathTaken, routes::taken(host, &by));
        }
    }

    /// Whether the route is of a rule: what only a defaultBackend serves anybody in the namespace may take.
    fn declares(&self, ingress: &ObjectRef, host: &str, path: &str) -> bool {
        let key = ObjectKey::of(ingress);
        let spec = self.pass.objects.ingresses.get(&key).and_then(|stored| stored.object.spec.as_ref());
        let rules = spec.into_iter().flat_map(|spec| spec.rules.iter().flatten());
        let of_host = rules.filter(|rule| {
            let name = rule.host.as_deref().unwrap_or_default();
            name.trim_end_matches('.').eq_ignore_ascii_case(host) || (name.is_empty() && host == crate::ownership::CATCH_ALL)
        });
        let mut paths = of_host.flat_map(|rule| rule.http.iter().flat_map(|http| &http.paths));
        paths.any(|declared| declared.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/") == path)
    }
}

impl Holdings for Before<'_> {
    fn holder(&self, host: &str) -> Option<&str> {
        self.pass.host(host).filter(|report| self.is_new || self.is_older(&report.owner)).map(|report| &*report.namespace)
    }

    fn wildcard(&self, base: &str) -> Option<&str> {
        self.holder(&format!("*.{base}"))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::report::{TlsReport, TlsStatus};
    use super::*;
    use crate::ownership::Reserved;

    /// Counts how often it is asked.
    struct Counted<'a> {
        before: Before<'a>,
        asked: Cell<usize>,
    }

    impl Holdings for Counted<'_> {
        fn holder(&self, host: &str) -> Option<&str> {
            self.asked.set(self.asked.get() + 1);
            self.before.holder(host)
        }

        fn wildcard(&self, base: &str) -> Option<&str> {
            self.asked.set(self.asked.get() + 1);
            self.before.wildcard(base)
        }
    }

    fn object(name: String) -> ObjectRef {
        ObjectRef { kind: "Ingress".into(), namespace: Some("a".into()), name: name.into() }
    }

    fn hosts(count: usize) -> Vec<Arc<HostReport>> {
        let report = |n: usize| HostReport {
            host: format!("app-{n:06}.dyn.example.org"),
            namespace: "a".into(),
            owner: object(format!("app-{n}")),
            tls: TlsReport { status: TlsStatus::None, secret: None, not_after: None },
            dns: None,
            routes: Vec::new(),
        };
        (0..count).map(report).map(Arc::new).collect()
    }

    /// Each question is one binary search, so that this is all the work that ownership costs.
    #[test]
    fn judging_a_host_asks_a_question_a_label_however_many_are_held() {
        let (settings, objects, standing) = (Settings::default(), Objects::default(), Standing::default());
        let rules = Rules { reserved: Reserved::default(), policy: Some(Arc::default()) };
        let (age, asker) = (Age { created: None, origin: None, name: String::new() }, object("new".into()));
        for count in [10, 10_000] {
            let report = Report { hosts: hosts(count), ..Report::default() };
            let pass = Pass { settings: &settings, objects: &objects, rules: &rules, report: &report, standing: &standing };
            for (host, most, permitted) in
                [("app-000007.dyn.example.org", 2, false), ("free.dyn.example.org", 6, true), ("*.x.dyn.example.org", 7, true)]
            {
                let held = Counted { before: Before { pass, age: &age, object: &asker, is_new: false }, asked: Cell::new(0) };
                assert_eq!(rules.permit(&held, "b", host).is_ok(), permitted, "{host}");
                assert!(held.asked.get() <= most, "{host} among {count}: {} questions", held.asked.get());
            }
        }
    }
}
