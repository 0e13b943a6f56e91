//! Metrics: orders, failures, requests to CAs, when certificates end. Labels are few, or bounded here.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use http::StatusCode;
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::SecretName;
use crate::failure::FailureKind;

/// Certificates beyond this many have no series of their own.
const MOST_CERTIFICATES: usize = 20_000;

/// The metrics of this crate. Registered once; engines that follow one another share them.
#[derive(Clone)]
pub struct Metrics {
    attempts: IntCounterVec,
    failures: IntCounterVec,
    requests: IntCounterVec,
    not_after: IntGaugeVec,
    certificates: Arc<Mutex<BTreeSet<SecretName>>>,
}

impl Metrics {
    /// Makes and registers them.
    ///
    /// # Errors
    /// When the registry has them already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, text: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, text), labels);
        let metrics = Self {
            attempts: counter("vrata_acme_orders_total", "Attempts to obtain a certificate, by result.", &["result"])?,
            failures: counter("vrata_acme_failures_total", "Failed attempts, by kind of failure.", &["kind"])?,
            requests: counter("vrata_acme_requests_total", "Requests to CAs, by endpoint and status.", &["endpoint", "status"])?,
            not_after: IntGaugeVec::new(
                Opts::new("vrata_acme_certificate_not_after_seconds", "End of validity, in seconds since 1970."),
                &["namespace", "secret"],
            )?,
            certificates: Arc::default(),
        };
        for collector in [&metrics.attempts, &metrics.failures, &metrics.requests] {
            registry.register(Box::new(collector.clone()))?;
        }
        registry.register(Box::new(metrics.not_after.clone()))?;
        Ok(metrics)
    }

    /// A certificate was issued.
    pub(crate) fn issued(&self) {
        self.attempts.with_label_values(&["issued"]).inc();
    }

    /// An attempt failed.
    pub(crate) fn failed(&self, kind: FailureKind) {
        self.attempts.with_label_values(&["failed"]).inc();
        self.failures.with_label_values(&[kind.label()]).inc();
    }

    /// A CA was asked; `None` when it gave no answer.
    pub(crate) fn request(&self, endpoint: &'static str, status: Option<StatusCode>) {
        let status = status.map_or("none", status_label);
        self.requests.with_label_values(&[endpoint, status]).inc();
    }

    /// Nothing is held here any more.
    pub(crate) fn none_held(&self) {
        self.certificates.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.not_after.reset();
    }

    /// A certificate is held.
    pub(crate) fn held(&self, secret: &SecretName, not_after: SystemTime) {
        let mut known = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_CERTIFICATES && !known.contains(secret) {
            return;
        }
        known.insert(secret.clone());
        let seconds = not_after.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let gauge = self.not_after.with_label_values(&[&secret.namespace, &secret.name]);
        gauge.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }
}

/// The statuses that tell something apart by themselves, and the classes of the rest: a CA may invent others.
fn status_label(status: StatusCode) -> &'static str {
    const TELLING: [(u16, &str); 10] =
        [(200, "200"), (201, "201"), (400, "400"), (401, "401"), (403, "403"), (404, "404"), (409, "409"), (429, "429"), (500, "500"), (503, "503")];
    let own = TELLING.iter().find(|(code, _)| *code == status.as_u16()).map(|(_, label)| *label);
    own.unwrap_or(match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    })
}
