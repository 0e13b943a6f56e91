//! What is counted of writes to the cluster.

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

use super::write::{Outcome, Write};

/// Counts of writes.
#[derive(Debug, Clone)]
pub struct Metrics {
    writes: IntCounterVec,
    pending: IntGauge,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// When the registry has them already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let writes = Opts::new("vrata_cluster_writes_total", "Writes to the API server by kind of object and outcome");
        let metrics = Self {
            writes: IntCounterVec::new(writes, &["kind", "outcome"])?,
            pending: IntGauge::new("vrata_cluster_writes_pending", "Writes to the API server that wait or are under way")?,
        };
        registry.register(Box::new(metrics.writes.clone()))?;
        registry.register(Box::new(metrics.pending.clone()))?;
        Ok(metrics)
    }

    pub(super) fn finished(&self, write: &Write, outcome: &Outcome) {
        let kind = match write {
            Write::Status(write) => write.target.kind.name(),
            Write::Event(_) => "Event",
        };
        let outcome = match outcome {
            Outcome::Written => "written",
            Outcome::Stale => "stale",
            Outcome::Conflict(_) => "conflict",
            Outcome::Refused => "refused",
            Outcome::Unreachable => "unreachable",
        };
        self.writes.with_label_values(&[kind, outcome]).inc();
    }

    pub(super) fn pending(&self, writes: usize) {
        self.pending.set(i64::try_from(writes).unwrap_or(i64::MAX));
    }
}
