//! Why a Service has no address, said so that its tenant can mend it and learns no more of others than their name. Pure.

use std::net::IpAddr;

use crate::objects::ObjectKey;
use crate::problem::Reason;

use super::{Family, Port};

/// Why two Services cannot share an address although their namespaces, or the one that they are of, would let them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SharingObstacle {
    /// Only one of them has a sharing key.
    #[error("only one of the two has an allow-shared-ip key; give both the same")]
    OneKeyOnly,
    /// They have different keys.
    #[error("their allow-shared-ip keys differ; give both the same")]
    KeysDiffer,
    /// Their traffic policies, or with `Local` the pods that they select, differ.
    #[error("their externalTrafficPolicy differs, or is Local for different pods; give both Cluster, or Local and the same selector")]
    TrafficDiffers,
}

/// Why a Service has not (all of) what it asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The configuration has no pool that Services may use without naming it.
    #[error("no pool is open to Services that name none; name one with the annotation metallb.io/address-pool")]
    NoPool,
    /// No pool in question has addresses of the families that are wanted.
    #[error("{} has no {} addresses", pool_or_any(.pool.as_deref()), families_text(.families))]
    NoSuchFamily {
        /// The pool that was named.
        pool: Option<String>,
        /// What it would have to have, all of it.
        families: Vec<Family>,
    },
    /// All addresses are held.
    #[error("{} has no free {family} address; share one with metallb.io/allow-shared-ip, free one, or ask the platform's operators", pool_or_any(Some(.pool)))]
    PoolExhausted {
        /// The pool, the last one that was tried.
        pool: String,
        /// What was wanted.
        family: Family,
    },
    /// The configuration has no pool of this name.
    #[error("there is no pool {pool:?}; the pools are: {}", .known.join(", "))]
    UnknownPool {
        /// The name.
        pool: String,
        /// The pools there are.
        known: Vec<String>,
        /// The field that names it.
        field: String,
    },
    /// The pool is kept for other namespaces or Services.
    #[error("the pool {pool:?} is not for this Service; name another pool, or ask the platform's operators for whom it is")]
    PoolNotForService {
        /// The pool.
        pool: String,
        /// The field that names it.
        field: String,
    },
    /// The address is of a pool that is kept for others, or is one that its pool never gives.
    #[error("the address {address} is not for this Service: its pool is kept for others, or keeps back addresses that end in .0 and .255")]
    AddressNotForService {
        /// The address.
        address: IpAddr,
        /// The field that names it.
        field: String,
    },
    /// The namespace holds as many addresses as it may.
    #[error(
        "this namespace holds {used} of {limit} addresses that it may have; free one, share one with metallb.io/allow-shared-ip, or ask the platform's \
         operators for more (addresses.quota)"
    )]
    QuotaExceeded {
        /// How many it holds.
        used: usize,
        /// How many it may hold.
        limit: usize,
    },
    /// The address is in no pool, or not in the pool that was asked for beside it.
    #[error("the address {address} is not in {}", pool_or_any(.pool.as_deref()))]
    AddressNotInPool {
        /// The address.
        address: IpAddr,
        /// The pool that it would have to be in; `None`: any.
        pool: Option<String>,
        /// The field that names the address.
        field: String,
    },
    /// The two addresses are in different pools.
    #[error("the addresses {} and {} are in the pools {:?} and {:?}; both have to be from one pool", .addresses[0], .addresses[1], .pools[0], .pools[1])]
    PoolsDiffer {
        /// The addresses.
        addresses: [IpAddr; 2],
        /// Their pools.
        pools: [String; 2],
        /// The field that names them.
        field: String,
    },
    /// The addresses are not of the families that the Service wants.
    #[error("the address {address} is {}, which this Service does not use; see spec.ipFamilies", Family::of(*.address))]
    FamilyNotWanted {
        /// The address.
        address: IpAddr,
        /// The field that names it.
        field: String,
    },
    /// Both families are required and the request names an address of one.
    #[error("RequireDualStack needs an {missing} address too; name one of each family, or none")]
    FamilyMissing {
        /// The family without an address.
        missing: Family,
        /// The field that names the other address.
        field: String,
    },
    /// Another Service holds the address.
    #[error("the address {address} is held by Service {by}{}", port_text(*.port))]
    AddressTaken {
        /// The address.
        address: IpAddr,
        /// Who holds it.
        by: ObjectKey,
        /// The port that both have, where they could share the address otherwise.
        port: Option<Port>,
        /// The field that names the address.
        field: String,
    },
    /// A Service of the same namespace holds the address, and the two may not share it.
    #[error("the address {address} is held by Service {with}: {why}")]
    SharingConflict {
        /// The address.
        address: IpAddr,
        /// Who holds it.
        with: ObjectKey,
        /// What stands against it.
        why: SharingObstacle,
        /// The field that names the address.
        field: String,
    },
}

impl Refusal {
    /// The reason that goes into the [`crate::problem::Problem`].
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::NoPool | Self::NoSuchFamily { .. } | Self::PoolExhausted { .. } => Reason::PoolExhausted,
            Self::QuotaExceeded { .. } => Reason::QuotaExceeded,
            Self::UnknownPool { .. }
            | Self::PoolNotForService { .. }
            | Self::AddressNotForService { .. }
            | Self::AddressNotInPool { .. }
            | Self::PoolsDiffer { .. }
            | Self::FamilyNotWanted { .. }
            | Self::FamilyMissing { .. } => Reason::AddressNotAllowed,
            Self::AddressTaken { .. } | Self::SharingConflict { .. } => Reason::AddressTaken,
        }
    }

    /// The field of the Service that cannot be met.
    #[must_use]
    pub fn field(&self) -> &str {
        match self {
            Self::NoPool | Self::NoSuchFamily { .. } | Self::PoolExhausted { .. } | Self::QuotaExceeded { .. } => "spec.type",
            Self::UnknownPool { field, .. }
            | Self::PoolNotForService { field, .. }
            | Self::AddressNotForService { field, .. }
            | Self::AddressNotInPool { field, .. }
            | Self::PoolsDiffer { field, .. }
            | Self::FamilyNotWanted { field, .. }
            | Self::FamilyMissing { field, .. }
            | Self::AddressTaken { field, .. }
            | Self::SharingConflict { field, .. } => field,
        }
    }
}

fn pool_or_any(pool: Option<&str>) -> String {
    pool.map_or_else(|| "any pool".to_owned(), |name| format!("the pool {name:?}"))
}

fn families_text(families: &[Family]) -> String {
    families.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

fn port_text(port: Option<Port>) -> String {
    port.map_or_else(String::new, |port| format!(", which has the port {port} too"))
}
