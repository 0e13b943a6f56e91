//! What the last compilation decided, namespace by namespace, so that the next one compiles only what has changed. It has no influence on the result: what
//! is taken from it is what compiling anew would give. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use acme::{SecretName, WantedSet};

use super::parsed::{ParsedCertificates, Parser};
use super::part::Part;
use super::partition::{Asked, groups};
use super::whole::{Common, Held, Whole};
use super::{Facts, Input, Settings};
use crate::objects::{Balancers, Kind, ObjectKey, Objects};

/// A memory of compilations with one and the same settings.
#[derive(Debug, Default)]
pub struct Memory {
    last: Option<Last>,
    /// What each namespace names.
    asked: BTreeMap<String, Asked>,
    /// What came of each group of namespaces.
    parts: BTreeMap<Vec<String>, Part>,
    /// Certificates that were parsed.
    parsed: ParsedCertificates,
    balancers: Balancers,
    wanted: Arc<WantedSet>,
}

/// What the parts were compiled from.
#[derive(Debug)]
struct Last {
    objects: Objects,
    certificates: Arc<acme::Held>,
    common: Common,
    held: Held,
    now: SystemTime,
}

/// Namespaces of which a part has to be compiled anew.
enum Changed<'a> {
    All,
    Only(BTreeSet<&'a str>),
}

impl Changed<'_> {
    fn touches(&self, group: &[String]) -> bool {
        match self {
            Self::All => true,
            Self::Only(namespaces) => group.iter().any(|namespace| namespaces.contains(namespace.as_str())),
        }
    }
}

impl Memory {
    /// The Services of type LoadBalancer among all objects.
    pub fn balancers(&mut self, objects: &Objects) -> &Balancers {
        self.balancers.update(&objects.services);
        &self.balancers
    }

    /// Compiles what has changed. The parts are those of all namespaces then, in order.
    pub(super) fn compile(
        &mut self,
        objects: &Objects,
        settings: &Settings,
        facts: &Facts,
    ) -> (Whole, impl Iterator<Item = &Part> + Clone, Arc<WantedSet>) {
        let balancers = self.balancers(objects).services().clone();
        let mut parser = Parser::new(&self.parsed);
        let mut whole = Whole::decide(objects, settings, facts, &balancers, &mut parser);
        let platform = parser.into_parsed();
        self.parsed.extend(&platform);
        let last = self.last.take();
        if let Some(last) = last.as_ref().filter(|last| last.common.rules == whole.common.rules) {
            whole.common.rules = Arc::clone(&last.common.rules);
        }
        let wanted = Arc::clone(&self.wanted);
        let changed = match &last {
            Some(last) if last.common == whole.common && !self.parsed.any_expires(last.now, facts.now) => {
                changes(last, objects, facts, &whole.held, &wanted)
            }
            _ => Changed::All,
        };
        let input = Input { objects, settings, facts, public: &whole.common.public, balancers: &balancers, namespaces: &[] };
        if self.renew(input, &whole, &changed) || matches!(changed, Changed::All) {
            self.want(&whole);
        }
        // Parts that are gone took the zones' wildcards along.
        self.parsed.extend(&platform);
        let (common, held) = (whole.common.clone(), whole.held.clone());
        self.last = Some(Last { objects: objects.clone(), certificates: Arc::clone(&facts.held), common, held, now: facts.now });
        (whole, self.parts.values(), Arc::clone(&self.wanted))
    }

    /// Reads what the namespaces that have changed name. Returns whether it is something else now.
    fn ask(&mut self, objects: &Objects, changed: &Changed<'_>) -> bool {
        match changed {
            Changed::All => {
                let asked: BTreeMap<_, _> =
                    namespaces(objects).into_iter().filter_map(|name| Some((name.to_owned(), Asked::of(objects, name)?))).collect();
                let differs = asked != self.asked;
                self.asked = asked;
                differs
            }
            Changed::Only(namespaces) => namespaces.iter().fold(false, |differs, namespace| {
                let asked = Asked::of(objects, namespace);
                if self.asked.get(*namespace) == asked.as_ref() {
                    return differs;
                }
                match asked {
                    Some(asked) => drop(self.asked.insert((*namespace).to_owned(), asked)),
                    None => drop(self.asked.remove(*namespace)),
                }
                true
            }),
        }
    }

    /// Compiles the groups that have changed, and forgets those that are no more. Returns whether other certificates are wanted.
    fn renew(&mut self, input: Input<'_>, whole: &Whole, changed: &Changed<'_>) -> bool {
        let regrouped = self.ask(input.objects, changed);
        let mut before = std::mem::take(&mut self.parts);
        let groups = if regrouped { groups(&self.asked) } else { before.keys().cloned().collect() };
        let mut wanted_anew = false;
        for group in groups {
            let part = match before.remove(&group) {
                Some(part) if !changed.touches(&group) => part,
                old => {
                    let (old, part) = (old.unwrap_or_default(), Part::compile(Input { namespaces: &group, ..input }, whole, &self.parsed));
                    debug_assert!(part.hosts.iter().all(|host| self.is_asked(&group, &host.host)), "a host that nobody was seen to ask for");
                    wanted_anew |= old.wanted != part.wanted;
                    self.parsed.replace(&old.parsed, &part.parsed);
                    part
                }
            };
            self.parts.insert(group, part);
        }
        if !before.is_empty() {
            wanted_anew |= before.values().any(|part| !part.wanted.certificates.is_empty());
            before.values().for_each(|part| self.parsed.replace(&part.parsed, &ParsedCertificates::default()));
            // What left with its group may be in another one now.
            self.parts.values().for_each(|part| self.parsed.extend(&part.parsed));
        }
        wanted_anew
    }

    fn is_asked(&self, group: &[String], host: &str) -> bool {
        group.iter().any(|name| self.asked.get(name).is_some_and(|asked| asked.names(host)))
    }

    /// Puts together what is wanted.
    fn want(&mut self, whole: &Whole) {
        let mut wanted = super::certificates::wanted_set(whole.wanted.clone(), &whole.common.issuers);
        for part in self.parts.values() {
            wanted.issuers.extend(part.wanted.issuers.iter().map(|(id, issuer)| (id.clone(), issuer.clone())));
            wanted.certificates.extend(part.wanted.certificates.iter().map(|(secret, wanted)| (secret.clone(), wanted.clone())));
        }
        self.wanted = Arc::new(wanted);
    }
}

/// Every namespace that has something to compile.
fn namespaces(objects: &Objects) -> BTreeSet<&str> {
    let Objects { ingresses, services, endpoint_slices, endpoints, issuers, certificates, .. } = objects;
    let names = ingresses.namespaces().chain(services.namespaces()).chain(endpoint_slices.namespaces());
    names.chain(endpoints.namespaces()).chain(issuers.namespaces()).chain(certificates.namespaces()).collect()
}

/// The namespaces of which anything differs that a part is compiled from.
fn changes<'a>(last: &'a Last, objects: &'a Objects, facts: &'a Facts, held: &'a Held, wanted: &'a WantedSet) -> Changed<'a> {
    let before = &last.objects;
    if before.ingress_classes != objects.ingress_classes || before.cluster_issuers != objects.cluster_issuers || facts.now < last.now {
        return Changed::All;
    }
    let mut found = BTreeSet::new();
    objects_of(&before.ingresses, &objects.ingresses, &mut found);
    objects_of(&before.services, &objects.services, &mut found);
    objects_of(&before.endpoint_slices, &objects.endpoint_slices, &mut found);
    objects_of(&before.endpoints, &objects.endpoints, &mut found);
    objects_of(&before.secrets, &objects.secrets, &mut found);
    objects_of(&before.issuers, &objects.issuers, &mut found);
    objects_of(&before.certificates, &objects.certificates, &mut found);
    objects_of(&before.reference_grants, &objects.reference_grants, &mut found);

    let service = |key: &'a ObjectKey| key.namespace.as_str();
    entries(&last.held.served.services, &held.served.services, service, &mut found);
    entries(&last.held.pending, &held.pending, service, &mut found);
    entries(&last.held.without, &held.without, service, &mut found);
    if !Arc::ptr_eq(&last.certificates, &facts.held) {
        let secret = |name: &'a SecretName| wanted.certificates.get(name).map_or(name.namespace.as_str(), |wanted| wanted.payer(name));
        entries(&last.certificates.certificates, &facts.held.certificates, secret, &mut found);
        entries(&last.certificates.states, &facts.held.states, secret, &mut found);
    }
    if found.contains(SecretName::PLATFORM) { Changed::All } else { Changed::Only(found) }
}

fn objects_of<'a, T: PartialEq>(before: &'a Kind<T>, now: &'a Kind<T>, found: &mut BTreeSet<&'a str>) {
    now.differences(before, |key| _ = found.insert(key.namespace.as_str()));
}

/// The namespaces of the entries that differ.
fn entries<'a, K: Ord, V: PartialEq>(
    before: &'a BTreeMap<K, V>,
    now: &'a BTreeMap<K, V>,
    namespace: impl Fn(&'a K) -> &'a str,
    found: &mut BTreeSet<&'a str>,
) {
    let gone = before.keys().filter(|key| !now.contains_key(key));
    let come = now.iter().filter(|(key, value)| before.get(key) != Some(value)).map(|(key, _)| key);
    found.extend(gone.chain(come).map(namespace));
}
