//! Which addresses are held while an allocation is worked out, and which is the next one that a Service can have. Pure.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use crate::objects::ObjectKey;

use super::pool::address_of;
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
        Self { pools, holders: HashMap::new(), shared: HashMap::new(), cursors: vec![Default::default(); pools.len()] }
    }

    pub(super) fn take(&mut self, asker: Asker<'a>, address: IpAddr) {
        self.holders.entry(address).or_default().push(asker);
        if let Some(key) = asker.key {
            self.shared.entry((&asker.claim.service.namespace, key)).or_default().insert(address);
        }
    }

    /// What keeps the asker from the address. Other namespaces learn the holder's name and nothing else.
    pub(super) fn obstacle(&self, asker: Asker<'_>, address: IpAddr) -> Option<Obstacle<'a>> {
        self.holders.get(&address)?.iter().find_map(|holder| obstacle_between(asker, *holder))
    }

    /// Addresses of the asker's sharing key that it may join, the lowest first.
    pub(super) fn joinable(&self, asker: Asker<'_>) -> Vec<IpAddr> {
        let Some(key) = asker.key else { return Vec::new() };
        let Some(addresses) = self.shared.get(&(asker.claim.service.namespace.as_str(), key)) else { return Vec::new() };
        addresses.iter().copied().filter(|address| self.obstacle(asker, *address).is_none()).collect()
    }

    /// The lowest address of the first range that has one that nobody holds.
    pub(super) fn free(&mut self, pool: usize, family: Family) -> Option<IpAddr> {
        let cursor = &mut self.cursors[pool][family as usize];
        for range in self.pools.ranges(pool, family).skip(cursor.range) {
            let mut number = cursor.next.unwrap_or(range.first);
            while number <= range.last {
                let address = address_of(family, number)?;
                if !self.holders.contains_key(&address) {
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
    if by.namespace != asker.claim.service.namespace {
        return Some(Obstacle::Taken { by, port: None });
    }
    match (asker.key, holder.key) {
        (None, None) => Some(Obstacle::Taken { by, port: None }),
        (Some(asked), Some(held)) if asked == held => {
            let port = asker.claim.ports.intersection(&holder.claim.ports).next()?;
            Some(Obstacle::Taken { by, port: Some(*port) })
        }
        (Some(_), Some(_)) => sharing(SharingObstacle::KeysDiffer),
        _ => sharing(SharingObstacle::OneKeyOnly),
    }
}
