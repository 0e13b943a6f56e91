//! Pools of addresses: those of the configuration, validated, and (see `pool_objects`) those of IPAddressPool objects beside them. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::config::Pool;

use super::range::{is_buggy, number};
use super::{Claim, Family, PoolRange, RangeError, Selector};

/// Pools that do not overlap: first those of the configuration in its order, then those of objects by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolRanges {
    pub(super) pools: Vec<Entry>,
    /// All ranges by family and first address, each with the position of its pool.
    sorted: Vec<(PoolRange, usize)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) auto_assign: bool,
    /// Whether addresses that end in .0 and .255 are kept back.
    pub(super) avoid_buggy: bool,
    /// For whom it is; `None`: for everybody.
    pub(super) terms: Option<Terms>,
    pub(super) ranges: Vec<PoolRange>,
}

/// For whom a pool is (`spec.serviceAllocation`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Terms {
    /// The lesser is asked first.
    pub(super) priority: u64,
    /// Namespaces that may use it; `None`: all. An empty set is a fence around everything.
    pub(super) namespaces: Option<BTreeSet<String>>,
    /// Services with such labels may; `None`: all.
    pub(super) services: Option<Vec<Selector>>,
}

/// What is wrong with the pools.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// A pool without a name.
    #[error("addresses.pools[{index}].name: is empty; requests name a pool by it")]
    EmptyName {
        /// Position of the pool.
        index: usize,
    },
    /// Two pools of one name.
    #[error("addresses.pools[{index}].name: {name:?} is the name of an earlier pool too")]
    DuplicateName {
        /// Position of the later pool.
        index: usize,
        /// The name.
        name: String,
    },
    /// A pool without ranges.
    #[error("addresses.pools[{index}].ranges: the pool {name:?} has no addresses")]
    NoRanges {
        /// Position of the pool.
        index: usize,
        /// Its name.
        name: String,
    },
    /// A range that cannot be read.
    #[error("addresses.pools[{index}].ranges[{range}]: {value:?} {error}")]
    BadRange {
        /// Position of the pool.
        index: usize,
        /// Position of the range.
        range: usize,
        /// As it is written.
        value: String,
        /// What is wrong.
        error: RangeError,
    },
    /// Two ranges have addresses in common.
    #[error("addresses.pools[{index}].ranges[{range}]: {value:?} of the pool {pool:?} overlaps {other_value:?} of the pool {other_pool:?}")]
    Overlap {
        /// Position of the later pool.
        index: usize,
        /// Position of the later range.
        range: usize,
        /// The later range.
        value: String,
        /// The later pool.
        pool: String,
        /// The earlier range.
        other_value: String,
        /// The earlier pool.
        other_pool: String,
    },
}

impl PoolRanges {
    /// Reads and validates the pools.
    ///
    /// # Errors
    /// The first thing that is wrong, with its position.
    pub fn parse(pools: &[Pool]) -> Result<Self, PoolError> {
        let mut parsed = Self::default();
        for (index, pool) in pools.iter().enumerate() {
            let name = pool.name.clone();
            if name.is_empty() {
                return Err(PoolError::EmptyName { index });
            }
            if parsed.position(&name).is_some() {
                return Err(PoolError::DuplicateName { index, name });
            }
            if pool.ranges.is_empty() {
                return Err(PoolError::NoRanges { index, name });
            }
            let read = |(range, value): (usize, &String)| {
                PoolRange::parse(value).map_err(|error| PoolError::BadRange { index, range, value: value.clone(), error })
            };
            let ranges = pool.ranges.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
            parsed.sorted.extend(ranges.iter().map(|range| (*range, index)));
            parsed.pools.push(Entry { name, auto_assign: pool.auto_assign, avoid_buggy: false, terms: None, ranges });
        }
        parsed.sorted.sort_unstable();
        parsed.refuse_overlaps(pools)?;
        Ok(parsed)
    }

    /// In the order of their first addresses, ranges overlap exactly if two neighbours do.
    fn refuse_overlaps(&self, pools: &[Pool]) -> Result<(), PoolError> {
        let Some(pair) = self.sorted.windows(2).find(|pair| pair[0].0.family == pair[1].0.family && pair[1].0.first <= pair[0].0.last) else {
            return Ok(());
        };
        let mut places = [self.place(pair[0], false), self.place(pair[1], true)];
        places.sort_unstable();
        let [(earlier, earlier_range), (index, range)] = places;
        Err(PoolError::Overlap {
            index,
            range,
            value: pools[index].ranges[range].clone(),
            pool: pools[index].name.clone(),
            other_value: pools[earlier].ranges[earlier_range].clone(),
            other_pool: pools[earlier].name.clone(),
        })
    }

    /// Positions of the pool and of the range in it; of equal ranges in one pool the first or the last.
    fn place(&self, (range, pool): (PoolRange, usize), last: bool) -> (usize, usize) {
        let ranges = &self.pools[pool].ranges;
        let position = if last { ranges.iter().rposition(|other| *other == range) } else { ranges.iter().position(|other| *other == range) };
        (pool, position.expect("the range was taken from this pool"))
    }

    /// Name of the pool that has the address.
    #[must_use]
    pub fn pool_of(&self, address: IpAddr) -> Option<&str> {
        self.containing(address).map(|position| self.name(position))
    }

    /// The names, in the order of the configuration.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.pools.iter().map(|pool| pool.name.as_str())
    }

    pub(super) fn len(&self) -> usize {
        self.pools.len()
    }

    pub(super) fn name(&self, position: usize) -> &str {
        &self.pools[position].name
    }

    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.pools.iter().position(|pool| pool.name == name)
    }

    /// Adds pools whose ranges are known to overlap nothing.
    pub(super) fn append(&mut self, entries: impl IntoIterator<Item = Entry>) {
        self.pools.extend(entries);
        let pools = self.pools.iter().enumerate();
        self.sorted = pools.flat_map(|(position, pool)| pool.ranges.iter().map(move |range| (*range, position))).collect();
        self.sorted.sort_unstable();
    }

    /// Whether the pool is for this Service at all. Whoever is fenced out gets nothing of it, whatever is asked for.
    pub(super) fn admits(&self, position: usize, claim: &Claim) -> bool {
        self.pools[position].terms.as_ref().is_none_or(|terms| terms.admit(claim))
    }

    /// Whether the pool gives this address to anybody.
    pub(super) fn gives(&self, position: usize, address: IpAddr) -> bool {
        !(self.pools[position].avoid_buggy && is_buggy(address))
    }

    /// Positions of the pools that a Service may use without naming them, in the order in which they are asked: those that are meant for it by
    /// priority, then those that are for everybody.
    pub(super) fn auto_assigned(&self, claim: &Claim) -> Vec<usize> {
        let open = (0..self.pools.len()).filter(|position| self.pools[*position].auto_assign);
        let (mut meant, others): (Vec<_>, Vec<_>) = open.partition(|position| self.pools[*position].terms.is_some());
        meant.retain(|position| self.pools[*position].terms.as_ref().is_some_and(|terms| terms.is_pinned() && terms.admit(claim)));
        meant.sort_by_key(|position| self.pools[*position].terms.as_ref().map(|terms| terms.priority));
        meant.extend(others);
        meant
    }

    /// The names of the pools that are for this Service.
    pub(super) fn names_for(&self, claim: &Claim) -> Vec<String> {
        (0..self.pools.len()).filter(|position| self.admits(*position, claim)).map(|position| self.name(position).to_owned()).collect()
    }

    /// Position of the pool that has the address.
    pub(super) fn containing(&self, address: IpAddr) -> Option<usize> {
        let (family, number) = (Family::of(address), number(address));
        let after = self.sorted.partition_point(|(range, _)| (range.family, range.first) <= (family, number));
        let (range, position) = self.sorted[..after].last()?;
        (range.family == family && number <= range.last).then_some(*position)
    }

    /// The ranges of one family of a pool, as they are listed.
    pub(super) fn ranges(&self, position: usize, family: Family) -> impl Iterator<Item = PoolRange> {
        self.pools[position].ranges.iter().copied().filter(move |range| range.family == family)
    }
}

impl Terms {
    /// Whether namespaces or Services are named: as in MetalLB, a pool with nothing but a priority is only for those who name it.
    pub(super) const fn is_pinned(&self) -> bool {
        self.namespaces.is_some() || self.services.is_some()
    }

    fn admit(&self, claim: &Claim) -> bool {
        self.namespaces.as_ref().is_none_or(|namespaces| namespaces.contains(&claim.service.namespace))
            && self.services.as_ref().is_none_or(|selectors| selectors.iter().any(|selector| selector.matches(&claim.labels)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn pool(name: &str, ranges: &[&str]) -> Pool {
        Pool { name: name.into(), ranges: ranges.iter().map(ToString::to_string).collect(), auto_assign: true }
    }

    #[test]
    fn addresses_belong_to_the_pool_that_lists_them() {
        let pools = PoolRanges::parse(&[
            pool("public", &["192.0.2.0/28", " 192.0.2.32 - 192.0.2.35 "]),
            pool("private", &["10.0.0.0/8", "fd00::/64"]),
            pool("one", &["192.0.2.16/32", "::/128"]),
        ])
        .unwrap();
        let table = [
            ("192.0.2.0", Some("public")),
            ("192.0.2.15", Some("public")),
            ("192.0.2.16", Some("one")),
            ("192.0.2.17", None),
            ("192.0.2.32", Some("public")),
            ("192.0.2.35", Some("public")),
            ("192.0.2.36", None),
            ("10.255.255.255", Some("private")),
            ("9.255.255.255", None),
            ("fd00::ffff:ffff:ffff:ffff", Some("private")),
            ("fd00:0:0:1::", None),
            ("::", Some("one")),
            ("::c000:202", None),
        ];
        for (address, expected) in table {
            assert_eq!(pools.pool_of(address.parse().unwrap()), expected, "{address}");
        }
        assert_eq!(pools.names().collect::<Vec<_>>(), ["public", "private", "one"]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let table = [
            (vec![pool("", &["10.0.0.0/8"])], "addresses.pools[0].name: is empty; requests name a pool by it"),
            (vec![pool("a", &["10.0.0.0/8"]), pool("a", &["11.0.0.0/8"])], "addresses.pools[1].name: \"a\" is the name of an earlier pool too"),
            (vec![pool("a", &[])], "addresses.pools[0].ranges: the pool \"a\" has no addresses"),
            (
                vec![pool("a", &["10.0.0.0/8", "10.x"])],
                "addresses.pools[0].ranges[1]: \"10.x\" is neither a CIDR (192.0.2.0/24) nor a range (192.0.2.10-192.0.2.20)",
            ),
            (vec![pool("a", &["10.0.0.1"])], "addresses.pools[0].ranges[0]: \"10.0.0.1\" is a single address; write 10.0.0.1/32"),
            (vec![pool("a", &["10.0.0.1/24"])], "addresses.pools[0].ranges[0]: \"10.0.0.1/24\" has bits set behind its prefix; write 10.0.0.0/24"),
            (vec![pool("a", &["10.0.0.1-fd00::"])], "addresses.pools[0].ranges[0]: \"10.0.0.1-fd00::\" mixes IPv4 and IPv6"),
            (vec![pool("a", &["10.0.0.9-10.0.0.1"])], "addresses.pools[0].ranges[0]: \"10.0.0.9-10.0.0.1\" ends before it starts"),
            (
                vec![pool("a", &["10.0.0.0/8"]), pool("b", &["192.0.2.0/24", "10.9.0.0-10.9.0.3"])],
                "addresses.pools[1].ranges[1]: \"10.9.0.0-10.9.0.3\" of the pool \"b\" overlaps \"10.0.0.0/8\" of the pool \"a\"",
            ),
            (
                vec![pool("a", &["10.9.0.0/16"]), pool("b", &["10.0.0.0/8"])],
                "addresses.pools[1].ranges[0]: \"10.0.0.0/8\" of the pool \"b\" overlaps \"10.9.0.0/16\" of the pool \"a\"",
            ),
            (
                vec![pool("a", &["10.0.0.0/8", "10.0.0.0/8"])],
                "addresses.pools[0].ranges[1]: \"10.0.0.0/8\" of the pool \"a\" overlaps \"10.0.0.0/8\" of the pool \"a\"",
            ),
        ];
        for (pools, expected) in table {
            assert_eq!(PoolRanges::parse(&pools).unwrap_err().to_string(), expected);
        }
    }
}
