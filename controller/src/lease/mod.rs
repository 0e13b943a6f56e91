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
use std::time::Duration;

use tokio::sync::watch;

pub use driver::Candidate;
pub use machine::{Elector, Put, Record, Seen, Step, Timing, Written};
pub use moment::Moment;

/// Whether this process leads. Cheap to ask and to clone.
#[derive(Debug, Clone)]
pub struct Leadership {
    identity: Arc<str>,
    state: Arc<State>,
    changes: watch::Receiver<Option<u64>>,
    /// The term that this is about; `None` for whichever it is.
    term: Option<u64>,
    /// Keeps `changes` open where nothing ever changes.
    _always: Option<Arc<watch::Sender<Option<u64>>>>,
}

#[derive(Debug, Default)]
struct State {
    /// Milliseconds after boot; 0 while another leads.
    until: AtomicU64,
    /// Grows each time leadership begins.
    term: AtomicU64,
}

impl Leadership {
    /// Leadership that nobody contends for.
    #[must_use]
    pub fn always(identity: &str) -> Self {
        let (leadership, grants) = Self::contended(identity);
        grants.grant(Some(Moment::after_boot(Duration::MAX)));
        Self { _always: Some(Arc::new(grants.changes)), ..leadership }
    }

    /// Leadership that is granted and taken away by what is returned with it.
    #[must_use]
    pub fn contended(identity: &str) -> (Self, Grants) {
        let (sender, changes) = watch::channel(None);
        let state = Arc::<State>::default();
        (Self { identity: identity.into(), state: state.clone(), changes, term: None, _always: None }, Grants { state, changes: sender })
    }

    /// This process's own name among the candidates.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The same for one term only: leadership that is lost and won again is not this one, since another may have led in between.
    #[must_use]
    pub fn in_term(&self, term: u64) -> Self {
        Self { term: Some(term), ..self.clone() }
    }

    /// Whether this process may write at this moment. To be asked immediately before every write: a process that was stopped does not know yet that its
    /// time has run out, but the clock does.
    #[must_use]
    pub fn is_held_now(&self) -> bool {
        let in_time = Moment::now().millis() < self.state.until.load(Ordering::Acquire);
        in_time && self.term.is_none_or(|term| term == self.state.term.load(Ordering::Acquire))
    }

    /// The term while this process leads, for what is started and stopped with it. It may be late; [`Self::is_held_now`] is not.
    #[must_use]
    pub fn terms(&self) -> watch::Receiver<Option<u64>> {
        self.changes.clone()
    }
}

/// Grants leadership and takes it away.
#[derive(Debug)]
pub struct Grants {
    state: Arc<State>,
    changes: watch::Sender<Option<u64>>,
}

impl Grants {
    /// Leadership lasts until then; `None` ends it.
    pub fn grant(&self, until: Option<Moment>) {
        let led = self.leads();
        if until.is_some() && !led {
            self.state.term.fetch_add(1, Ordering::AcqRel);
        }
        self.state.until.store(until.map_or(0, Moment::millis), Ordering::Release);
        if until.is_some() != led {
            self.changes.send_replace(until.map(|_| self.state.term.load(Ordering::Acquire)));
        }
    }

    /// Whether leadership was granted last.
    fn leads(&self) -> bool {
        self.changes.borrow().is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Leadership, Moment};

    #[test]
    fn leadership_ends_by_the_clock_even_when_nobody_says_so() {
        let (leadership, grants) = Leadership::contended("a");
        let told = || *leadership.terms().borrow();
        assert_eq!((leadership.is_held_now(), told()), (false, None));
        grants.grant(Some(Moment::now() + Duration::from_secs(3600)));
        assert_eq!((leadership.is_held_now(), told()), (true, Some(1)));
        grants.grant(Some(Moment::now()));
        assert_eq!((leadership.is_held_now(), told()), (false, Some(1)));
        grants.grant(None);
        assert_eq!((leadership.is_held_now(), told()), (false, None));
        let alone = Leadership::always("b");
        assert_eq!((alone.is_held_now(), *alone.terms().borrow()), (true, Some(1)));
    }

    #[test]
    fn a_term_that_ended_does_not_come_back_with_the_next() {
        let (leadership, grants) = Leadership::contended("a");
        let later = Some(Moment::now() + Duration::from_secs(3600));
        grants.grant(later);
        let first = leadership.in_term(1);
        assert!(first.is_held_now());
        grants.grant(None);
        grants.grant(later);
        assert!(!first.is_held_now() && leadership.is_held_now() && leadership.in_term(2).is_held_now());
    }
}
