//! What is measured of requests. Labels come from the routing table and closed sets only, so clients and upstreams cannot add series.

mod collector;
mod recent;
mod series;

use std::sync::Arc;

use arc_swap::ArcSwap;
use prometheus::{IntCounter, IntGauge, Registry};

use crate::Snapshot;
use collector::AllSeries;
pub(super) use recent::Recent;
pub(super) use series::{Authenticated, Finished, Series};

/// All metrics of the HTTP data plane's requests.
#[derive(Debug)]
pub(super) struct Metrics {
    series: AllSeries,
    /// Requests that are being served now.
    pub(super) in_flight: IntGauge,
    /// Access log lines that were dropped because nobody reads them fast enough.
    pub(super) dropped_lines: IntCounter,
}

/// The Ingress and host that a series is about; empty names for requests that no route serves.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Labels {
    /// Namespace of the Ingress.
    pub(super) namespace: String,
    /// Its name.
    pub(super) ingress: String,
    /// Host as its rule writes it, `_` for the catch-all.
    pub(super) host: String,
}

impl Labels {
    /// What [`Labels::names`] gives back.
    pub(super) fn new([namespace, ingress, host]: [&str; 3]) -> Self {
        Self { namespace: namespace.into(), ingress: ingress.into(), host: host.into() }
    }

    /// Namespace, Ingress and host.
    pub(super) fn names(&self) -> [&str; 3] {
        [&self.namespace, &self.ingress, &self.host]
    }
}

impl Metrics {
    /// Registers the metrics; what the routes of the current snapshot counted is collected when they are asked for.
    ///
    /// # Errors
    /// The registry has metrics of these names already.
    pub(super) fn new(registry: &Registry, snapshots: Arc<ArcSwap<Snapshot>>) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            series: AllSeries::new(snapshots)?,
            in_flight: IntGauge::new("vrata_http_requests_in_flight", "Requests being served")?,
            dropped_lines: IntCounter::new("vrata_access_log_dropped_lines_total", "Access log lines dropped because the log is read too slowly")?,
        };
        registry.register(Box::new(metrics.series.clone()))?;
        registry.register(Box::new(metrics.in_flight.clone()))?;
        registry.register(Box::new(metrics.dropped_lines.clone()))?;
        Ok(metrics)
    }

    /// The series of an Ingress and host, the same one until it is ended.
    pub(super) fn series(&self, labels: Labels) -> Arc<Series> {
        self.series.of(labels)
    }

    /// Whose series are told of while nobody else has them.
    pub(super) fn unheld(&self) -> Vec<Arc<Labels>> {
        self.series.unheld()
    }

    /// Ends those of these series that nobody else has.
    pub(super) fn end_unheld(&self, of: &[Arc<Labels>]) {
        self.series.end_unheld(of);
    }
}

/// Counts a request as being served for as long as it lives.
#[derive(Debug)]
pub(super) struct InFlight(IntGauge);

impl InFlight {
    /// Begins to count.
    pub(super) fn begin(metrics: &Arc<Metrics>) -> Self {
        metrics.in_flight.inc();
        Self(metrics.in_flight.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests;
