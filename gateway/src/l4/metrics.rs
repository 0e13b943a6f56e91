//! What is counted. The label `service` has as many values as there are Services with a listener.

use std::collections::BTreeSet;

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::Transport;

const SERVICE: [&str; 2] = ["service", "transport"];

/// Why a connection or datagram was turned away.
#[derive(Debug, Clone, Copy)]
pub(super) enum Refused {
    /// The client is outside the allowed sources.
    Source,
    /// There is no endpoint.
    NoEndpoint,
    /// No endpoint took the connection.
    ConnectFailed,
    /// Too many connections or sessions are open.
    Limit,
    /// A datagram found the way out full.
    Congested,
}

impl Refused {
    const ALL: [Self; 5] = [Self::Source, Self::NoEndpoint, Self::ConnectFailed, Self::Limit, Self::Congested];

    const fn label(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::NoEndpoint => "no_endpoint",
            Self::ConnectFailed => "connect_failed",
            Self::Limit => "limit",
            Self::Congested => "congested",
        }
    }
}

/// All metrics of a forwarder.
#[derive(Debug)]
pub(super) struct Metrics {
    open: IntGaugeVec,
    opened: IntCounterVec,
    bytes: IntCounterVec,
    refused: IntCounterVec,
    pub(super) listeners: IntGauge,
    pub(super) bind_failures: IntGauge,
}

/// The metrics of one Service and transport, looked up once.
#[derive(Debug)]
pub(super) struct ServiceMetrics {
    open: IntGauge,
    opened: IntCounter,
    /// Bytes from clients.
    pub(super) received: IntCounter,
    /// Bytes to clients.
    pub(super) sent: IntCounter,
    refused: [IntCounter; Refused::ALL.len()],
}

/// Counts as one open connection or session while it lives.
#[derive(Debug)]
pub(super) struct Open(IntGauge);

impl Metrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str, label: Option<&str>| {
            let labels: Vec<_> = SERVICE.into_iter().chain(label).collect();
            IntCounterVec::new(Opts::new(name, help), &labels)
        };
        let metrics = Self {
            open: IntGaugeVec::new(Opts::new("vrata_l4_open", "TCP connections and UDP sessions open now."), &SERVICE)?,
            opened: counter("vrata_l4_opened_total", "TCP connections and UDP sessions opened.", None)?,
            bytes: counter("vrata_l4_bytes_total", "Bytes forwarded: in from clients, out to clients.", Some("direction"))?,
            refused: counter("vrata_l4_refused_total", "TCP connections and UDP datagrams turned away.", Some("reason"))?,
            listeners: IntGauge::new("vrata_l4_listeners", "Addresses and ports that are bound.")?,
            bind_failures: IntGauge::new("vrata_l4_bind_failures", "Addresses and ports that cannot be bound now.")?,
        };
        registry.register(Box::new(metrics.open.clone()))?;
        registry.register(Box::new(metrics.opened.clone()))?;
        registry.register(Box::new(metrics.bytes.clone()))?;
        registry.register(Box::new(metrics.refused.clone()))?;
        registry.register(Box::new(metrics.listeners.clone()))?;
        registry.register(Box::new(metrics.bind_failures.clone()))?;
        Ok(metrics)
    }

    pub(super) fn of_service(&self, service: &str, transport: Transport) -> ServiceMetrics {
        let transport = label(transport);
        let direction = |name| self.bytes.with_label_values(&[service, transport, name]);
        ServiceMetrics {
            open: self.open.with_label_values(&[service, transport]),
            opened: self.opened.with_label_values(&[service, transport]),
            received: direction("in"),
            sent: direction("out"),
            refused: Refused::ALL.map(|reason| self.refused.with_label_values(&[service, transport, reason.label()])),
        }
    }

    /// Forgets the Services of `before` that are not in `now`.
    pub(super) fn forget(&self, before: &BTreeSet<(String, Transport)>, now: &BTreeSet<(String, Transport)>) {
        for (service, transport) in before.difference(now) {
            let transport = label(*transport);
            // A label that was never set is no error worth telling.
            let _ = self.open.remove_label_values(&[service, transport]);
            let _ = self.opened.remove_label_values(&[service, transport]);
            for direction in ["in", "out"] {
                let _ = self.bytes.remove_label_values(&[service, transport, direction]);
            }
            for reason in Refused::ALL {
                let _ = self.refused.remove_label_values(&[service, transport, reason.label()]);
            }
        }
    }
}

impl ServiceMetrics {
    pub(super) fn open(&self) -> Open {
        self.open.inc();
        self.opened.inc();
        Open(self.open.clone())
    }

    pub(super) fn refuse(&self, reason: Refused) {
        self.refused[reason as usize].inc();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

const fn label(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    }
}
