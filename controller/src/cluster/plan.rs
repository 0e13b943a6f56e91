//! What there is to write, from what a pass decided and what the objects hold. Pure.

use std::collections::HashSet;

use jiff::Timestamp;

use super::memory::Memory;
use super::pass::{Pass, Settings};
use super::write::{StatusKind, StatusWrite, Target, Write};
use super::{certificates, events, ingresses, services};

/// What there is to write now.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// The writes, the most urgent first.
    pub writes: Vec<Write>,
    /// Whether Events were left out, since they were looked for a moment ago: those of the last plan stand.
    pub without_events: bool,
    /// When there will be more although nothing changes.
    pub due: Option<Timestamp>,
}

/// Compares what a pass decided with what its objects hold. `memory` learns which objects are seen.
#[must_use]
pub fn plan(pass: &Pass, settings: &Settings, memory: &mut Memory, now: Timestamp) -> Plan {
    // What was kept from the last run is served and no more.
    if pass.read.stale {
        return Plan { without_events: true, ..Plan::default() };
    }
    memory.see(&pass.read.objects, now);
    let services = services::wanted(pass, settings, memory, now);
    let beside = services.beside;
    let withdrawn = events::withdrawals(pass, &services.withdrawn, memory, now);
    let statuses = services.statuses.into_iter().chain(ingresses::wanted(pass, memory)).chain(certificates::wanted(pass, now));
    let statuses: Vec<StatusWrite> = statuses.collect();

    let wanted: HashSet<Target> = statuses.iter().map(|write| write.target.clone()).collect();
    memory.keep_wanted(&wanted, |target| exists(pass, target));
    let mut plan = Plan { writes: withdrawn.into_iter().map(Write::Event).collect(), ..Plan::default() };
    for write in statuses.into_iter().chain(beside) {
        match memory.admits(&write, now) {
            Ok(()) => plan.writes.push(Write::Status(write)),
            Err(due) => plan.wake(due),
        }
    }
    if let Some(until) = memory.told.looked_until(now) {
        plan.without_events = true;
        plan.wake(Some(until));
        return plan;
    }
    let (events, due) = events::due(pass, memory, now);
    plan.wake(due);
    plan.writes.extend(events.into_iter().map(Write::Event));
    plan
}

impl Plan {
    fn wake(&mut self, due: Option<Timestamp>) {
        self.due = self.due.into_iter().chain(due).min();
    }
}

fn exists(pass: &Pass, target: &Target) -> bool {
    let objects = &pass.read.objects;
    match target.kind {
        StatusKind::Service => objects.services.contains_key(&target.key),
        StatusKind::Ingress => objects.ingresses.contains_key(&target.key),
        StatusKind::Certificate => objects.certificates.contains_key(&target.key),
    }
}
