//! What the sockets of one listener act on: the current entry of the table, and what all listeners share.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::endpoints::Endpoints;
use super::metrics::{Metrics, ServiceMetrics};
use super::{L4Table, Limits, Listener, Transport, sources};

/// What all listeners share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) limits: Limits,
    pub(super) metrics: Metrics,
    /// TCP connections.
    pub(super) tasks: TaskTracker,
    /// Resets every connection when cancelled.
    pub(super) abort: CancellationToken,
    connections: Arc<Semaphore>,
    sessions: Arc<Semaphore>,
}

impl Shared {
    pub(super) fn new(limits: Limits, metrics: Metrics) -> Self {
        let (connections, sessions) = (semaphore(limits.connections), semaphore(limits.sessions));
        Self { limits, metrics, tasks: TaskTracker::new(), abort: CancellationToken::new(), connections, sessions }
    }

    /// The bound of a new listener.
    pub(super) fn slots(&self, transport: Transport) -> Slots {
        match transport {
            Transport::Tcp => Slots { own: semaphore(self.limits.connections_per_listener), total: Arc::clone(&self.connections) },
            Transport::Udp => Slots { own: semaphore(self.limits.sessions_per_listener), total: Arc::clone(&self.sessions) },
        }
    }
}

fn semaphore(permits: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)))
}

/// How many connections or sessions may be open, on one listener and in total.
#[derive(Debug)]
pub(super) struct Slots {
    own: Arc<Semaphore>,
    total: Arc<Semaphore>,
}

/// One open connection or session; dropping it makes room.
#[derive(Debug)]
pub(super) struct Slot {
    _own: OwnedSemaphorePermit,
    _total: OwnedSemaphorePermit,
}

impl Slots {
    pub(super) fn take(&self) -> Option<Slot> {
        let own = Arc::clone(&self.own).try_acquire_owned().ok()?;
        let total = Arc::clone(&self.total).try_acquire_owned().ok()?;
        Some(Slot { _own: own, _total: total })
    }
}

/// The time that one Service has a listener.
#[derive(Debug)]
pub(super) struct Tenure {
    pub(super) metrics: ServiceMetrics,
    /// Resets the connections of this tenure when cancelled.
    pub(super) abort: CancellationToken,
}

/// The current entry of the table, ready for use.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) listener: Listener,
    pub(super) endpoints: Endpoints,
    pub(super) tenure: Arc<Tenure>,
}

impl Serving {
    /// The listener for a Service that had it not before.
    pub(super) fn new(shared: &Shared, table: &L4Table, transport: Transport, listener: &Listener) -> Self {
        let metrics = shared.metrics.of_service(&listener.service, transport);
        Self::of_tenure(table, transport, listener, Arc::new(Tenure { metrics, abort: shared.abort.child_token() }))
    }

    /// What takes this one's place, if anything changed.
    pub(super) fn successor(&self, shared: &Shared, table: &L4Table, transport: Transport, listener: &Listener) -> Option<Self> {
        if listener.service != self.listener.service {
            return Some(Self::new(shared, table, transport, listener));
        }
        let next = Self::of_tenure(table, transport, listener, Arc::clone(&self.tenure));
        (next.listener != self.listener || next.endpoints != self.endpoints).then_some(next)
    }

    fn of_tenure(table: &L4Table, transport: Transport, listener: &Listener, tenure: Arc<Tenure>) -> Self {
        let outside = |endpoint: &SocketAddr| !table.listeners.contains_key(&(*endpoint, transport));
        let endpoints = Endpoints::new(listener.endpoints.iter().copied().filter(outside), listener.client_ip_affinity);
        Self { listener: listener.clone(), endpoints, tenure }
    }

    pub(super) fn admits(&self, client: IpAddr) -> bool {
        sources::admits(self.listener.allowed_sources.as_deref(), client)
    }
}
