//! What is written to the state directory, in one place: held addresses, zone serials, and what Kubernetes would hold in `.status`. A second pass with the
//! same values writes nothing. In Kubernetes addresses and statuses are in the cluster, where `cluster/` writes them; here is read what it holds.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::addresses::{Allocations, PoolRanges, held_allocations};
use crate::config::Ownership;
use crate::objects::Balancers;
use crate::replicas::serials::{Choice, Limits, choose};
use crate::state::{Durability, StateDir, StateError};

const ALLOCATIONS: &str = "ledger/addresses.json";
const POLICY: &str = "ledger/ownership.json";

/// What was written last, so that the same is not written again.
#[derive(Debug)]
pub struct Effects {
    state: Arc<StateDir>,
    in_cluster: bool,
    allocations: Allocations,
    policy: Option<Ownership>,
    serials: BTreeMap<String, ZoneSerial>,
    statuses: BTreeMap<String, Vec<u8>>,
}

/// A zone's serial and what it was given for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ZoneSerial {
    serial: u32,
    /// Hash of the content, hexadecimal.
    content: String,
}

/// What was persisted cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EffectsError {
    /// The state directory failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// A file in it is not what this program writes.
    #[error("{file} in the state directory cannot be read: {source}; restore it from a backup, or remove it to start afresh")]
    Corrupt {
        /// The file.
        file: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Effects {
    /// Reads what was written before.
    ///
    /// # Errors
    /// When a file cannot be read: to go on without it would give a held address to another.
    pub fn open(state: impl Into<Arc<StateDir>>) -> Result<Self, EffectsError> {
        let state = state.into();
        let allocations = read(&state, ALLOCATIONS)?.unwrap_or_default();
        let policy = read(&state, POLICY)?;
        let mut serials = BTreeMap::new();
        for file in state.list("zones")? {
            if let (Some(zone), Some(serial)) = (file.strip_prefix("zones/").and_then(|name| name.strip_suffix(".json")), read(&state, &file)?) {
                serials.insert(zone.to_owned(), serial);
            }
        }
        let mut statuses = BTreeMap::new();
        for file in state.list("status")? {
            statuses.insert(file.clone(), state.read(&file)?.unwrap_or_default());
        }
        Ok(Self { state, in_cluster: false, allocations, policy, serials, statuses })
    }

    /// The same for objects of a cluster, whose status keeps what this would: nothing is written below `status/`, and no allocation.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn in_cluster(state: impl Into<Arc<StateDir>>) -> Result<Self, EffectsError> {
        Ok(Self { in_cluster: true, ..Self::open(state)? })
    }

    /// The state directory.
    #[must_use]
    pub fn state(&self) -> &StateDir {
        &self.state
    }

    /// Addresses that are held.
    #[must_use]
    pub fn held(&self, balancers: &Balancers, pools: &PoolRanges) -> Cow<'_, Allocations> {
        if self.in_cluster { Cow::Owned(held_allocations(balancers, pools)) } else { Cow::Borrowed(&self.allocations) }
    }

    /// Makes an allocation real; nothing may serve it before. In a cluster it stays a proposal, and what is compiled serves only what is held.
    ///
    /// # Errors
    /// When it cannot be written; the old one then holds.
    pub fn allocate(&mut self, allocations: &Allocations) -> Result<(), EffectsError> {
        if !self.in_cluster && *allocations != self.allocations {
            self.state.write(ALLOCATIONS, &json(allocations), Durability::Synced)?;
            self.allocations = allocations.clone();
        }
        Ok(())
    }

    /// The last policy of ownership that was kept.
    #[must_use]
    pub const fn policy(&self) -> Option<&Ownership> {
        self.policy.as_ref()
    }

    /// Keeps a policy of ownership for when its ConfigMap cannot be read.
    ///
    /// # Errors
    /// When it cannot be written; it serves all the same.
    pub fn keep_policy(&mut self, policy: &Ownership) -> Result<(), EffectsError> {
        if self.policy.as_ref() != Some(policy) {
            self.state.write(POLICY, &json(policy), Durability::Synced)?;
            self.policy = Some(policy.clone());
        }
        Ok(())
    }

    /// The serial that a zone with this content has: the one it had, or a new one, which is persisted before it is given out.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn serial(&mut self, zone: &str, content: [u8; 32], limits: Limits, unix_seconds: u32) -> Result<Choice, EffectsError> {
        use std::fmt::Write as _;
        let hash = content.iter().fold(String::with_capacity(64), |mut hash, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hash, "{byte:02x}");
            hash
        });
        let known = self.serials.get(zone);
        let is_new = known.is_none_or(|known| known.content != hash);
        let choice = choose(known.map(|known| known.serial), is_new, limits, unix_seconds);
        if choice.settled && (is_new || known.is_none_or(|known| known.serial != choice.serial)) {
            let next = ZoneSerial { serial: choice.serial, content: hash };
            self.state.write(&format!("zones/{zone}.json"), &json(&next), Durability::Synced)?;
            self.serials.insert(zone.to_owned(), next);
        }
        Ok(choice)
    }

    /// Writes what changed of the statuses (file name below `status/` to content), and removes those that are gone. In a cluster nobody asks for them.
    ///
    /// # Errors
    /// The first file that cannot be written or removed; the others are still brought up to date.
    pub fn publish(&mut self, statuses: impl FnOnce() -> BTreeMap<String, Vec<u8>>) -> Result<(), EffectsError> {
        if self.in_cluster {
            return Ok(());
        }
        let wanted = statuses();
        let mut first = Ok(());
        let gone: BTreeSet<String> = self.statuses.keys().filter(|file| !wanted.contains_key(*file)).cloned().collect();
        for file in gone {
            match self.state.remove(&file) {
                Ok(()) => _ = self.statuses.remove(&file),
                Err(error) => first = first.and(Err(error)),
            }
        }
        for (file, content) in wanted {
            if self.statuses.get(&file) != Some(&content) {
                match self.state.write(&file, &content, Durability::Derived) {
                    Ok(()) => _ = self.statuses.insert(file, content),
                    Err(error) => first = first.and(Err(error)),
                }
            }
        }
        Ok(first?)
    }
}

fn read<T: for<'de> Deserialize<'de>>(state: &StateDir, file: &str) -> Result<Option<T>, EffectsError> {
    let Some(content) = state.read(file)? else { return Ok(None) };
    serde_json::from_slice(&content).map(Some).map_err(|source| EffectsError::Corrupt { file: file.to_owned(), source })
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec_pretty(value).expect("plain values without maps of other keys than strings")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn reopened(directory: &tempfile::TempDir) -> Effects {
        Effects::open(StateDir::open(directory.path()).unwrap()).unwrap()
    }

    #[test]
    fn a_serial_grows_with_the_content_only_and_survives() {
        let directory = tempfile::tempdir().unwrap();
        let mut effects = reopened(&directory);
        let serial = |effects: &mut Effects, content, now| effects.serial("a.test", content, Limits::Free, now).unwrap().serial;
        assert_eq!(serial(&mut effects, [1; 32], 100), 100);
        assert_eq!(serial(&mut effects, [1; 32], 500), 100);
        assert_eq!(serial(&mut effects, [2; 32], 50), 101);
        drop(effects);
        let mut effects = reopened(&directory);
        assert_eq!(serial(&mut effects, [2; 32], 60), 101);
        assert_eq!(serial(&mut effects, [3; 32], 60), 102);
    }

    #[test]
    fn statuses_follow_what_is_wanted() {
        let directory = tempfile::tempdir().unwrap();
        let mut effects = reopened(&directory);
        let files = |names: &[&str]| names.iter().map(|name| (format!("status/{name}"), name.as_bytes().to_vec())).collect::<BTreeMap<_, _>>();
        effects.publish(|| files(&["a/x.json", "b/y.json"])).unwrap();
        drop(effects);
        let mut effects = reopened(&directory);
        effects.publish(|| files(&["b/y.json", "c/z.json"])).unwrap();
        assert_eq!(effects.state().list("status").unwrap(), ["status/b/y.json", "status/c/z.json"]);
    }

    #[test]
    fn a_corrupt_ledger_stops_the_start_and_names_the_file() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("ledger")).unwrap();
        std::fs::write(directory.path().join(ALLOCATIONS), "{").unwrap();
        let error = Effects::open(StateDir::open(directory.path()).unwrap()).unwrap_err().to_string();
        assert!(error.starts_with("ledger/addresses.json in the state directory cannot be read"), "{error}");
    }
}
