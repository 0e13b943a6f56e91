//! Which Events were told, when, and how many of one object. Pure.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use super::write::{EventWrite, Outcome};
use crate::objects::ObjectKey;

/// How often an Event that still holds is told: half of the time that an API server keeps it.
pub(super) const REPEAT: SignedDuration = SignedDuration::from_mins(30);
/// A problem that is gone by then is not told: objects that belong together come one after the other.
const SETTLED: SignedDuration = SignedDuration::from_secs(2);
/// How often it is looked for what there is to tell.
const EVERY: SignedDuration = SignedDuration::from_secs(1);
/// Events that one object gets within that time at most, whatever its owner does to it.
pub(super) const MOST_PER_OBJECT: u32 = 20;

/// What was told.
#[derive(Debug, Default)]
pub(super) struct Told {
    events: HashMap<u64, Timestamp>,
    spent: HashMap<(String, ObjectKey), Budget>,
    /// Since when problems stand that are not told.
    standing: HashMap<u64, Timestamp>,
    /// When it was looked for what there is to tell.
    looked: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy)]
struct Budget {
    since: Timestamp,
    events: u32,
}

impl Told {
    pub(super) fn finished(&mut self, event: &EventWrite, outcome: &Outcome, now: Timestamp) {
        if *outcome == Outcome::Unreachable {
            return;
        }
        self.events.insert(event.id, now);
        let key = (event.regarding.kind.clone(), ObjectKey::new(&event.regarding.namespace, &event.regarding.name));
        let budget = self.spent.entry(key).or_insert(Budget { since: now, events: 0 });
        if now.duration_since(budget.since) >= REPEAT {
            *budget = Budget { since: now, events: 0 };
        }
        budget.events += 1;
    }

    /// Whether this is the first look: from then on what becomes true is news.
    pub(super) const fn is_new(&self) -> bool {
        self.looked.is_none()
    }

    /// Until when there is no need to look again.
    pub(super) fn looked_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.looked.map(|looked| later(looked, EVERY)).filter(|until| *until > now)
    }

    /// When a problem has stood long enough to be told.
    pub(super) fn settled_at(&mut self, event: u64, now: Timestamp) -> Timestamp {
        later(*self.standing.entry(event).or_insert(now), SETTLED)
    }

    /// When it was told.
    pub(super) fn at(&self, event: u64) -> Option<Timestamp> {
        self.events.get(&event).copied()
    }

    /// It counts as told.
    pub(super) fn pass_over(&mut self, event: u64, now: Timestamp) {
        self.events.insert(event, now);
    }

    /// How many more Events the object gets now, and when there will be room again.
    pub(super) fn room(&self, kind: &str, object: &ObjectKey, now: Timestamp) -> (u32, Timestamp) {
        let budget = self.spent.get(&(kind.to_owned(), object.clone())).filter(|budget| now.duration_since(budget.since) < REPEAT);
        budget.map_or((MOST_PER_OBJECT, now), |budget| (MOST_PER_OBJECT.saturating_sub(budget.events), after(budget.since)))
    }

    /// Forgets what does not hold any more and was told long ago: what comes and goes is told no more often than what stays.
    pub(super) fn looked(&mut self, holding: &HashSet<u64>, now: Timestamp) {
        self.looked = Some(now);
        self.standing.retain(|event, _| holding.contains(event) && !self.events.contains_key(event));
        self.events.retain(|event, at| holding.contains(event) || now.duration_since(*at) < REPEAT);
        self.spent.retain(|_, budget| now.duration_since(budget.since) < REPEAT);
    }
}

/// When something that was told is told again.
pub(super) fn after(at: Timestamp) -> Timestamp {
    later(at, REPEAT)
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}
