//! What is measured of requests. Labels come from the routing table and closed sets only, so clients and upstreams cannot add series.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{Method, StatusCode};
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

const ROUTE_LABELS: [&str; 3] = ["namespace", "ingress", "host"];
const REQUEST_LABELS: [&str; 5] = ["namespace", "ingress", "host", "method", "status"];
const VERDICT_LABELS: [&str; 4] = ["namespace", "ingress", "host", "verdict"];
const BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

/// All metrics of the HTTP data plane's requests.
#[derive(Debug)]
pub(super) struct Metrics {
    requests: IntCounterVec,
    duration: HistogramVec,
    received: IntCounterVec,
    sent: IntCounterVec,
    connect_failures: IntCounterVec,
    retries: IntCounterVec,
    external_auth: IntCounterVec,
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
    fn values(&self) -> [&str; 3] {
        [&self.namespace, &self.ingress, &self.host]
    }
}

/// One finished request.
#[derive(Debug, Clone)]
pub(super) struct Finished<'a> {
    /// Its method.
    pub(super) method: &'a Method,
    /// Status of the answer; 499 when the client went away before one.
    pub(super) status: u16,
    /// From the end of its header to the end of the answer.
    pub(super) duration: Duration,
    /// Bytes of its body.
    pub(super) received: u64,
    /// Bytes of the answer's body.
    pub(super) sent: u64,
    /// Tries to connect that failed.
    pub(super) connect_failures: u64,
    /// Tries beyond the first.
    pub(super) retries: u64,
}

impl Metrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// The registry has metrics of these names already.
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let by_route = |name, help| IntCounterVec::new(Opts::new(name, help), &ROUTE_LABELS);
        let metrics = Self {
            requests: IntCounterVec::new(Opts::new("vrata_http_requests_total", "Requests answered"), &REQUEST_LABELS)?,
            duration: HistogramVec::new(
                HistogramOpts::new("vrata_http_request_duration_seconds", "Time from a request's header to the end of its answer")
                    .buckets(BUCKETS.to_vec()),
                &ROUTE_LABELS,
            )?,
            received: by_route("vrata_http_request_body_bytes_total", "Bytes of request bodies")?,
            sent: by_route("vrata_http_response_body_bytes_total", "Bytes of response bodies")?,
            connect_failures: by_route("vrata_http_upstream_connect_failures_total", "Connections to endpoints that could not be made")?,
            retries: by_route("vrata_http_upstream_retries_total", "Tries of a request beyond its first")?,
            external_auth: IntCounterVec::new(
                Opts::new("vrata_http_external_auth_total", "Requests that an authentication server was asked about"),
                &VERDICT_LABELS,
            )?,
            in_flight: IntGauge::new("vrata_http_requests_in_flight", "Requests being served")?,
            dropped_lines: IntCounter::new("vrata_access_log_dropped_lines_total", "Access log lines dropped because the log is read too slowly")?,
        };
        metrics.register(registry)?;
        Ok(metrics)
    }

    fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.requests.clone()))?;
        registry.register(Box::new(self.duration.clone()))?;
        for counters in [&self.received, &self.sent, &self.connect_failures, &self.retries] {
            registry.register(Box::new(counters.clone()))?;
        }
        registry.register(Box::new(self.external_auth.clone()))?;
        registry.register(Box::new(self.in_flight.clone()))?;
        registry.register(Box::new(self.dropped_lines.clone()))
    }

    /// The series of an Ingress and host.
    pub(super) fn series(&self, labels: Labels) -> Series {
        let values = labels.values();
        Series {
            duration: self.duration.with_label_values(&values),
            received: self.received.with_label_values(&values),
            sent: self.sent.with_label_values(&values),
            connect_failures: self.connect_failures.with_label_values(&values),
            retries: self.retries.with_label_values(&values),
            requests: ArcSwap::default(),
            counters: self.requests.clone(),
            external_auth: self.external_auth.clone(),
            labels,
        }
    }

    /// Ends the series of an Ingress and host that are gone. Errors mean that there was none.
    pub(super) fn remove(&self, series: &Series) {
        let values = series.labels.values();
        for (key, _) in &**series.requests.load() {
            let [namespace, ingress, host] = values;
            let _ = self.requests.remove_label_values(&[namespace, ingress, host, key.method, key.status_text()]);
        }
        let [namespace, ingress, host] = values;
        for verdict in Authenticated::ALL {
            let _ = self.external_auth.remove_label_values(&[namespace, ingress, host, verdict.label()]);
        }
        let _ = self.duration.remove_label_values(&values);
        for counters in [&self.received, &self.sent, &self.connect_failures, &self.retries] {
            let _ = counters.remove_label_values(&values);
        }
    }
}

/// The counters of one Ingress and host, resolved once.
#[derive(Debug)]
pub(super) struct Series {
    /// What they are about.
    pub(super) labels: Labels,
    duration: Histogram,
    received: IntCounter,
    sent: IntCounter,
    connect_failures: IntCounter,
    retries: IntCounter,
    /// Few entries: read without a lock for each request, copied when one is added.
    requests: ArcSwap<Vec<(Key, IntCounter)>>,
    counters: IntCounterVec,
    external_auth: IntCounterVec,
}

/// What became of a question to an authentication server.
#[derive(Debug, Clone, Copy)]
pub(super) enum Authenticated {
    /// It said yes.
    Granted,
    /// It said no.
    Refused,
    /// It said neither, or could not be asked.
    Failed,
}

impl Authenticated {
    const ALL: [Self; 3] = [Self::Granted, Self::Refused, Self::Failed];

    const fn label(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl Series {
    /// Counts a question to an authentication server.
    pub(super) fn asked(&self, verdict: Authenticated) {
        let [namespace, ingress, host] = self.labels.values();
        self.external_auth.with_label_values(&[namespace, ingress, host, verdict.label()]).inc();
    }

    /// Counts a request.
    pub(super) fn record(&self, finished: &Finished<'_>) {
        self.counter(Key::of(finished.method, finished.status)).inc();
        self.duration.observe(finished.duration.as_secs_f64());
        if finished.received > 0 {
            self.received.inc_by(finished.received);
        }
        self.sent.inc_by(finished.sent);
        if finished.connect_failures + finished.retries > 0 {
            self.connect_failures.inc_by(finished.connect_failures);
            self.retries.inc_by(finished.retries);
        }
    }

    fn counter(&self, key: Key) -> IntCounter {
        let known = self.requests.load();
        if let Some((_, counter)) = known.iter().find(|(known, _)| *known == key) {
            return counter.clone();
        }
        let [namespace, ingress, host] = self.labels.values();
        let counter = self.counters.with_label_values(&[namespace, ingress, host, key.method, key.status_text()]);
        self.requests.rcu(|known| {
            let mut known = Vec::clone(known);
            if !known.iter().any(|(other, _)| *other == key) {
                known.push((key, counter.clone()));
            }
            known
        });
        counter
    }
}

/// Method and status, each from a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    method: &'static str,
    /// 0 for a status that is not registered.
    status: u16,
}

impl Key {
    fn of(method: &Method, status: u16) -> Self {
        let is_registered = status == 499 || StatusCode::from_u16(status).is_ok_and(|status| status.canonical_reason().is_some());
        Self { method: method_label(method), status: if is_registered { status } else { 0 } }
    }

    fn status_text(&self) -> &'static str {
        static TEXTS: std::sync::LazyLock<Vec<String>> = std::sync::LazyLock::new(|| (0..600).map(|status| status.to_string()).collect());
        TEXTS.get(usize::from(self.status)).filter(|_| self.status > 0).map_or("other", String::as_str)
    }
}

fn method_label(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT"];
    KNOWN.iter().find(|known| **known == method.as_str()).copied().unwrap_or("other")
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
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn labels(ingress: &str) -> Labels {
        Labels { namespace: "ns".into(), ingress: ingress.into(), host: "a.test".into() }
    }

    fn finished(method: &Method, status: u16) -> Finished<'_> {
        Finished { method, status, duration: Duration::from_millis(3), received: 10, sent: 20, connect_failures: 2, retries: 1 }
    }

    fn text(registry: &Registry) -> String {
        prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
    }

    #[test]
    fn requests_are_counted_under_closed_labels() {
        let registry = Registry::new();
        let metrics = Arc::new(Metrics::new(&registry).unwrap());
        let series = metrics.series(labels("web"));
        let invented = Method::from_bytes(b"INVENTED").unwrap();
        for (method, status) in [(&Method::GET, 200), (&Method::GET, 200), (&invented, 299), (&Method::POST, 499)] {
            series.record(&finished(method, status));
        }
        series.asked(Authenticated::Refused);
        let in_flight = InFlight::begin(&metrics);
        let text = text(&registry);
        for line in [
            r#"vrata_http_requests_total{host="a.test",ingress="web",method="GET",namespace="ns",status="200"} 2"#,
            r#"vrata_http_requests_total{host="a.test",ingress="web",method="other",namespace="ns",status="other"} 1"#,
            r#"vrata_http_requests_total{host="a.test",ingress="web",method="POST",namespace="ns",status="499"} 1"#,
            r#"vrata_http_request_duration_seconds_bucket{host="a.test",ingress="web",namespace="ns",le="0.005"} 4"#,
            r#"vrata_http_request_body_bytes_total{host="a.test",ingress="web",namespace="ns"} 40"#,
            r#"vrata_http_response_body_bytes_total{host="a.test",ingress="web",namespace="ns"} 80"#,
            r#"vrata_http_upstream_connect_failures_total{host="a.test",ingress="web",namespace="ns"} 8"#,
            r#"vrata_http_upstream_retries_total{host="a.test",ingress="web",namespace="ns"} 4"#,
            r#"vrata_http_external_auth_total{host="a.test",ingress="web",namespace="ns",verdict="refused"} 1"#,
            "vrata_http_requests_in_flight 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        drop(in_flight);
        assert_eq!(metrics.in_flight.get(), 0);
    }

    #[test]
    fn removed_series_leave_nothing_and_spare_the_others() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        let (gone, kept) = (metrics.series(labels("gone")), metrics.series(labels("kept")));
        gone.record(&finished(&Method::GET, 200));
        kept.record(&finished(&Method::GET, 200));
        gone.asked(Authenticated::Granted);
        metrics.remove(&gone);
        let text = text(&registry);
        assert!(!text.contains("\"gone\"") && text.contains("\"kept\""), "{text}");
    }

    #[test]
    fn a_registry_serves_one_gateway() {
        let registry = Registry::new();
        assert!(Metrics::new(&registry).is_ok() && Metrics::new(&registry).is_err());
    }
}
