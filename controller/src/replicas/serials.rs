//! Serials of zones that several replicas serve: none ever goes back, whichever replica leads and whatever a replica has lost. Pure.
//!
//! A serial is taken only below a bound that was written before, by the leader, in blocks. Serials follow the clock (as everywhere), so that replicas that
//! see the same change take nearly the same one without asking each other. A new leader begins at the bound that it finds, for all that came before is
//! below it, and writes that as the floor: every replica then goes on from there. Where no serial may be taken yet (the leader is away) the new content is
//! served under the serial of the old: late for secondaries, never wrong for resolvers.

use std::collections::{BTreeMap, BTreeSet};

use dns::serial::{is_newer, next};
use k8s_openapi::api::core::v1::ConfigMap;
use serde::{Deserialize, Serialize};

/// Name of the ConfigMap: zones to [`Reservation`] in JSON.
pub const ZONES: &str = "vrata-zones";

/// How many serials are reserved at once. They are about as many seconds, and so the most by which a replica that lost its state runs ahead of others.
pub const BLOCK: u32 = 60;

/// How far behind the clock a zone begins of which nothing is known and nothing reserved, in seconds: whatever is reserved later comes after it, although
/// the clocks of replicas differ.
const UNRESERVED: u32 = 3600;

/// Which serials of a zone may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Not those before this one.
    pub floor: u32,
    /// Only those before this one.
    pub bound: u32,
}

/// The reservations of all zones.
pub type Reservations = BTreeMap<String, Reservation>;

/// Who decides about serials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authority {
    /// This process, alone.
    Own,
    /// The leader of several.
    Shared(Reservations),
}

/// What holds for one zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limits {
    /// Any serial may be taken.
    Free,
    /// None may be taken yet.
    Nothing,
    /// Those that are reserved.
    Within(Reservation),
}

impl Authority {
    /// What holds for this zone.
    #[must_use]
    pub fn limits(&self, zone: &str) -> Limits {
        match self {
            Self::Own => Limits::Free,
            Self::Shared(reservations) => reservations.get(zone).map_or(Limits::Nothing, |reserved| Limits::Within(*reserved)),
        }
    }
}

impl Limits {
    /// Whether a zone has to leave this serial although nothing in it changed.
    #[must_use]
    pub fn is_below_floor(self, serial: u32) -> bool {
        matches!(self, Self::Within(reserved) if is_newer(reserved.floor, serial))
    }
}

/// The serial of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// To be served.
    pub serial: u32,
    /// The one it would have if all could be taken: what the leader reserves for.
    pub wanted: u32,
    /// Whether it stays; where not, it is to be chosen again once more is reserved.
    pub settled: bool,
}

/// Chooses the serial of a zone that had `known` before, and may have changed since.
#[must_use]
pub fn choose(known: Option<u32>, changed: bool, limits: Limits, unix_seconds: u32) -> Choice {
    let own = known.filter(|_| !changed).unwrap_or_else(|| next(known, unix_seconds));
    let wanted = match limits {
        Limits::Within(reserved) => later(own, reserved.floor),
        Limits::Free | Limits::Nothing => own,
    };
    match (known, limits) {
        (_, Limits::Free) => Choice { serial: wanted, wanted, settled: true },
        // All that was ever taken, here too before this process lost it, is below the bound.
        (None, Limits::Within(reserved)) => Choice { serial: reserved.bound.wrapping_sub(1), wanted, settled: true },
        (Some(_), Limits::Within(reserved)) if is_newer(reserved.bound, wanted) => Choice { serial: wanted, wanted, settled: true },
        (known, _) => Choice { serial: known.unwrap_or_else(|| wanted.wrapping_sub(UNRESERVED)), wanted, settled: false },
    }
}

const fn later(a: u32, b: u32) -> u32 {
    if is_newer(a, b) { a } else { b }
}

/// What the leader reserves, from what is reserved and wanted; `None` when that is enough. `begun` are the zones for which it has written since it leads.
#[must_use]
pub fn reserve(current: &Reservations, wanted: &BTreeMap<String, u32>, begun: &BTreeSet<String>) -> Option<Reservations> {
    let mut reservations = current.clone();
    for (zone, wanted) in wanted {
        let reserved = match current.get(zone) {
            None => Reservation { floor: *wanted, bound: wanted.wrapping_add(BLOCK) },
            Some(old) if !begun.contains(zone) => Reservation { floor: old.bound, bound: later(old.bound, *wanted).wrapping_add(BLOCK) },
            Some(old) if is_newer(wanted.wrapping_add(BLOCK / 2), old.bound) => Reservation { floor: old.floor, bound: wanted.wrapping_add(BLOCK) },
            Some(old) => *old,
        };
        reservations.insert(zone.clone(), reserved);
    }
    (reservations != *current).then_some(reservations)
}

/// The ConfigMap that has these reservations.
#[must_use]
pub fn to_config_map(reservations: &Reservations) -> ConfigMap {
    let text = |reserved| serde_json::to_string(reserved).expect("two numbers have a JSON form");
    let data = reservations.iter().map(|(zone, reserved)| (zone.clone(), text(reserved))).collect();
    ConfigMap { metadata: super::metadata(ZONES, "zones"), data: Some(data), ..ConfigMap::default() }
}

/// The reservations that the ConfigMap has.
///
/// # Errors
/// Names the zone whose entry is not what [`to_config_map`] writes.
pub fn from_config_map(found: &ConfigMap) -> Result<Reservations, String> {
    let entries = found.data.iter().flatten();
    let read = |(zone, text): (&String, &String)| match serde_json::from_str(text) {
        Ok(reserved) => Ok((zone.clone(), reserved)),
        Err(error) => Err(format!("data[{zone:?}] is {text:?}: {error}; expected {{\"floor\": NUMBER, \"bound\": NUMBER}}")),
    };
    entries.map(read).collect()
}

#[cfg(test)]
mod tests;
