//! Leadership among replicas: one of them orders certificates, allocates addresses and writes statuses, the others serve. A Lease
//! (coordination.k8s.io/v1) says which one.
//!
//! `machine` decides (pure), `driver` reads and writes the Lease, [`Leadership`] is what the rest of the program looks at. Without Kubernetes there is one
//! process, and it always leads.

mod driver;
mod machine;
mod moment;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

pub use driver::Candidate;
pub use machine::{Elector, Put, Record, Seen, Step, Timing, Written};
pub use moment::Moment;

/// Whether this process leads. Cheap to ask and to clone.
#[derive(Debug, Clone)]
pub struct Leadership {
    identity: Arc<str>,
    /// Milliseconds after boot; 0 while another leads.
    until: Arc<AtomicU64>,
    changes: watch::Receiver<bool>,
    /// Keeps `changes` open where nothing ever changes.
    _always: Option<Arc<watch::Sender<bool>>>,
}

impl Leadership {
    /// Leadership that nobody contends for.
    #[must_use]
    pub fn always(identity: &str) -> Self {
        let (sender, changes) = watch::channel(true);
        Self { identity: identity.into(), until: Arc::new(AtomicU64::new(u64::MAX)), changes, _always: Some(Arc::new(sender)) }
    }

    /// Leadership that is granted and taken away by what is returned with it.
    #[must_use]
    pub fn contended(identity: &str) -> (Self, Grants) {
        let (sender, changes) = watch::channel(false);
        let until = Arc::new(AtomicU64::new(0));
        (Self { identity: identity.into(), until: until.clone(), changes, _always: None }, Grants { until, changes: sender })
    }

    /// This process's own name among the candidates.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Whether this process may write at this moment. To be asked immediately before every write: a process that was stopped does not know yet that its
    /// time has run out, but the clock does.
    #[must_use]
    pub fn is_held_now(&self) -> bool {
        Moment::now().millis() < self.until.load(Ordering::Acquire)
    }

    /// Tells when leadership begins and ends, for what is started and stopped with it. It may be late; [`Self::is_held_now`] is not.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<bool> {
        self.changes.clone()
    }
}

/// Grants leadership and takes it away.
#[derive(Debug)]
pub struct Grants {
    until: Arc<AtomicU64>,
    changes: watch::Sender<bool>,
}

impl Grants {
    /// Leadership lasts until then; `None` ends it.
    pub fn grant(&self, until: Option<Moment>) {
        self.until.store(until.map_or(0, Moment::millis), Ordering::Release);
        self.changes.send_if_modified(|leads| std::mem::replace(leads, until.is_some()) != until.is_some());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Leadership, Moment};

    #[test]
    fn leadership_ends_by_the_clock_even_when_nobody_says_so() {
        let (leadership, grants) = Leadership::contended("a");
        assert!(!leadership.is_held_now() && !*leadership.changes().borrow());
        grants.grant(Some(Moment::now() + Duration::from_secs(3600)));
        assert!(leadership.is_held_now() && *leadership.changes().borrow());
        grants.grant(Some(Moment::now()));
        assert!(!leadership.is_held_now() && *leadership.changes().borrow());
        grants.grant(None);
        assert!(!*leadership.changes().borrow());
        assert!(Leadership::always("b").is_held_now());
    }
}
