//! Which namespaces have to be compiled together: those whose objects can have a say about each other. All others are compiled one by one, and only when
//! something of theirs has changed. Pure.
//!
//! Objects of two namespaces meet in a host that both name, in a wildcard and what it stands for, and in a Secret that one names in the other. What is asked
//! for is taken from everything that could be a claim, whether it is one or not: too much is compiled together then, and nothing too little.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::annotations::others::{OLD_PREFIX, PREFIX};
use super::named::{AUTH_SECRET, secret_key};
use super::names::{host_name, wildcard_base};
use crate::objects::Objects;
use crate::ownership::{CATCH_ALL, suffixes};

/// What the objects of one namespace name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// Hosts.
    hosts: BTreeSet<String>,
    /// Other namespaces.
    namespaces: BTreeSet<String>,
}

impl Asked {
    /// What the objects of a namespace name; `None` where there are none that anything could come of.
    pub(super) fn of(objects: &Objects, namespace: &str) -> Option<Self> {
        let mut asked = Self::default();
        let mut any = objects.endpoint_slices.of(namespace).next().is_some() || objects.endpoints.of(namespace).next().is_some();
        any |= objects.issuers.of(namespace).next().is_some();
        for (key, stored) in objects.ingresses.of(namespace) {
            any = true;
            let rules = stored.object.spec.iter().flat_map(|spec| spec.rules.iter().flatten()).map(|rule| rule.host.as_deref().unwrap_or_default());
            let tls = stored.object.spec.iter().flat_map(|spec| spec.tls.iter().flatten()).flat_map(|tls| tls.hosts.iter().flatten());
            rules.chain(tls.map(String::as_str)).for_each(|host| asked.add_host(host));
            if stored.object.spec.as_ref().is_some_and(|spec| spec.default_backend.is_some()) {
                asked.add_host(CATCH_ALL);
            }
            let annotation = |key: &str| stored.object.metadata.annotations.as_ref().and_then(|all| all.get(key));
            annotation(super::certificates::COMMON_NAME).into_iter().for_each(|name| asked.add_host(name));
            let named = annotation(AUTH_SECRET).map(|name| secret_key(&key.namespace, name).namespace);
            asked.namespaces.extend(named.filter(|named| *named != key.namespace));
        }
        for (_, stored) in objects.services.of(namespace) {
            any = true;
            let annotations = stored.object.metadata.annotations.iter().flatten();
            let names = annotations.filter(|(key, _)| [PREFIX, OLD_PREFIX].into_iter().any(|prefix| key.strip_prefix(prefix) == Some("hostname")));
            names.flat_map(|(_, names)| names.split(',')).for_each(|name| asked.add_host(name.trim()));
        }
        for (_, stored) in objects.certificates.of(namespace) {
            any = true;
            let spec = &stored.object.spec;
            spec.dns_names.iter().chain(&spec.common_name).for_each(|name| asked.add_host(name));
        }
        any.then_some(asked)
    }

    fn add_host(&mut self, text: &str) {
        let host = if text.is_empty() || text == CATCH_ALL { Some(CATCH_ALL.to_owned()) } else { host_name(text).ok() };
        self.hosts.extend(host);
    }

    /// Whether the host is among what is asked for.
    pub(super) fn names(&self, host: &str) -> bool {
        self.hosts.contains(host)
    }
}

/// The namespaces in groups that have nothing to do with each other; each group and all of them are sorted. A namespace that is named is in the group of
/// those that name it, whether it asks for anything or not.
pub(super) fn groups(asked: &BTreeMap<String, Asked>) -> Vec<Vec<String>> {
    let mut names: BTreeSet<&str> = asked.keys().map(String::as_str).collect();
    names.extend(asked.values().flat_map(|asked| &asked.namespaces).map(String::as_str));
    let names: Vec<&str> = names.into_iter().collect();
    let index = |name: &str| names.binary_search(&name).expect("every name is among them");
    let mut union = Union::new(names.len());
    let (mut hosts, mut wildcards) = (HashMap::new(), HashMap::new());
    for (namespace, asked) in asked {
        let own = index(namespace);
        asked.namespaces.iter().for_each(|named| union.join(own, index(named)));
        for host in &asked.hosts {
            union.join(own, *hosts.entry(host.as_str()).or_insert(own));
            if let Some(base) = wildcard_base(host) {
                union.join(own, *wildcards.entry(base).or_insert(own));
            }
        }
    }
    if !wildcards.is_empty() {
        for (host, own) in &hosts {
            let base = wildcard_base(host).unwrap_or(host);
            suffixes(base).filter_map(|suffix| wildcards.get(suffix)).for_each(|wildcard| union.join(*own, *wildcard));
        }
    }
    let mut groups: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (at, name) in names.iter().enumerate() {
        groups.entry(union.first(at)).or_default().push((*name).to_owned());
    }
    groups.into_values().collect()
}

/// Disjoint sets of numbers; each is named by its least.
struct Union(Vec<usize>);

impl Union {
    fn new(size: usize) -> Self {
        Self((0..size).collect())
    }

    fn first(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.first(a), self.first(b));
        self.0[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_namespaces_that_meet_are_together() {
        let asked = |hosts: &[&str], namespaces: &[&str]| Asked {
            hosts: hosts.iter().map(ToString::to_string).collect(),
            namespaces: namespaces.iter().map(ToString::to_string).collect(),
        };
        let rows: [(&[(&str, Asked)], &str); 9] = [
            (&[], ""),
            (&[("a", asked(&["x.test"], &[])), ("b", asked(&["y.test"], &[])), ("c", asked(&[], &[]))], "a | b | c"),
            (&[("a", asked(&["x.test"], &[])), ("b", asked(&["y.test"], &[])), ("c", asked(&["x.test"], &[]))], "a c | b"),
            (&[("a", asked(&["deep.x.test"], &[])), ("b", asked(&["*.test"], &[])), ("c", asked(&["x.other"], &[]))], "a b | c"),
            (&[("a", asked(&["x.test"], &[])), ("b", asked(&["*.x.test"], &[]))], "a b"),
            (&[("a", asked(&["*.x.test"], &[])), ("b", asked(&["*.y.x.test"], &[])), ("c", asked(&["z.test"], &[]))], "a b | c"),
            (&[("a", asked(&["*"], &[])), ("b", asked(&["*"], &[])), ("c", asked(&["z.test"], &[]))], "a b | c"),
            (&[("a", asked(&[], &["zz"])), ("b", asked(&[], &[])), ("c", asked(&[], &["zz"]))], "a c zz | b"),
            (&[("a", asked(&["1"], &[])), ("b", asked(&["1", "2"], &[])), ("c", asked(&["2"], &[])), ("d", asked(&["3"], &[]))], "a b c | d"),
        ];
        for (asked, expected) in rows {
            let asked = asked.iter().map(|(name, asked)| ((*name).to_owned(), asked.clone())).collect();
            let found = groups(&asked).iter().map(|group| group.join(" ")).collect::<Vec<_>>().join(" | ");
            assert_eq!(found, expected);
        }
    }
}
