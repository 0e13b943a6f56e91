//! Metrics of connections. All labels are bounded.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::TlsInfo;
use super::tls::HandshakeError;

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Http,
    Https,
}

impl Kind {
    const fn label(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Counts what happens to connections.
#[derive(Debug)]
pub(crate) struct Metrics {
    open: IntGaugeVec,
    accepted: IntCounterVec,
    accept_errors: IntCounterVec,
    handshakes: IntCounterVec,
    handshake_failures: IntCounterVec,
    refused: IntCounterVec,
    /// HTTP/2 requests that were cut because their body stopped coming.
    pub(super) stalled_bodies: IntCounter,
}

/// Counts a connection as open for as long as it lives.
#[derive(Debug)]
pub(super) struct Open(IntGauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let counter = IntCounterVec::new(Opts::new(format!("vrata_gateway_{name}"), help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let open = IntGaugeVec::new(Opts::new("vrata_gateway_connections", "Open downstream connections"), &["listener"])?;
        registry.register(Box::new(open.clone()))?;
        let stalled_bodies = IntCounter::new("vrata_gateway_stalled_bodies_total", "HTTP/2 requests cut because their body stopped coming")?;
        registry.register(Box::new(stalled_bodies.clone()))?;
        let metrics = Self {
            open,
            accepted: counter("connections_accepted_total", "Downstream connections accepted", &["listener"])?,
            accept_errors: counter("accept_errors_total", "Connections that the system could not hand over", &["listener"])?,
            handshakes: counter("tls_handshakes_total", "TLS handshakes completed", &["result", "version"])?,
            refused: counter("connections_refused_total", "Downstream connections closed because their client had too many", &["listener"])?,
            stalled_bodies,
            handshake_failures: counter("tls_handshake_failures_total", "TLS handshakes that came to nothing", &["reason"])?,
        };
        metrics.begin_at_zero();
        Ok(metrics)
    }

    /// What seldom happens is counted from zero on: an alert on its rate would miss the first time otherwise.
    fn begin_at_zero(&self) {
        for listener in [Kind::Http, Kind::Https].map(Kind::label) {
            for counter in [&self.accepted, &self.accept_errors, &self.refused] {
                counter.with_label_values(&[listener]);
            }
            self.open.with_label_values(&[listener]);
        }
    }

    pub(super) fn accepted(&self, kind: Kind) -> Open {
        self.accepted.with_label_values(&[kind.label()]).inc();
        let open = self.open.with_label_values(&[kind.label()]);
        open.inc();
        Open(open)
    }

    pub(super) fn refused(&self, kind: Kind) {
        self.refused.with_label_values(&[kind.label()]).inc();
    }

    pub(super) fn accept_failed(&self, kind: Kind) {
        self.accept_errors.with_label_values(&[kind.label()]).inc();
    }

    pub(super) fn handshake(&self, tls: &TlsInfo, resumed: bool) {
        self.handshakes.with_label_values(&[if resumed { "resumed" } else { "full" }, tls.version]).inc();
    }

    pub(super) fn challenge_answered(&self) {
        self.handshakes.with_label_values(&["acme_challenge", ""]).inc();
    }

    pub(super) fn handshake_timed_out(&self) {
        self.handshake_failures.with_label_values(&["timeout"]).inc();
    }

    pub(super) fn handshake_failed(&self, error: &HandshakeError) {
        let reason = match error {
            HandshakeError::PlainHttp(_) => "plain_http",
            HandshakeError::NotTls => "not_tls",
            HandshakeError::Closed => "closed",
            HandshakeError::Protocol(_) => "protocol",
            HandshakeError::Challenge(_) => "internal",
        };
        self.handshake_failures.with_label_values(&[reason]).inc();
    }
}
