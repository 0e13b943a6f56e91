//! Gathers what the followers tell, and publishes it: a burst of changes is one read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::follow::Change;
use super::mirror::{Effect, Mirror};
use super::outage::{Line, Outages};
use super::subject::Subject;
use crate::source::Read;

/// Silence after which a burst is taken as over.
const QUIET: Duration = Duration::from_millis(4);

/// Longest wait, however long the burst.
const LONGEST: Duration = Duration::from_millis(50);

/// The same where there are only newer versions of the same content: whoever writes needs them, nothing else.
const VERSIONS: Duration = Duration::from_secs(1);

/// Publishes what is read.
pub(super) struct Worker {
    changes: mpsc::Receiver<(Subject, Change)>,
    wakes: BTreeMap<Subject, Arc<Notify>>,
    mirror: Mirror,
    outages: Outages,
    burst: Burst,
    outlet: Outlet,
}

/// Where reads go.
enum Outlet {
    First(oneshot::Sender<watch::Receiver<Arc<Read>>>),
    Next(watch::Sender<Arc<Read>>),
    Closed,
}

/// Changes that wait to be published.
#[derive(Debug, Default)]
struct Burst {
    content: Option<(Instant, Instant)>,
    version: Option<Instant>,
}

impl Burst {
    fn note(&mut self, effect: Effect, now: Instant) {
        match effect {
            Effect::None => {}
            Effect::Version => drop(self.version.get_or_insert(now)),
            Effect::Content => self.content = Some((self.content.map_or(now, |(first, _)| first), now)),
        }
    }

    fn due(&self) -> Option<Instant> {
        let content = self.content.map(|(first, last)| (last + QUIET).min(first + LONGEST));
        let version = self.version.map(|first| first + VERSIONS);
        content.into_iter().chain(version).min()
    }
}

impl Worker {
    pub(super) fn new(
        changes: mpsc::Receiver<(Subject, Change)>,
        wakes: BTreeMap<Subject, Arc<Notify>>,
        first: oneshot::Sender<watch::Receiver<Arc<Read>>>,
    ) -> Self {
        Self { changes, wakes, mirror: Mirror::default(), outages: Outages::default(), burst: Burst::default(), outlet: Outlet::First(first) }
    }

    /// Goes on until the followers end.
    pub(super) async fn run(mut self) {
        loop {
            let due = self.burst.due().filter(|_| self.mirror.is_complete());
            tokio::select! {
                change = self.changes.recv() => match change {
                    Some((subject, change)) => self.note(subject, change),
                    None => return,
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.publish(),
            }
        }
    }

    fn note(&mut self, subject: Subject, change: Change) {
        let Subject::Kind(kind) = subject;
        let effect = match change {
            Change::Listed(values) => self.mirror.list(kind, values),
            Change::Applied(value) => self.mirror.apply(kind, value),
            Change::Deleted(value) => self.mirror.delete(kind, &value),
            Change::Absent => self.mirror.absent(kind),
            Change::Failed(fault) => {
                if let Some(Line::Begun(line)) = self.outages.failed(subject, &fault) {
                    tracing::warn!(class = fault.class.label(), "{line}; what was read last stays");
                }
                Effect::None
            }
            Change::Restored => {
                self.restored(subject);
                Effect::None
            }
        };
        self.burst.note(effect, Instant::now());
    }

    fn restored(&mut self, subject: Subject) {
        let was_out = self.outages.is_out(subject);
        if self.outages.restored(subject) == Some(Line::Over) {
            tracing::info!("every kind is watched again");
        } else if was_out {
            // An API server that answers one will answer the others, who may be waiting for long.
            self.outages.kinds().filter_map(|subject| self.wakes.get(&subject)).for_each(|wake| wake.notify_one());
        }
    }

    fn publish(&mut self) {
        self.burst = Burst::default();
        let read = Arc::new(self.mirror.read());
        self.outlet = match std::mem::replace(&mut self.outlet, Outlet::Closed) {
            Outlet::First(first) => {
                let (sender, reads) = watch::channel(read);
                // Nobody waits for the first read any more when the program stops.
                let _ = first.send(reads);
                Outlet::Next(sender)
            }
            Outlet::Next(sender) => {
                sender.send_replace(read);
                Outlet::Next(sender)
            }
            Outlet::Closed => Outlet::Closed,
        };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_over_when_it_is_quiet_and_versions_wait_for_longer() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut burst = Burst::default();
        burst.note(Effect::None, start);
        assert_eq!(burst.due(), None);
        burst.note(Effect::Version, start);
        assert_eq!(burst.due(), Some(after(1000)));
        burst.note(Effect::Content, after(10));
        burst.note(Effect::Content, after(12));
        assert_eq!(burst.due(), Some(after(16)));
        (13..100).for_each(|millis| burst.note(Effect::Content, after(millis)));
        assert_eq!(burst.due(), Some(after(60)));
    }
}
