//! Carries plans out while this process leads: a few requests at a time, at a bounded rate, the newest plan in place of the last. Decisions are in `plan`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::memory::Memory;
use super::metrics::Metrics;
use super::pace::{Pace, Trouble};
use super::pass::{Pass, Settings};
use super::plan::{Plan, plan};
use super::request;
use super::write::{Outcome, Write};
use crate::problem::Problem;

/// Requests that are under way at the same time at most.
const STATUSES_AT_ONCE: usize = 8;
const EVENTS_AT_ONCE: usize = 2;
/// Writes a second, and how many may come at once: 5,000 objects take a minute, and one is written at once.
const STATUSES_PER_SECOND: u32 = 100;
const EVENTS_PER_SECOND: u32 = 20;
const BURST: u32 = 50;
/// Failed writes are planned again no sooner.
const REPLAN: Duration = Duration::from_secs(1);
/// After a plan there is none for so many times as long as it took: it looks at all objects, and under steady change one plan is enough for many of them.
const REST: u32 = 5;
/// However long it took: somebody waits for an address.
const LONGEST_REST: Duration = Duration::from_millis(500);
/// How long requests may take to end once a stop was asked for.
const STOPPING: Duration = Duration::from_secs(2);
/// How long a loop without anything to do waits.
const IDLE: Duration = Duration::from_secs(3600);

/// Whether this process may still write: the lease's own clock. Once it says no it must never say yes again in the same term.
pub type MayWrite = Arc<dyn Fn() -> bool + Send + Sync>;

/// Writes to a cluster. One a process.
pub struct Writer {
    client: Client,
    settings: Settings,
    metrics: Metrics,
    conflicts: watch::Sender<Vec<Problem>>,
}

impl Writer {
    /// Ready for the first term.
    #[must_use]
    pub fn new(client: Client, settings: Settings, metrics: Metrics) -> Self {
        Self { client, settings, metrics, conflicts: watch::Sender::default() }
    }

    /// Statuses that other controllers write, as problems of the objects; none while another process leads.
    #[must_use]
    pub fn conflicts(&self) -> watch::Receiver<Vec<Problem>> {
        self.conflicts.subscribe()
    }

    /// One term of leadership: writes what passes decide until `stop`. What the last term knew is not used: another process led since.
    pub async fn lead(&self, passes: watch::Receiver<Option<Arc<Pass>>>, may_write: MayWrite, stop: CancellationToken) {
        let mut term = Term::new(self, passes, may_write);
        let led = async {
            if term.recall().await {
                while term.step().await {}
            }
        };
        tokio::select! {
            () = led => {}
            () = stop.cancelled() => {}
        }
        term.end().await;
        self.conflicts.send_if_modified(|conflicts| !std::mem::take(conflicts).is_empty());
        self.metrics.pending(0);
    }
}

/// Writes of one urgency.
struct Queue {
    pending: VecDeque<Write>,
    running: JoinSet<(Write, Outcome)>,
    at_once: usize,
    pace: Pace,
}

struct Term<'w> {
    writer: &'w Writer,
    passes: watch::Receiver<Option<Arc<Pass>>>,
    may_write: MayWrite,
    memory: Memory,
    statuses: Queue,
    events: Queue,
    trouble: Trouble,
    /// When to plan again although no pass came.
    plan_at: Option<Instant>,
    /// No plan before.
    rested: Instant,
}

impl<'w> Term<'w> {
    fn new(writer: &'w Writer, passes: watch::Receiver<Option<Arc<Pass>>>, may_write: MayWrite) -> Self {
        let now = Instant::now();
        let queue = |at_once, rate| Queue { pending: VecDeque::new(), running: JoinSet::new(), at_once, pace: Pace::new(rate, BURST, now) };
        Self {
            writer,
            passes,
            may_write,
            memory: Memory::default(),
            statuses: queue(STATUSES_AT_ONCE, STATUSES_PER_SECOND),
            events: queue(EVENTS_AT_ONCE, EVENTS_PER_SECOND),
            trouble: Trouble::default(),
            plan_at: Some(now),
            rested: now,
        }
    }

    /// Asks which addresses are held: the last leader may have written what the watch does not show yet. Without an answer nothing is written.
    async fn recall(&mut self) -> bool {
        loop {
            match request::held(&self.writer.client).await {
                Ok(held) => {
                    self.memory.recall(held, Timestamp::now());
                    self.trouble.over();
                    return true;
                }
                Err(error) => {
                    tracing::warn!(%error, "the API server does not say which addresses are held; nothing is written until it does");
                    let now = Instant::now();
                    self.trouble.met(now);
                    sleep_until(self.trouble.until(now).unwrap_or(now)).await;
                }
            }
        }
    }

    /// One thing that happens; `false` when no more passes will come.
    async fn step(&mut self) -> bool {
        let now = Instant::now();
        if self.plan_at.is_some_and(|at| at <= now) {
            self.plan_at = None;
            if !self.plan().await {
                return false;
            }
        }
        let wake = self.start().into_iter().chain(self.plan_at).min().unwrap_or(now + IDLE);
        self.writer.metrics.pending(self.statuses.len() + self.events.len());
        tokio::select! {
            changed = self.passes.changed() => {
                self.plan_at = Some(now.max(self.rested));
                return changed.is_ok();
            }
            Some(done) = self.statuses.running.join_next() => self.finish(done),
            Some(done) = self.events.running.join_next() => self.finish(done),
            () = sleep_until(wake) => {}
        }
        true
    }

    /// Makes a plan of the last pass; what is left of the plan before is dropped.
    async fn plan(&mut self) -> bool {
        let Some(pass) = self.passes.borrow_and_update().clone() else { return true };
        let (mut memory, settings) = (std::mem::take(&mut self.memory), self.writer.settings.clone());
        let begun = Instant::now();
        let planned = tokio::task::spawn_blocking(move || (plan(&pass, &settings, &mut memory, Timestamp::now()), memory));
        let Ok((plan, memory)) = planned.await else { return false };
        self.rested = Instant::now() + (begun.elapsed() * REST).min(LONGEST_REST);
        self.memory = memory;
        self.take(plan);
        self.tell_conflicts();
        true
    }

    fn take(&mut self, plan: Plan) {
        let urgent = plan.writes.iter().rposition(|write| matches!(write, Write::Status(_))).map_or(0, |last| last + 1);
        let mut writes = VecDeque::from(plan.writes);
        let events = writes.split_off(urgent);
        if !plan.without_events {
            self.events.pending = events;
        }
        self.statuses.pending = writes;
        if let Some(due) = plan.due {
            let wait = Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or_default();
            self.plan_at = Some(Instant::now() + wait.min(IDLE));
        }
    }

    /// Sends what may be sent now. Returns when there may be more.
    fn start(&mut self) -> Option<Instant> {
        let now = Instant::now();
        if let Some(until) = self.trouble.until(now) {
            return Some(until);
        }
        let Self { writer, may_write, memory, statuses, events, .. } = self;
        let waits = [statuses, events].map(|queue| queue.start(writer, may_write, memory, now));
        waits.into_iter().flatten().min()
    }

    fn finish(&mut self, done: Result<(Write, Outcome), tokio::task::JoinError>) {
        // A request does not panic, and is aborted at the end only.
        let Ok((write, outcome)) = done else { return };
        let now = Instant::now();
        self.writer.metrics.finished(&write, &outcome);
        self.memory.finished(&write, &outcome, Timestamp::now());
        match outcome {
            Outcome::Written => self.trouble.over(),
            Outcome::Unreachable => {
                self.trouble.met(now);
                self.plan_no_later(self.trouble.until(now).unwrap_or(now));
            }
            Outcome::Stale | Outcome::Conflict(_) | Outcome::Refused => {
                self.plan_no_later(now + REPLAN);
                self.tell_conflicts();
            }
        }
    }

    fn plan_no_later(&mut self, at: Instant) {
        self.plan_at = Some(self.plan_at.map_or(at, |planned| planned.min(at)));
    }

    fn tell_conflicts(&self) {
        let problems = self.memory.problems();
        self.writer.conflicts.send_if_modified(|told| {
            let changed = *told != problems;
            *told = problems;
            changed
        });
    }

    /// Waits for what is under way, so that the next leader reads it.
    async fn end(mut self) {
        let ended = async {
            while self.statuses.running.join_next().await.is_some() {}
            while self.events.running.join_next().await.is_some() {}
        };
        // What takes longer is aborted: it is written over the version it was decided on, or not at all.
        let _ = tokio::time::timeout(STOPPING, ended).await;
    }
}

impl Queue {
    fn len(&self) -> usize {
        self.pending.len() + self.running.len()
    }

    fn start(&mut self, writer: &Writer, may_write: &MayWrite, memory: &mut Memory, now: Instant) -> Option<Instant> {
        while self.running.len() < self.at_once && !self.pending.is_empty() {
            if let Err(later) = self.pace.take(now) {
                return Some(later);
            }
            if !may_write() {
                self.pending.clear();
                return None;
            }
            let write = self.pending.pop_front()?;
            memory.started(&write);
            let (client, instance) = (writer.client.clone(), writer.settings.instance.clone());
            self.running.spawn(async move {
                let outcome = request::carry_out(&client, &instance, &write, Timestamp::now()).await;
                (write, outcome)
            });
        }
        None
    }
}
