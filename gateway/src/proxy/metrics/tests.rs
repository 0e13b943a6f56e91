//! What the registry tells of counted requests.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use http::Method;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts};

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
    let metrics = Arc::new(Metrics::new(&registry, Arc::default()).unwrap());
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
    let metrics = Metrics::new(&registry, Arc::default()).unwrap();
    let (gone, kept) = (metrics.series(labels("gone")), metrics.series(labels("kept")));
    gone.record(&finished(&Method::GET, 200));
    kept.record(&finished(&Method::GET, 200));
    gone.asked(Authenticated::Granted);
    drop(gone);
    let unheld = metrics.unheld();
    assert_eq!(unheld.iter().map(|labels| labels.names()).collect::<Vec<_>>(), [labels("gone").names()]);
    metrics.end_unheld(&unheld);
    let text = text(&registry);
    assert!(!text.contains("\"gone\"") && text.contains("\"kept\""), "{text}");
    // A new route of that name begins anew.
    let again = metrics.series(labels("gone"));
    assert!(Arc::ptr_eq(&kept, &metrics.series(labels("kept"))));
    again.record(&finished(&Method::GET, 200));
    let text = self::text(&registry);
    let of_gone = |line: &&str| line.starts_with("vrata_http_requests_total") && line.contains("\"gone\"");
    assert_eq!(text.lines().filter(of_gone).count(), 1, "{text}");
    assert!(text.lines().find(of_gone).unwrap().ends_with(" 1"), "{text}");
}

#[test]
fn a_series_that_somebody_has_is_never_ended() {
    let metrics = Metrics::new(&Registry::new(), Arc::default()).unwrap();
    drop(metrics.series(labels("web")));
    let unheld = metrics.unheld();
    // A request comes in between.
    let series = metrics.series(labels("web"));
    metrics.end_unheld(&unheld);
    assert!(Arc::ptr_eq(&series, &metrics.series(labels("web"))));
    assert!(metrics.unheld().is_empty());
}

/// The library's own metrics tell the same of the same requests.
#[test]
fn text_is_that_of_the_librarys_metrics() {
    let (registry, expected) = (Registry::new(), Registry::new());
    let metrics = Metrics::new(&registry, Arc::default()).unwrap();
    let counted = Library::new(&expected);
    for (ingress, method, status, millis) in [
        ("a", Method::GET, 200, 1),
        ("a", Method::GET, 200, 3),
        ("a", Method::POST, 404, 120),
        ("b\"\\", Method::GET, 200, 70_000),
        ("", Method::HEAD, 499, 0),
    ] {
        let finished = Finished { duration: Duration::from_millis(millis), ..finished(&method, status) };
        metrics.series(labels(ingress)).record(&finished);
        counted.record(ingress, &finished);
    }
    metrics.series(labels("a")).asked(Authenticated::Failed);
    counted.asked("a", "failed");
    metrics.series(labels("idle"));
    counted.begin("idle");
    let ours: String =
        text(&registry).lines().filter(|line| !line.contains("in_flight") && !line.contains("dropped")).map(|line| format!("{line}\n")).collect();
    assert_eq!(ours, text(&expected));
}

#[test]
fn a_registry_serves_one_gateway() {
    let registry = Registry::new();
    assert!(Metrics::new(&registry, Arc::default()).is_ok() && Metrics::new(&registry, Arc::default()).is_err());
}

/// The same metrics made of the library's own.
struct Library {
    requests: IntCounterVec,
    duration: HistogramVec,
    by_route: [IntCounterVec; 4],
    external_auth: IntCounterVec,
}

impl Library {
    fn new(registry: &Registry) -> Self {
        let counter = |name, help, more: &[&str]| {
            let labels = [&["namespace", "ingress", "host"], more].concat();
            let counter = IntCounterVec::new(Opts::new(name, help), &labels).unwrap();
            registry.register(Box::new(counter.clone())).unwrap();
            counter
        };
        let options = HistogramOpts::new("vrata_http_request_duration_seconds", "Time from a request's header to the end of its answer")
            .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0]);
        let duration = HistogramVec::new(options, &["namespace", "ingress", "host"]).unwrap();
        registry.register(Box::new(duration.clone())).unwrap();
        Self {
            requests: counter("vrata_http_requests_total", "Requests answered", &["method", "status"]),
            duration,
            by_route: [
                counter("vrata_http_request_body_bytes_total", "Bytes of request bodies", &[]),
                counter("vrata_http_response_body_bytes_total", "Bytes of response bodies", &[]),
                counter("vrata_http_upstream_connect_failures_total", "Connections to endpoints that could not be made", &[]),
                counter("vrata_http_upstream_retries_total", "Tries of a request beyond its first", &[]),
            ],
            external_auth: counter("vrata_http_external_auth_total", "Requests that an authentication server was asked about", &["verdict"]),
        }
    }

    fn begin(&self, ingress: &str) {
        self.duration.with_label_values(&["ns", ingress, "a.test"]);
        for counter in &self.by_route {
            counter.with_label_values(&["ns", ingress, "a.test"]);
        }
    }

    fn record(&self, ingress: &str, finished: &Finished<'_>) {
        let status = finished.status.to_string();
        self.requests.with_label_values(&["ns", ingress, "a.test", finished.method.as_str(), &status]).inc();
        self.duration.with_label_values(&["ns", ingress, "a.test"]).observe(finished.duration.as_secs_f64());
        let counts = [finished.received, finished.sent, finished.connect_failures, finished.retries];
        for (counter, count) in self.by_route.iter().zip(counts) {
            counter.with_label_values(&["ns", ingress, "a.test"]).inc_by(count);
        }
    }

    fn asked(&self, ingress: &str, verdict: &str) {
        self.external_auth.with_label_values(&["ns", ingress, "a.test", verdict]).inc();
    }
}
