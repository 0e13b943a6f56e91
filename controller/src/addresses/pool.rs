//! Pools of addresses as the configuration has them, validated. Pure.

use std::net::IpAddr;

use crate::config::Pool;

/// Pools that do not overlap, in the order of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolRanges {}

/// What is wrong with one range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// Neither CIDR nor range.
    #[error("is neither a CIDR (192.0.2.0/24) nor a range (192.0.2.10-192.0.2.20)")]
    Malformed,
    /// An address without a prefix length.
    #[error("is a single address; write {}", ipnet::IpNet::from(*.0))]
    SingleAddress(IpAddr),
    /// A CIDR whose address is not that of its network.
    #[error("has bits set behind its prefix; write {0}")]
    HostBits(ipnet::IpNet),
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
    pub fn parse(_pools: &[Pool]) -> Result<Self, PoolError> {
        Ok(Self {})
    }
}
