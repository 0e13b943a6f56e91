//! Which addresses are held while an allocation is worked out, and which is the next one that a Service can have. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::objects::ObjectKey;

use super::range::address_of;
use super::{Allocation, Claim, Family, PoolRanges, Port, Refusal, SharingObstacle};

/// A claim and the key under which it shares.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub(super) claim: Arc<Claim>,
    pub(super) key: Option<Arc<str>>,
}

impl Asker {
    fn is(&self, other: &Self) -> bool {
        self.claim.service == other.claim.service
    }
}

/// Why an address cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Obstacle<'a> {
    Taken { by: &'a ObjectKey, port: Option<Port> },
    Sharing { with: &'a ObjectKey, why: SharingObstacle },
}

impl Obstacle<'_> {
    pub(super) fn refusal(self, address: IpAddr, field: String) -> Refusal {
        match self {
            Self::Taken { by, port } => Refusal::AddressTaken { address, by: by.clone(), port, field },
            Self::Sharing { with, why } => Refusal::SharingConflict { address, with: with.clone(), why, field },
        }
    }
}

/// Holders by address. Addresses are only ever added.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    holders: HashMap<IpAddr, Vec<Asker>>,
    namespaces: HashMap<String, Namespace>,
    /// Who names one may have it; nobody is given one who does not.
    kept_back: HashSet<IpAddr>,
}

/// What the Services of a namespace have.
#[derive(Debug, Default)]
struct Namespace {
    used: BTreeSet<IpAddr>,
    /// By Service.
    services: HashMap<String, Vec<IpAddr>>,
    /// By key.
    shared: HashMap<Arc<str>, BTreeSet<IpAddr>>,
}

impl Ledger {
    pub(super) fn take(&mut self, asker: &Asker, address: IpAddr) {
        self.holders.entry(address).or_default().push(asker.clone());
        let name = &asker.claim.service.namespace;
        if !self.namespaces.contains_key(name) {
            self.namespaces.insert(name.clone(), Namespace::default());
        }
        let Some(namespace) = self.namespaces.get_mut(name) else { return };
        namespace.used.insert(address);
        namespace.services.entry(asker.claim.service.name.clone()).or_default().push(address);
        if let Some(key) = &asker.key {
            namespace.shared.entry(Arc::clone(key)).or_default().insert(address);
        }
    }

    /// These are to be chosen for nobody.
    pub(super) fn keep_back(&mut self, addresses: &[IpAddr]) {
        self.kept_back.extend(addresses);
    }

    /// What a Service has.
    pub(super) fn held(&self, pools: &PoolRanges, service: &ObjectKey) -> Option<Allocation> {
        let addresses = self.namespaces.get(&service.namespace)?.services.get(&service.name)?.clone();
        let first = *addresses.first()?;
        let own = self.holders.get(&first)?.iter().find(|holder| holder.claim.service == *service)?;
        let (pool, ports) = (pools.pool_of(first)?.to_owned(), own.claim.ports.clone());
        Some(Allocation { addresses, pool, ports, sharing_key: own.key.as_deref().map(str::to_owned), foreign: None })
    }

    /// What keeps the asker from the address, of the holders that count. Other namespaces learn the holder's name and nothing else.
    pub(super) fn obstacle(&self, asker: &Asker, address: IpAddr, counts: impl Fn(&Claim) -> bool) -> Option<Obstacle<'_>> {
        let others = self.holders.get(&address)?.iter().filter(|holder| !holder.is(asker) && counts(&holder.claim));
        let obstacles = others.filter_map(|holder| Some((&holder.claim.service, obstacle_between(asker, holder)?)));
        obstacles.min_by_key(|(holder, _)| *holder).map(|(_, obstacle)| obstacle)
    }

    /// Addresses of others with the asker's sharing key that it may join, the lowest first.
    pub(super) fn joinable(&self, asker: &Asker) -> Vec<IpAddr> {
        let Some(key) = &asker.key else { return Vec::new() };
        let namespaces = std::iter::once(&asker.claim.service.namespace).chain(&asker.claim.shares_with);
        let shared = namespaces.filter_map(|namespace| self.namespaces.get(namespace)?.shared.get(key)).flatten().copied();
        let of_others = |address: &IpAddr| self.holders.get(address).is_some_and(|holders| holders.iter().any(|holder| !holder.is(asker)));
        let shared: BTreeSet<IpAddr> = shared.filter(|address| of_others(address) && self.obstacle(asker, *address, |_| true).is_none()).collect();
        shared.into_iter().collect()
    }

    /// Whether the namespace has the address already.
    pub(super) fn has(&self, namespace: &str, address: IpAddr) -> bool {
        self.namespaces.get(namespace).is_some_and(|namespace| namespace.used.contains(&address))
    }

    /// How many addresses the asker's namespace has, once the asker has given up these.
    pub(super) fn used_without(&self, asker: &Asker, given_up: impl Iterator<Item = IpAddr>) -> usize {
        let name = &asker.claim.service.namespace;
        let is_last = |address: &IpAddr| {
            let mut own = self.holders.get(address).into_iter().flatten().filter(|holder| holder.claim.service.namespace == *name).peekable();
            own.peek().is_some() && own.all(|holder| holder.is(asker))
        };
        let used = self.namespaces.get(name).map_or(0, |namespace| namespace.used.len());
        used - given_up.filter(is_last).count()
    }

    fn is_free(&self, address: IpAddr) -> bool {
        !self.holders.contains_key(&address) && !self.kept_back.contains(&address)
    }
}

/// By pool and family: where the search for a free address goes on. What is held stays so, so it never goes back.
#[derive(Debug, Clone, Default)]
pub(super) struct Cursors(Vec<[Cursor; 2]>);

/// A range of a pool and the number to look at next; below it, everything is held.
#[derive(Debug, Clone, Copy, Default)]
struct Cursor {
    range: usize,
    next: Option<u128>,
}

impl Cursors {
    pub(super) fn new(pools: &PoolRanges) -> Self {
        Self(vec![Default::default(); pools.len()])
    }

    /// The lowest address of the first range that has one that nobody holds.
    pub(super) fn free(&mut self, pools: &PoolRanges, ledger: &Ledger, pool: usize, family: Family) -> Option<IpAddr> {
        let cursor = &mut self.0[pool][family as usize];
        for range in pools.ranges(pool, family).skip(cursor.range) {
            let mut number = cursor.next.unwrap_or(range.first);
            while number <= range.last {
                let address = address_of(family, number)?;
                if ledger.is_free(address) && pools.gives(pool, address) {
                    cursor.next = Some(number);
                    return Some(address);
                }
                let Some(next) = number.checked_add(1) else { break };
                number = next;
            }
            *cursor = Cursor { range: cursor.range + 1, next: None };
        }
        None
    }
}

fn obstacle_between<'a>(asker: &Asker, holder: &'a Asker) -> Option<Obstacle<'a>> {
    let by = &holder.claim.service;
    let sharing = |why| Some(Obstacle::Sharing { with: by, why });
    if !is_agreed(&asker.claim, &holder.claim) {
        return Some(Obstacle::Taken { by, port: None });
    }
    match (&asker.key, &holder.key) {
        (None, None) => Some(Obstacle::Taken { by, port: None }),
        (Some(asked), Some(held)) if asked == held && asker.claim.traffic != holder.claim.traffic => sharing(SharingObstacle::TrafficDiffers),
        (Some(asked), Some(held)) if asked == held => {
            let port = asker.claim.ports.intersection(&holder.claim.ports).next()?;
            Some(Obstacle::Taken { by, port: Some(*port) })
        }
        (Some(_), Some(_)) => sharing(SharingObstacle::KeysDiffer),
        _ => sharing(SharingObstacle::OneKeyOnly),
    }
}

/// Whether the two may share at all: they are of one namespace, or each names the namespace of the other.
fn is_agreed(one: &Claim, other: &Claim) -> bool {
    let (a, b) = (&one.service.namespace, &other.service.namespace);
    a == b || (one.shares_with.contains(b) && other.shares_with.contains(a))
}
