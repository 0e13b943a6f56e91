//! A range of addresses as pools write it: a CIDR, or the first and the last. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::Family;

/// Addresses of one family from the first to the last, as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PoolRange {
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

impl PoolRange {
    /// Reads a range of the configuration.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, RangeError> {
        match Self::network(text)? {
            Ok(network) if network.trunc() != network => Err(RangeError::HostBits(network.trunc())),
            Ok(network) => Self::between(network.network(), network.broadcast()),
            Err(range) => Ok(range),
        }
    }

    /// Reads a range of an IPAddressPool: bits behind the prefix mean nothing there, as in MetalLB.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn lenient(text: &str) -> Result<Self, RangeError> {
        match Self::network(text)? {
            Ok(network) => Self::between(network.network(), network.broadcast()),
            Err(range) => Ok(range),
        }
    }

    /// A CIDR as it is written, or a range.
    fn network(text: &str) -> Result<Result<IpNet, Self>, RangeError> {
        let text = text.trim();
        if let Some((first, last)) = text.split_once('-') {
            return Self::between(address(first)?, address(last)?).map(Err);
        }
        if let Ok(single) = text.parse() {
            return Err(RangeError::SingleAddress(single));
        }
        text.parse().map(Ok).map_err(|_| RangeError::Malformed)
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

/// An address as a number.
pub(super) fn number(address: IpAddr) -> u128 {
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

/// Whether old firmware takes the address for that of a network or a broadcast: an IPv4 address that ends in .0 or .255.
pub(super) fn is_buggy(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if matches!(v4.octets()[3], 0 | 255))
}
