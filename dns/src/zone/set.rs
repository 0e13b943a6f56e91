//! The zones that are served, found by the longest origin.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::{Zone, ZoneError};
use crate::Name;
use crate::name::WireName;

/// The zones that are served.
#[derive(Debug, Default)]
pub struct ZoneSet {
    zones: Vec<Arc<Zone>>,
    table: HashTable<usize>,
    hasher: DefaultHashBuilder,
    fewest_labels: usize,
    most_labels: usize,
}

impl ZoneSet {
    /// The set of `zones`, in any order; zones may lie below one another.
    ///
    /// # Errors
    /// Names the first origin that comes twice.
    pub fn new(zones: Vec<Arc<Zone>>) -> Result<Self, ZoneError> {
        let labels = |zone: &Arc<Zone>| zone.origin_wire.labels();
        let fewest_labels = zones.iter().map(labels).min().unwrap_or(0);
        let most_labels = zones.iter().map(labels).max().unwrap_or(0);
        let mut set = Self { zones: Vec::with_capacity(zones.len()), fewest_labels, most_labels, ..Self::default() };
        for zone in zones {
            if set.probe(zone.origin_wire.bytes()).is_some() {
                return Err(ZoneError::DuplicateZone(zone.origin.clone()));
            }
            let hash = set.hasher.hash_one(zone.origin_wire.bytes());
            set.table.insert_unique(hash, set.zones.len(), |&index| set.hasher.hash_one(set.zones[index].origin_wire.bytes()));
            set.zones.push(zone);
        }
        Ok(set)
    }

    /// The zones, in the order given.
    #[must_use]
    pub fn zones(&self) -> &[Arc<Zone>] {
        &self.zones
    }

    /// The zone that answers for `name`: the one with the longest origin.
    #[must_use]
    pub fn find(&self, name: &Name) -> Option<&Arc<Zone>> {
        self.closest(&WireName::of(name), usize::MAX)
    }

    /// The zone with the longest origin of at most `most` labels at or above `name`.
    pub(crate) fn closest(&self, name: &WireName, most: usize) -> Option<&Arc<Zone>> {
        let deepest = name.labels().min(self.most_labels).min(most);
        (self.fewest_labels..=deepest).rev().find_map(|labels| self.probe(name.last(labels)))
    }

    fn probe(&self, origin: &[u8]) -> Option<&Arc<Zone>> {
        let equal = |&index: &usize| self.zones[index].origin_wire.bytes() == origin;
        self.table.find(self.hasher.hash_one(origin), equal).map(|&index| &self.zones[index])
    }
}
