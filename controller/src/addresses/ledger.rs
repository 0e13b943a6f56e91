//! Which addresses are held while an allocation is worked out, and which is the next one that a Service can have. Pure.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use crate::objects::ObjectKey;

use super::range::address_of;
use super::{Claim, Family, PoolRanges, Port, Refusal, SharingObstacle};

/// A claim and the key under which it shares.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) claim: &'a Claim,
    pub(super) key: Option<&'a str>,
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

/// Holders by address. Addresses are only ever added, so the search for a free one never goes back.
pub(super) struct Ledger<'a> {
    pools: &'a PoolRanges,
    holders: HashMap<IpAddr, Vec<Asker<'a>>>,
    shared: HashMap<(&'a str, &'a str), BTreeSet<IpAddr>>,
    /// Addresses of each namespace.
    used: HashMap<&'a str, BTreeSet<IpAddr>>,
    /// By pool and family: where the search goes on.
    cursors: Vec<[Cursor; 2]>,
}

/// A range of a pool and the number to look at next; below it, everything is held.
#[derive(Debug, Clone, Copy, Default)]
struct Cursor {
    range: usize,
    next: Option<u128>,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(pools: &'a PoolRanges) -> Self {
        Self { pools, holders: HashMap::new(), shared: HashMap::new(), used: HashMap::new(), cursors: vec![Default::default(); pools.len()] }
    }

    pub(super) fn take(&mut self, asker: Asker<'a>, address: IpAddr) {
        self.holders.entry(address).or_default().push(asker);
        self.used.entry(&asker.claim.service.namespace).or_default().insert(address);
        if let Some(key) = asker.key {
            self.shared.entry((&asker.claim.service.namespace, key)).or_default().insert(address);
        }
    }

    /// What keeps the asker from the address. Other namespaces learn the holder's name and nothing else.
    pub(super) fn obstacle(&self, asker: Asker<'_>, address: IpAddr) -> Option<Obstacle<'a>> {
        let others = self.holders.get(&address)?.iter();
        let obstacles = others.filter_map(|holder| Some((&holder.claim.service, obstacle_between(asker, *holder)?)));
        obstacles.min_by_key(|(holder, _)| *holder).map(|(_, obstacle)| obstacle)
    }

    /// Addresses of the asker's sharing key that it may join, the lowest first.
    pub(super) fn joinable(&self, asker: Asker<'_>) -> Vec<IpAddr> {
        let Some(key) = asker.key else { return Vec::new() };
        let namespaces = std::iter::once(&asker.claim.service.namespace).chain(&asker.claim.shares_with);
        let shared = namespaces.filter_map(|namespace| self.shared.get(&(namespace.as_str(), key))).flatten().copied();
        let shared: BTreeSet<IpAddr> = shared.filter(|address| self.obstacle(asker, *address).is_none()).collect();
        shared.into_iter().collect()
    }

    /// Whether the namespace has the address already.
    pub(super) fn has(&self, namespace: &str, address: IpAddr) -> bool {
        self.used.get(namespace).is_some_and(|used| used.contains(&address))
    }

    /// How many addresses the namespace has.
    pub(super) fn used(&self, namespace: &str) -> usize {
        self.used.get(namespace).map_or(0, BTreeSet::len)
    }

    /// The lowest address of the first range that has one that nobody holds.
    pub(super) fn free(&mut self, pool: usize, family: Family) -> Option<IpAddr> {
        let cursor = &mut self.cursors[pool][family as usize];
        for range in self.pools.ranges(pool, family).skip(cursor.range) {
            let mut number = cursor.next.unwrap_or(range.first);
            while number <= range.last {
                let address = address_of(family, number)?;
                if !self.holders.contains_key(&address) && self.pools.gives(pool, address) {
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

fn obstacle_between<'a>(asker: Asker<'_>, holder: Asker<'a>) -> Option<Obstacle<'a>> {
    let by = &holder.claim.service;
    let sharing = |why| Some(Obstacle::Sharing { with: by, why });
    if !is_agreed(asker.claim, holder.claim) {
        return Some(Obstacle::Taken { by, port: None });
    }
    match (asker.key, holder.key) {
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
