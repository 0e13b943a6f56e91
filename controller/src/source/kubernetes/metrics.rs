//! What the watching of a cluster counts about itself.

use std::time::SystemTime;

use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::fault::Class;
use super::subject::Subject;

/// The metrics, over all kinds.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    contact: GaugeVec,
    errors: IntCounterVec,
    requests: IntCounterVec,
    stale: IntGauge,
}

/// Those of one kind.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    contact: Gauge,
    errors: Vec<IntCounter>,
    lists: IntCounter,
    watches: IntCounter,
    gets: IntCounter,
}

impl Metrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let contact =
            "When the API server last told something about a kind, be it that nothing changed, in Unix seconds; every minute when all is well";
        let metrics = Self {
            contact: GaugeVec::new(Opts::new("vrata_source_last_contact_timestamp_seconds", contact), &["kind"])?,
            errors: IntCounterVec::new(Opts::new("vrata_source_errors_total", "Failures of lists and watches"), &["kind", "class"])?,
            requests: IntCounterVec::new(Opts::new("vrata_source_requests_total", "Requests to the API server for reading"), &["kind", "verb"])?,
            stale: IntGauge::new("vrata_source_stale", "1 while what an earlier run read last is served, because the API server cannot be asked")?,
        };
        registry.register(Box::new(metrics.stale.clone()))?;
        registry.register(Box::new(metrics.contact.clone()))?;
        registry.register(Box::new(metrics.errors.clone()))?;
        registry.register(Box::new(metrics.requests.clone()))?;
        Ok(metrics)
    }

    /// Whether what an earlier run read last is served.
    pub(super) fn stale(&self, stale: bool) {
        self.stale.set(i64::from(stale));
    }

    /// Those of one kind; all its series exist from then on.
    pub(super) fn of(&self, subject: Subject) -> Meter {
        let kind = subject.name();
        Meter {
            contact: self.contact.with_label_values(&[kind]),
            errors: Class::ALL.iter().map(|class| self.errors.with_label_values(&[kind, class.label()])).collect(),
            lists: self.requests.with_label_values(&[kind, "list"]),
            watches: self.requests.with_label_values(&[kind, "watch"]),
            gets: self.requests.with_label_values(&[kind, "get"]),
        }
    }
}

impl Meter {
    /// The API server said something.
    pub(super) fn contact(&self) {
        self.contact.set(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()));
    }

    /// A list or watch failed.
    pub(super) fn failed(&self, class: Class) {
        self.errors[class as usize].inc();
    }

    /// A page is asked for.
    pub(super) fn list(&self) {
        self.lists.inc();
    }

    /// One object is asked for.
    pub(super) fn get(&self) {
        self.gets.inc();
    }

    /// A watch is begun.
    pub(super) fn watch(&self) {
        self.watches.inc();
    }
}
