//! IPAddressPool objects beside the pools of the configuration. What is wrong with one of them is told on it, and costs no other pool an address. Pure.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::objects::{AddressPoolSpec, ObjectKey, Objects, ServiceAllocation, Stored};
use crate::problem::{Reason, Severity};

use super::pool::{Entry, Terms};
use super::{Family, PoolRange, PoolRanges, Selector};

/// The label that every namespace has.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// What is wrong with a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolFault {
    /// The pool.
    pub pool: ObjectKey,
    /// How bad it is.
    pub severity: Severity,
    /// The field.
    pub field: String,
    /// Why.
    pub reason: Reason,
    /// What is wrong and what to do.
    pub message: String,
}

/// Ranges that are given out already, by family and first address: the last one and what it is called.
type Taken = BTreeMap<(Family, u128), (u128, String)>;

impl PoolRanges {
    /// These pools and those of the objects in `namespace`. Where two overlap, those of the configuration win, then the older.
    #[must_use]
    pub fn with_objects(&self, objects: &Objects, namespace: &str) -> (Cow<'_, Self>, Vec<PoolFault>) {
        if objects.address_pools.is_empty() {
            return (Cow::Borrowed(self), Vec::new());
        }
        let mut gathered = Gathered { taken: self.taken(), entries: BTreeMap::new(), faults: Vec::new(), objects };
        let mut by_age: Vec<_> = objects.address_pools.iter().collect();
        by_age.sort_by(|(a, one), (b, other)| one.age.cmp(&other.age).then_with(|| a.cmp(b)));
        for (key, stored) in by_age {
            if key.namespace != namespace {
                let message = format!("pools are read in the namespace {namespace:?} only (addresses.poolNamespace); create it there");
                gathered.fault(key, Severity::Error, "metadata.namespace", Reason::Refused, message);
            } else if self.position(&key.name).is_some() {
                let message = format!("{:?} is the name of a pool of the configuration, which is used; choose another name", key.name);
                gathered.fault(key, Severity::Error, "metadata.name", Reason::DuplicateObject, message);
            } else {
                gathered.add(key, stored);
            }
        }
        let mut pools = self.clone();
        pools.append(gathered.entries.into_values());
        (Cow::Owned(pools), gathered.faults)
    }

    fn taken(&self) -> Taken {
        let ranges = self.pools.iter().flat_map(|pool| pool.ranges.iter().map(move |range| (pool, range)));
        ranges.map(|(pool, range)| ((range.family, range.first), (range.last, format!("the pool {:?} of the configuration", pool.name)))).collect()
    }
}

struct Gathered<'a> {
    taken: Taken,
    /// By name.
    entries: BTreeMap<String, Entry>,
    faults: Vec<PoolFault>,
    objects: &'a Objects,
}

impl Gathered<'_> {
    fn fault(&mut self, pool: &ObjectKey, severity: Severity, field: impl Into<String>, reason: Reason, message: String) {
        self.faults.push(PoolFault { pool: pool.clone(), severity, field: field.into(), reason, message });
    }

    fn add(&mut self, key: &ObjectKey, stored: &Stored<AddressPoolSpec>) {
        let spec = &stored.object;
        let mut ranges = Vec::new();
        for (index, text) in spec.addresses.iter().enumerate() {
            let field = format!("spec.addresses[{index}]");
            match PoolRange::lenient(text) {
                Err(error) => self.fault(key, Severity::Error, field, Reason::InvalidField, format!("{text:?} {error}; it is passed over")),
                Ok(range) => match self.overlapped(range) {
                    Some(other) => {
                        let message = format!("{text:?} overlaps {other}, which came first; it is passed over, the rest of the pool is used");
                        self.fault(key, Severity::Error, field, Reason::InvalidField, message);
                    }
                    None => {
                        let named = format!("{text:?} of the pool {:?}", key.name);
                        self.taken.insert((range.family, range.first), (range.last, named));
                        ranges.push(range);
                    }
                },
            }
        }
        let terms = spec.service_allocation.as_ref().map(|allocation| self.terms(key, allocation));
        let entry = Entry {
            name: key.name.clone(),
            auto_assign: spec.auto_assign.unwrap_or(true),
            avoid_buggy: spec.avoid_buggy_ips.unwrap_or(false),
            terms,
            ranges,
        };
        self.entries.insert(key.name.clone(), entry);
    }

    /// What is given out overlaps nothing, so only the last range that starts before the end of this one can overlap it.
    fn overlapped(&self, range: PoolRange) -> Option<String> {
        let before = self.taken.range((range.family, 0)..=(range.family, range.last)).next_back();
        before.filter(|(_, (last, _))| *last >= range.first).map(|(_, (_, name))| name.clone())
    }

    fn terms(&mut self, key: &ObjectKey, allocation: &ServiceAllocation) -> Terms {
        let by_namespace = !(allocation.namespaces.is_empty() && allocation.namespace_selectors.is_empty());
        let namespaces = by_namespace.then(|| self.namespaces(allocation));
        if namespaces.as_ref().is_some_and(BTreeSet::is_empty) {
            let message = "no namespace has such labels, so nobody gets an address of this pool; label a namespace, or name one".to_owned();
            self.fault(key, Severity::Warning, "spec.serviceAllocation.namespaceSelectors", Reason::NoEffect, message);
        }
        // One that cannot be read is no selector, so that it matches nothing.
        let read = || allocation.service_selectors.iter().filter_map(|selector| Selector::read(selector).ok()).collect();
        let services = (!allocation.service_selectors.is_empty()).then(read);
        let priority = u64::try_from(allocation.priority.unwrap_or(0)).ok().filter(|priority| *priority > 0).unwrap_or(u64::MAX);
        let terms = Terms { priority, namespaces, services };
        if !terms.is_pinned() {
            let message =
                "names neither namespaces nor selectors, so Services get an address of this pool only by naming it; name them, or remove it";
            self.fault(key, Severity::Warning, "spec.serviceAllocation", Reason::NoEffect, message.to_owned());
        }
        terms
    }

    /// The namespaces that are named, and those with such labels. A namespace that is no object has its name for a label all the same.
    fn namespaces(&self, allocation: &ServiceAllocation) -> BTreeSet<String> {
        let mut namespaces: BTreeSet<String> = allocation.namespaces.iter().cloned().collect();
        let selectors: Vec<Selector> = allocation.namespace_selectors.iter().filter_map(|selector| Selector::read(selector).ok()).collect();
        if selectors.is_empty() {
            return namespaces;
        }
        let known = self.objects.namespaces.keys().map(|key| &key.name).chain(self.objects.services.keys().map(|key| &key.namespace));
        for name in known.collect::<BTreeSet<_>>() {
            let stored = self.objects.namespaces.get(&ObjectKey::new("", name));
            let mut labels = stored.and_then(|stored| stored.object.metadata.labels.clone()).unwrap_or_default();
            labels.insert(NAMESPACE_NAME.to_owned(), name.clone());
            if selectors.iter().any(|selector| selector.matches(&labels)) {
                namespaces.insert(name.clone());
            }
        }
        namespaces
    }
}
