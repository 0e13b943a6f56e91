//! Pools of addresses as the configuration has them, validated. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::config::Pool;

use super::Family;

/// Pools that do not overlap, in the order of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolRanges {
    pools: Vec<Entry>,
    /// All ranges by family and first address, each with the position of its pool.
    sorted: Vec<(Range, usize)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    name: String,
    auto_assign: bool,
    ranges: Vec<Range>,
}

/// Addresses of one family from the first to the last, as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Range {
    pub(super) family: Family,
    pub(super) first: u128,
    pub(super) last: u128,
}

/// What is wrong with one range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// Neither CIDR nor range.
    #[error("is neither a CIDR (192.0.2.0/24) nor a range (192.0.2.10-192.0.2.20)")]
    Malformed,
    /// An address without a prefix length.
    #[error("is a single address; write {}", IpNet::from(*.0))]
    SingleAddress(IpAddr),
    /// A CIDR whose address is not that of its network.
    #[error("has bits set behind its prefix; write {0}")]
    HostBits(IpNet),
    /// The two ends are of different families.
    #[error("mixes IPv4 and IPv6")]
    MixedFamilies,
    /// The end lies before the start.
    #[error("ends before it starts")]
    Reversed,
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
                Range::parse(value).map_err(|error| PoolError::BadRange { index, range, value: value.clone(), error })
            };
            let ranges = pool.ranges.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
            parsed.sorted.extend(ranges.iter().map(|range| (*range, index)));
            parsed.pools.push(Entry { name, auto_assign: pool.auto_assign, ranges });
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
    fn place(&self, (range, pool): (Range, usize), last: bool) -> (usize, usize) {
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

    /// Positions of the pools that Services may use without naming them.
    pub(super) fn auto_assigned(&self) -> Vec<usize> {
        (0..self.pools.len()).filter(|position| self.pools[*position].auto_assign).collect()
    }

    /// Position of the pool that has the address.
    pub(super) fn containing(&self, address: IpAddr) -> Option<usize> {
        let (family, number) = (Family::of(address), number(address));
        let after = self.sorted.partition_point(|(range, _)| (range.family, range.first) <= (family, number));
        let (range, position) = self.sorted[..after].last()?;
        (range.family == family && number <= range.last).then_some(*position)
    }

    /// The ranges of one family of a pool, as they are listed.
    pub(super) fn ranges(&self, position: usize, family: Family) -> impl Iterator<Item = Range> {
        self.pools[position].ranges.iter().copied().filter(move |range| range.family == family)
    }
}

impl Range {
    fn parse(text: &str) -> Result<Self, RangeError> {
        let text = text.trim();
        if let Some((first, last)) = text.split_once('-') {
            return Self::between(address(first)?, address(last)?);
        }
        if let Ok(single) = text.parse() {
            return Err(RangeError::SingleAddress(single));
        }
        let network: IpNet = text.parse().map_err(|_| RangeError::Malformed)?;
        if network.trunc() != network {
            return Err(RangeError::HostBits(network.trunc()));
        }
        Self::between(network.network(), network.broadcast())
    }

    fn between(first: IpAddr, last: IpAddr) -> Result<Self, RangeError> {
        let family = Family::of(first);
        if family != Family::of(last) {
            return Err(RangeError::MixedFamilies);
        }
        if last < first {
            return Err(RangeError::Reversed);
        }
        Ok(Self { family, first: number(first), last: number(last) })
    }
}

fn address(text: &str) -> Result<IpAddr, RangeError> {
    text.trim().parse().map_err(|_| RangeError::Malformed)
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The address of a number; `None` where IPv4 has no such number.
pub(super) fn address_of(family: Family, number: u128) -> Option<IpAddr> {
    match family {
        Family::V4 => u32::try_from(number).ok().map(|bits| Ipv4Addr::from_bits(bits).into()),
        Family::V6 => Some(Ipv6Addr::from_bits(number).into()),
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
