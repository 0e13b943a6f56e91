//! The series of all routes, as the registry asks for them. The list is of those that some route has; what they count is in `series`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::Labels;
use super::series::{BUCKETS, Series};
use crate::Snapshot;

// Names of labels are in the order in which they are told: sorted.
const ROUTE_LABELS: [&str; 3] = ["host", "ingress", "namespace"];
const REQUEST_LABELS: [&str; 5] = ["host", "ingress", "method", "namespace", "status"];
const VERDICT_LABELS: [&str; 4] = ["host", "ingress", "namespace", "verdict"];

type Count = fn(&Series) -> &AtomicU64;

/// Counts that are one number for each route.
const BY_ROUTE: [(&str, &str, Count); 4] = [
    ("vrata_http_request_body_bytes_total", "Bytes of request bodies", |series| &series.received),
    ("vrata_http_response_body_bytes_total", "Bytes of response bodies", |series| &series.sent),
    ("vrata_http_upstream_connect_failures_total", "Connections to endpoints that could not be made", |series| &series.connect_failures),
    ("vrata_http_upstream_retries_total", "Tries of a request beyond its first", |series| &series.retries),
];

type Living = HashMap<Arc<Labels>, Arc<Series>>;

/// The series of all routes; copies share them.
#[derive(Debug, Clone)]
pub(super) struct AllSeries {
    living: Arc<Mutex<Living>>,
    snapshots: Arc<ArcSwap<Snapshot>>,
    requests: Desc,
    duration: Desc,
    by_route: [Desc; BY_ROUTE.len()],
    external_auth: Desc,
}

impl AllSeries {
    /// None yet; what the routes of the current snapshot counted comes to them when they are asked for.
    ///
    /// # Errors
    /// None in practice: names and labels are fixed.
    pub(super) fn new(snapshots: Arc<ArcSwap<Snapshot>>) -> Result<Self, prometheus::Error> {
        let duration = ("vrata_http_request_duration_seconds", "Time from a request's header to the end of its answer");
        let external_auth = ("vrata_http_external_auth_total", "Requests that an authentication server was asked about");
        let [received, sent, connect_failures, retries] = BY_ROUTE.map(|(name, help, _)| desc((name, help), &ROUTE_LABELS));
        Ok(Self {
            living: Arc::default(),
            snapshots,
            requests: desc(("vrata_http_requests_total", "Requests answered"), &REQUEST_LABELS)?,
            duration: desc(duration, &ROUTE_LABELS)?,
            by_route: [received?, sent?, connect_failures?, retries?],
            external_auth: desc(external_auth, &VERDICT_LABELS)?,
        })
    }

    /// The series of an Ingress and host.
    pub(super) fn of(&self, labels: Labels) -> Arc<Series> {
        Arc::clone(self.lock().entry(Arc::new(labels)).or_default())
    }

    /// Whose series only this list has.
    pub(super) fn unheld(&self) -> Vec<Arc<Labels>> {
        self.lock().iter().filter(|(_, series)| is_unheld(series)).map(|(labels, _)| Arc::clone(labels)).collect()
    }

    /// Ends those of these series that only this list has.
    pub(super) fn end_unheld(&self, of: &[Arc<Labels>]) {
        let mut living = self.lock();
        for labels in of {
            if living.get(labels).is_some_and(is_unheld) {
                living.remove(labels);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Living> {
        self.living.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Under the lock nobody can begin to hold it.
fn is_unheld(series: &Arc<Series>) -> bool {
    Arc::strong_count(series) == 1
}

impl Collector for AllSeries {
    fn desc(&self) -> Vec<&Desc> {
        [&self.requests, &self.duration, &self.external_auth].into_iter().chain(&self.by_route).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for rule in self.snapshots.load().table.rules() {
            rule.route.kept.collect();
        }
        // Copied, so that no request waits until all is told.
        let living: Vec<_> = self.lock().iter().map(|(labels, series)| (Arc::clone(labels), Arc::clone(series))).collect();
        let mut families = vec![
            family(&self.requests, MetricType::COUNTER, living.iter().flat_map(|(labels, series)| requests(&self.requests, labels, series))),
            family(&self.duration, MetricType::HISTOGRAM, living.iter().map(|(labels, series)| duration(&self.duration, labels, series))),
            family(
                &self.external_auth,
                MetricType::COUNTER,
                living.iter().flat_map(|(labels, series)| verdicts(&self.external_auth, labels, series)),
            ),
        ];
        families.extend(BY_ROUTE.iter().zip(&self.by_route).map(|((_, _, count), desc)| {
            let metrics = living.iter().map(|(labels, series)| {
                let labels = pairs(desc, [&labels.host, &labels.ingress, &labels.namespace]);
                counter(labels, count(series).load(Ordering::Relaxed))
            });
            family(desc, MetricType::COUNTER, metrics)
        }));
        families
    }
}

fn desc((name, help): (&str, &str), labels: &[&str]) -> Result<Desc, prometheus::Error> {
    Desc::new(name.into(), help.into(), labels.iter().map(|label| (*label).to_owned()).collect(), HashMap::new())
}

fn family(desc: &Desc, kind: MetricType, metrics: impl Iterator<Item = Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(desc.fq_name.clone());
    family.set_help(desc.help.clone());
    family.set_field_type(kind);
    family.set_metric(metrics.collect());
    family
}

fn requests(desc: &Desc, labels: &Labels, series: &Series) -> impl Iterator<Item = Metric> {
    series
        .answers()
        .map(|(answer, count)| counter(pairs(desc, [&labels.host, &labels.ingress, answer.method(), &labels.namespace, &answer.status()]), count))
}

fn verdicts(desc: &Desc, labels: &Labels, series: &Series) -> impl Iterator<Item = Metric> {
    series.verdicts().map(|(verdict, count)| counter(pairs(desc, [&labels.host, &labels.ingress, &labels.namespace, verdict.label()]), count))
}

fn duration(desc: &Desc, labels: &Labels, series: &Series) -> Metric {
    let (mut told, mut count) = (Vec::with_capacity(BUCKETS.len()), 0);
    let counts = series.buckets();
    for (bound, within) in BUCKETS.iter().zip(counts) {
        count += within;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(count);
        told.push(bucket);
    }
    let mut histogram = Histogram::default();
    histogram.set_bucket(told);
    histogram.set_sample_count(counts.iter().sum());
    histogram.set_sample_sum(series.seconds());
    let mut metric = Metric::from_label(pairs(desc, [&labels.host, &labels.ingress, &labels.namespace]));
    metric.set_histogram(histogram);
    metric
}

fn counter(labels: Vec<LabelPair>, count: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(count as f64);
    let mut metric = Metric::from_label(labels);
    metric.set_counter(counter);
    metric
}

fn pairs<const N: usize>(desc: &Desc, values: [&str; N]) -> Vec<LabelPair> {
    let pair = |(name, value): (&String, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.clone());
        pair.set_value(value.to_owned());
        pair
    };
    desc.variable_labels.iter().zip(values).map(pair).collect()
}
