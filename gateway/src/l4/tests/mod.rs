//! The forwarder on real sockets of the loopback interface.
#![allow(clippy::unwrap_used, clippy::panic)]

mod life;
mod tcp;
mod udp;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use prometheus::Registry;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::{BindFailure, Forwarder, L4Table, Limits, Listener, Transport};

/// Long enough for the slowest machine; nothing waits for it to pass.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A forwarder and the table it serves.
pub(super) struct Bench {
    pub(super) forwarder: Forwarder,
    pub(super) registry: Registry,
    pub(super) table: BTreeMap<(SocketAddr, Transport), Listener>,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(super) fn with(limits: Limits) -> Self {
        let registry = Registry::new();
        let forwarder = Forwarder::with_limits(&registry, limits).unwrap();
        Self { forwarder, registry, table: BTreeMap::new() }
    }

    /// Serves one listener more, on a free port, and says where.
    pub(super) async fn serve(&mut self, transport: Transport, listener: Listener) -> SocketAddr {
        let address = free_port(transport).await;
        self.set(address, transport, listener).await;
        address
    }

    pub(super) async fn set(&mut self, address: SocketAddr, transport: Transport, listener: Listener) {
        self.table.insert((address, transport), listener);
        let failures = self.apply().await;
        assert!(failures.is_empty(), "{failures:?}");
    }

    pub(super) async fn apply(&self) -> Vec<BindFailure> {
        self.forwarder.apply(Arc::new(L4Table { listeners: self.table.clone() })).await
    }

    /// The sum of all samples of a metric whose labels include these values; `None` when there is none.
    pub(super) fn metric(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let families = self.registry.gather();
        let samples: Vec<f64> = families
            .iter()
            .filter(|family| family.name() == name)
            .flat_map(|family| family.get_metric())
            .filter(|sample| labels.iter().all(|wanted| sample.get_label().iter().any(|label| label.value() == *wanted)))
            .map(|sample| sample.get_gauge().get_value() + sample.get_counter().get_value())
            .collect();
        (!samples.is_empty()).then(|| samples.iter().sum())
    }
}

/// A free port on a loopback address that no other test uses, so that nobody takes it before it is bound again.
async fn free_port(transport: Transport) -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let address = SocketAddr::from(([127, 128 | (high & 0x7f), low, NEXT.fetch_add(1, Ordering::Relaxed)], 0));
    match transport {
        Transport::Tcp => TcpListener::bind(address).await.unwrap().local_addr().unwrap(),
        Transport::Udp => UdpSocket::bind(address).await.unwrap().local_addr().unwrap(),
    }
}

pub(super) fn to(endpoints: &[SocketAddr]) -> Listener {
    Listener {
        service: "team/app".into(),
        endpoints: endpoints.to_vec(),
        allowed_sources: None,
        client_ip_affinity: false,
        idle_timeout: Duration::from_secs(600),
    }
}

/// Waits until the condition holds.
pub(super) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits for a future that must come to its end.
pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("comes to its end in time")
}

/// A task that ends with the test.
pub(super) type Backend = tokio_util::task::AbortOnDropHandle<()>;

pub(super) fn backend(task: JoinHandle<()>) -> Backend {
    Backend::new(task)
}
