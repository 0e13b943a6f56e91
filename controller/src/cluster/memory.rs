//! What was written and told in this term of leadership, so that nothing is written twice, nobody is fought, and no address is given away while another
//! Service may still have it. Pure: it learns of the time and of outcomes from its caller.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::promise::Promises;
use super::told::Told;
use super::write::{Outcome, StatusWrite, Target, Write};
use crate::objects::{ObjectKey, Objects};
use crate::problem::{ObjectRef, Problem, Reason, Severity};

/// After this time a write that met another manager is tried once more: perhaps it went.
const AFTER_CONFLICT: SignedDuration = SignedDuration::from_hours(1);
/// The same when the object has changed since: perhaps it was handed over.
const AFTER_CHANGE: SignedDuration = SignedDuration::from_secs(10);
/// The same after the API server would not have it.
const AFTER_REFUSAL: SignedDuration = SignedDuration::from_mins(10);
/// The same after the object had changed, if no change is seen; doubled each time.
const AFTER_STALE: SignedDuration = SignedDuration::from_secs(5);
/// Somebody who undoes the same write this often ...
const MOST_REPEATS: u32 = 3;
/// ... each time within this time, is another controller.
const REPEATED_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// What this term of leadership remembers.
#[derive(Debug, Default)]
pub struct Memory {
    under_way: HashSet<Key>,
    attempts: HashMap<Target, Attempt>,
    /// The same of what is said beside a status that another controller owns.
    beside: HashMap<Target, Attempt>,
    conflicts: BTreeMap<Target, Vec<String>>,
    pub(super) promises: Promises,
    pub(super) told: Told,
}

/// What a write is about: one at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Status(Target),
    Event(u64),
}

/// The last write of one status.
#[derive(Debug)]
struct Attempt {
    status: Value,
    resource_version: String,
    outcome: Outcome,
    at: Timestamp,
    not_before: Timestamp,
    /// How often the same was written, or was stale, in a row.
    repeats: u32,
}

impl Write {
    pub(super) fn key(&self) -> Key {
        match self {
            Self::Status(write) => Key::Status(write.target.clone()),
            Self::Event(event) => Key::Event(event.id),
        }
    }
}

impl Memory {
    /// Addresses that Services had when this term began, according to the API server itself: the watch may not have shown them yet.
    pub fn recall(&mut self, held: impl IntoIterator<Item = (ObjectKey, String, Vec<IpAddr>)>, now: Timestamp) {
        for (service, resource_version, addresses) in held {
            self.promises.recall(service, resource_version, addresses, now);
        }
    }

    /// What is seen now. Goes before a plan.
    pub(super) fn see(&mut self, objects: &Objects, now: Timestamp) {
        self.promises.see(objects, now);
    }

    /// A write is sent.
    pub fn started(&mut self, write: &Write) {
        self.under_way.insert(write.key());
        if let Write::Status(write) = write
            && !write.beside
        {
            self.promises.started(write);
        }
    }

    /// What became of it.
    pub fn finished(&mut self, write: &Write, outcome: &Outcome, now: Timestamp) {
        self.under_way.remove(&write.key());
        match write {
            Write::Event(event) => self.told.finished(event, outcome, now),
            Write::Status(write) if write.beside => _ = self.attempted(write, outcome, now),
            Write::Status(write) => {
                self.promises.finished(write, outcome);
                match self.attempted(write, outcome, now) {
                    Some(managers) => drop(self.conflicts.insert(write.target.clone(), managers)),
                    None if *outcome == Outcome::Written => drop(self.conflicts.remove(&write.target)),
                    None => {}
                }
            }
        }
    }

    /// Who else owns what was to be written.
    fn attempted(&mut self, write: &StatusWrite, outcome: &Outcome, now: Timestamp) -> Option<Vec<String>> {
        let attempts = if write.beside { &mut self.beside } else { &mut self.attempts };
        let last = attempts.get(&write.target);
        let repeats = last.filter(|last| last.is_repeated_by(write, outcome, now)).map_or(0, |last| last.repeats + 1);
        let (conflict, wait) = match outcome {
            Outcome::Written if repeats >= MOST_REPEATS => (Some(Vec::new()), AFTER_CONFLICT),
            Outcome::Written | Outcome::Unreachable => (None, SignedDuration::ZERO),
            Outcome::Stale => (None, AFTER_STALE * (1 << repeats.min(6))),
            Outcome::Conflict(managers) => (Some(managers.clone()), AFTER_CONFLICT),
            Outcome::Refused => (None, AFTER_REFUSAL),
        };
        let attempt = Attempt {
            status: timeless(&write.status),
            resource_version: write.resource_version.clone(),
            outcome: outcome.clone(),
            at: now,
            not_before: now.saturating_add(wait).unwrap_or(Timestamp::MAX),
            repeats,
        };
        attempts.insert(write.target.clone(), attempt);
        conflict
    }

    /// Which other managers own the status, if it is known that others do.
    pub(super) fn conflict(&self, target: &Target) -> Option<&[String]> {
        self.conflicts.get(target).map(Vec::as_slice)
    }

    /// Whether an event or a status is on its way.
    pub(super) fn is_under_way(&self, key: &Key) -> bool {
        self.under_way.contains(key)
    }

    /// Whether a status that is wanted may be written now; else since when, if that is known.
    pub(super) fn admits(&self, write: &StatusWrite, now: Timestamp) -> Result<(), Option<Timestamp>> {
        if self.is_under_way(&Key::Status(write.target.clone())) {
            return Err(None);
        }
        let attempts = if write.beside { &self.beside } else { &self.attempts };
        let Some(last) = attempts.get(&write.target) else { return Ok(()) };
        let same_version = last.resource_version == write.resource_version;
        match last.outcome {
            // It is done, and the watch has yet to show it: over this version nothing can be written any more.
            Outcome::Written if same_version => Err(None),
            Outcome::Stale if !same_version => Ok(()),
            Outcome::Conflict(_) if !same_version => match last.at.saturating_add(AFTER_CHANGE) {
                Ok(from) if now < from => Err(Some(from)),
                _ => Ok(()),
            },
            _ if now < last.not_before => Err(Some(last.not_before)),
            _ => Ok(()),
        }
    }

    /// Whether this process wrote addresses into the status.
    pub(super) fn wrote_addresses(&self, target: &Target) -> bool {
        let attempt = self.attempts.get(target);
        attempt.is_some_and(|attempt| attempt.outcome == Outcome::Written && attempt.status.get("loadBalancer").is_some())
    }

    /// Forgets statuses that are as they should be, or whose object is gone: a conflict about them is over.
    pub(super) fn keep_wanted(&mut self, wanted: &HashSet<Target>, exists: impl Fn(&Target) -> bool) {
        self.conflicts.retain(|target, _| wanted.contains(target));
        self.attempts.retain(|target, _| exists(target));
        self.beside.retain(|target, _| exists(target));
    }

    /// What is wrong with other controllers, for the owners of the objects.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        self.conflicts.iter().map(|(target, managers)| conflict(target, managers)).collect()
    }
}

impl Attempt {
    fn is_repeated_by(&self, write: &StatusWrite, outcome: &Outcome, now: Timestamp) -> bool {
        match (&self.outcome, outcome) {
            (Outcome::Written, Outcome::Written) => self.status == timeless(&write.status) && now.duration_since(self.at) < REPEATED_WITHIN,
            (Outcome::Stale, Outcome::Stale) => self.resource_version == write.resource_version,
            _ => false,
        }
    }
}

/// The status without since when its conditions hold: who undoes a write makes them begin anew each time.
fn timeless(status: &Value) -> Value {
    let mut status = status.clone();
    for condition in status.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(condition) = condition.as_object_mut() {
            condition.remove("lastTransitionTime");
        }
    }
    status
}

fn conflict(target: &Target, managers: &[String]) -> Problem {
    let who = if managers.is_empty() {
        "another controller keeps changing this object's status".to_owned()
    } else {
        format!("another controller owns this object's status: {}", managers.join(", "))
    };
    let until = if target.kind == super::write::StatusKind::Service {
        "what is served is in the condition vrata.io/AddressAllocated"
    } else {
        "the status may not be true"
    };
    let message = format!("{who}; remove that controller, or give the object's class to one of the two; until then {until}");
    Problem {
        severity: Severity::Warning,
        object: Some(ObjectRef {
            kind: target.kind.name().into(),
            namespace: Some(target.key.namespace.as_str().into()),
            name: target.key.name.as_str().into(),
        }),
        origin: None,
        field: if target.kind == super::write::StatusKind::Certificate { "status".into() } else { "status.loadBalancer.ingress".into() },
        reason: Reason::StatusConflict,
        message,
    }
}
