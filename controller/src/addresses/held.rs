//! The allocation as it is persisted: JSON, one entry a Service. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::objects::ObjectKey;

use super::Port;

/// What each Service holds. In JSON a map from `namespace/name` to [`Allocation`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, Allocation>", into = "BTreeMap<String, Allocation>")]
pub struct Allocations {
    /// By Service.
    pub services: BTreeMap<ObjectKey, Allocation>,
}

/// What one Service holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Allocation {
    /// Its addresses, at most one of each family, in the order of its status.
    pub addresses: Vec<IpAddr>,
    /// The pool they are from.
    pub pool: String,
    /// The ports it has on them.
    pub ports: BTreeSet<Port>,
    /// The key under which it shares them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharing_key: Option<String>,
    /// Where another controller has written its status.
    #[serde(skip)]
    pub foreign: Option<Foreign>,
}

/// A status that another controller has written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// The addresses in it: chosen for nobody as long as they stand there.
    pub addresses: Vec<IpAddr>,
    /// Whether what the Service holds was allocated by this program before.
    pub is_remembered: bool,
}

impl Allocations {
    /// What both say: of each Service the addresses and ports that are in both.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        let common = |(key, one): (&ObjectKey, &Allocation)| {
            let two = other.services.get(key)?;
            let addresses: Vec<IpAddr> = one.addresses.iter().copied().filter(|address| two.addresses.contains(address)).collect();
            let ports = one.ports.intersection(&two.ports).copied().collect();
            let allocation = Allocation { addresses, pool: one.pool.clone(), ports, sharing_key: one.sharing_key.clone(), foreign: None };
            (!allocation.addresses.is_empty()).then(|| (key.clone(), allocation))
        };
        Self { services: self.services.iter().filter_map(common).collect() }
    }
}

/// A key of the persisted map that is not `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not namespace/name")]
pub struct MalformedKey(pub String);

impl TryFrom<BTreeMap<String, Allocation>> for Allocations {
    type Error = MalformedKey;

    fn try_from(map: BTreeMap<String, Allocation>) -> Result<Self, MalformedKey> {
        let parse = |(key, allocation): (String, Allocation)| match key.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => Ok((ObjectKey::new(namespace, name), allocation)),
            _ => Err(MalformedKey(key)),
        };
        Ok(Self { services: map.into_iter().map(parse).collect::<Result<_, _>>()? })
    }
}

impl From<Allocations> for BTreeMap<String, Allocation> {
    fn from(allocations: Allocations) -> Self {
        allocations.services.into_iter().map(|(key, allocation)| (key.to_string(), allocation)).collect()
    }
}
