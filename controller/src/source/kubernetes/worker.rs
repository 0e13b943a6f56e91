//! Gathers what the followers tell, has the contents of Secrets fetched, and publishes: a burst of changes is one read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::burst::Burst;
use super::fetch::{Answer, Fetches};
use super::follow::Change;
use super::metrics::Metrics;
use super::mirror::{Effect, Mirror};
use super::outage::{Line, Outages};
use super::subject::Subject;
use super::vault::Vault;
use crate::compile::{NamedSecrets, Settings};
use crate::objects::ObjectKey;
use crate::source::Read;
use crate::source::object::Kind;

/// How long a read waits for the Secrets that it names.
const HOLD: Duration = Duration::from_millis(300);

/// The same over all, while ever more are named.
const HOLD_OVERALL: Duration = Duration::from_secs(1);

/// The same for the first read, before which nobody is served.
const HOLD_FIRST: Duration = Duration::from_secs(10);

/// How long the first lists may take before what an earlier run read last is served.
const PATIENCE: Duration = Duration::from_secs(2);

/// Publishes what is read.
pub(super) struct Worker {
    pub(super) changes: mpsc::Receiver<(Subject, Change)>,
    pub(super) answers: mpsc::Receiver<Answer>,
    pub(super) wakes: BTreeMap<Subject, Arc<Notify>>,
    pub(super) settings: Settings,
    pub(super) fetches: Fetches,
    pub(super) vault: Vault,
    pub(super) named: NamedSecrets,
    pub(super) outlet: Outlet,
    /// What an earlier run read last.
    pub(super) last: Option<Read>,
    pub(super) metrics: Metrics,
    pub(super) seen: Seen,
}

/// What was told so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    mirror: Mirror,
    outages: Outages,
    absent: BTreeSet<Subject>,
    burst: Burst,
}

/// Where reads go.
pub(super) enum Outlet {
    /// Whoever waits for the first.
    First(oneshot::Sender<watch::Receiver<Arc<Read>>>),
    /// Those that have it.
    Next(watch::Sender<Arc<Read>>),
}

impl Seen {
    /// Nothing; complete once these kinds were listed.
    pub(super) fn awaiting(kinds: Vec<Kind>) -> Self {
        Self { mirror: Mirror::awaiting(kinds), ..Self::default() }
    }
}

impl Worker {
    /// Goes on until the followers end.
    pub(super) async fn run(mut self) {
        let patience = Instant::now() + PATIENCE;
        loop {
            let due = self.due();
            let waits = self.last.is_some();
            tokio::select! {
                change = self.changes.recv() => match change {
                    Some((subject, change)) => self.note(subject, change),
                    None => return,
                },
                Some(answer) = self.answers.recv() => self.answered(answer),
                () = sleep_until(due.unwrap_or(patience)), if due.is_some() => self.settle(),
                () = sleep_until(patience), if waits => self.fall_back(),
            }
        }
    }

    /// When there is something to publish, and the Secrets that it names are there or late.
    fn due(&self) -> Option<Instant> {
        let Seen { mirror, burst, .. } = &self.seen;
        let (due, began) = burst.due().zip(burst.began()).filter(|_| mirror.is_complete())?;
        let (hold, overall) = if self.is_first() { (HOLD_FIRST, HOLD_FIRST) } else { (HOLD, HOLD_OVERALL) };
        Some(self.fetches.latest().map_or(due, |latest| due.max((latest + hold).min(began + overall))))
    }

    /// Whether no read of this run was published yet.
    fn is_first(&self) -> bool {
        match &self.outlet {
            Outlet::First(_) => true,
            Outlet::Next(reads) => reads.borrow().stale,
        }
    }

    fn note(&mut self, subject: Subject, change: Change) {
        let effect = match (subject, change) {
            (_, Change::Failed(fault)) => {
                if let Some(Line::Begun(line)) = self.seen.outages.failed(subject, &fault) {
                    tracing::warn!(class = fault.class.label(), "{line}; what was read last stays");
                }
                Effect::None
            }
            (_, Change::Restored) => {
                self.restored(subject);
                Effect::None
            }
            (_, Change::Absent) => self.absent(subject),
            (Subject::Definitions, change) => {
                self.defined(&change);
                Effect::None
            }
            (Subject::Kind(Kind::Secret), change) => self.secret(change),
            (Subject::Kind(kind), change) => self.object(kind, change),
        };
        self.seen.burst.note(effect, Instant::now());
    }

    fn object(&mut self, kind: Kind, change: Change) -> Effect {
        let mirror = &mut self.seen.mirror;
        match change {
            Change::Listed(values) => {
                self.seen.absent.remove(&Subject::Kind(kind));
                mirror.list(kind, values)
            }
            Change::Applied(value) => mirror.apply(kind, value),
            Change::Deleted(value) => mirror.delete(kind, &value),
            Change::Absent | Change::Failed(_) | Change::Restored => Effect::None,
        }
    }

    fn secret(&mut self, change: Change) -> Effect {
        let wanted = |wanted: bool| if wanted { Effect::Content } else { Effect::None };
        match change {
            Change::Listed(values) => {
                let first = self.seen.mirror.listed(Kind::Secret);
                let (gone, changed) = self.vault.list(&values);
                gone.iter().map(|key| self.forget(key)).fold(first.max(wanted(changed)), Effect::max)
            }
            Change::Applied(value) => wanted(self.vault.apply(&value)),
            Change::Deleted(value) => self.vault.delete(&value).map_or(Effect::None, |key| self.forget(&key)),
            Change::Absent | Change::Failed(_) | Change::Restored => Effect::None,
        }
    }

    fn forget(&mut self, key: &ObjectKey) -> Effect {
        self.fetches.forget(key);
        self.seen.mirror.forget(Kind::Secret, key.clone())
    }

    fn answered(&mut self, answer: Answer) {
        let Some((key, value)) = self.fetches.take(answer) else { return };
        let version = value.as_ref().and_then(|value: &Value| value["metadata"]["resourceVersion"].as_str());
        if !self.vault.answered(&key, version) {
            return;
        }
        let effect = match value {
            Some(value) => self.seen.mirror.apply(Kind::Secret, value),
            None => self.seen.mirror.forget(Kind::Secret, key),
        };
        self.seen.burst.note(effect, Instant::now());
    }

    fn absent(&mut self, subject: Subject) -> Effect {
        let Subject::Kind(kind) = subject else { return Effect::None };
        if self.seen.absent.insert(subject) {
            tracing::info!(kind = subject.name(), "the cluster does not have this kind");
        }
        self.seen.mirror.absent(kind)
    }

    /// Kinds that were absent and are defined now are looked for at once.
    fn defined(&self, change: &Change) {
        let values = match change {
            Change::Listed(values) => values.as_slice(),
            Change::Applied(value) => std::slice::from_ref(value),
            _ => return,
        };
        let names: BTreeSet<_> = values.iter().filter_map(|value| value["metadata"]["name"].as_str()).collect();
        let come = self.seen.absent.iter().filter(|subject| names.contains(subject.definition().as_str()));
        come.filter_map(|subject| self.wakes.get(subject)).for_each(|wake| wake.notify_one());
    }

    fn restored(&mut self, subject: Subject) {
        let outages = &mut self.seen.outages;
        let was_out = outages.is_out(subject);
        if outages.restored(subject) == Some(Line::Over) {
            tracing::info!("every kind is watched again");
        } else if was_out {
            // An API server that answers one will answer the others, who may be waiting for long.
            outages.kinds().filter_map(|subject| self.wakes.get(&subject)).for_each(|wake| wake.notify_one());
        }
    }

    /// Has the Secrets that are named now fetched; publishes when none is missing, or the wait was long enough.
    fn settle(&mut self) {
        let named = self.named.among(self.seen.mirror.objects(), &self.settings);
        let steps = self.vault.name(named, Instant::now().into_std());
        for key in &steps.forget {
            self.forget(key);
        }
        steps.ask.into_iter().for_each(|key| self.fetches.begin(key));
        if self.due().is_none_or(|due| due <= Instant::now()) {
            self.seen.burst = Burst::default();
            self.last = None;
            self.metrics.stale(false);
            self.publish(self.seen.mirror.read());
        }
    }

    /// What an earlier run read last serves until this one has read everything.
    fn fall_back(&mut self) {
        if let Some(last) = self.last.take() {
            tracing::warn!("the cluster has not told everything in time; what was read last by an earlier run is served until it has");
            self.metrics.stale(true);
            self.publish(last);
        }
    }

    fn publish(&mut self, read: Read) {
        let read = Arc::new(read);
        match &self.outlet {
            Outlet::Next(sender) => drop(sender.send_replace(read)),
            Outlet::First(_) => {
                let (sender, reads) = watch::channel(read);
                if let Outlet::First(first) = std::mem::replace(&mut self.outlet, Outlet::Next(sender)) {
                    // Nobody waits for it any more when the program stops.
                    let _ = first.send(reads);
                }
            }
        }
    }
}
