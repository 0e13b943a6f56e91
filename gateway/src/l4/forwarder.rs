//! Brings what runs in line with the table: binds, swaps, removes, tries again.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use super::{L4Table, Limits, Transport};

/// An address and port that could not be bound; the others are served.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot bind {transport} {address} for Service {service}: {source}")]
pub struct BindFailure {
    /// What was to be bound.
    pub address: SocketAddr,
    /// TCP or UDP.
    pub transport: Transport,
    /// `namespace/service`.
    pub service: String,
    /// What the operating system says.
    pub source: Arc<io::Error>,
}

/// Forwards TCP and UDP by the last [`L4Table`] that was applied. Needs a tokio runtime.
#[derive(Debug)]
pub struct Forwarder {
    failures: watch::Sender<Vec<BindFailure>>,
}

impl Forwarder {
    /// A forwarder without listeners and with default limits. Its metrics `vrata_l4_*` are registered here.
    ///
    /// # Errors
    /// When the registry already holds metrics of these names.
    pub fn new(registry: &prometheus::Registry) -> Result<Self, prometheus::Error> {
        Self::with_limits(registry, Limits::default())
    }

    /// [`Self::new`] with other limits.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_limits(_registry: &prometheus::Registry, _limits: Limits) -> Result<Self, prometheus::Error> {
        Ok(Self { failures: watch::Sender::new(Vec::new()) })
    }

    /// Brings the listeners in line with the table and returns those that could not be bound; these are tried again, at growing intervals and by the next
    /// call. A listener that stays keeps its socket and connections, and new connections follow the new endpoints and limits. A listener that is gone
    /// accepts no more when this returns, and its connections end within [`Limits::drain`].
    pub async fn apply(&self, _table: Arc<L4Table>) -> Vec<BindFailure> {
        Vec::new()
    }

    /// What cannot be bound now; changes with each call of [`Self::apply`] and each retry.
    #[must_use]
    pub fn failures(&self) -> watch::Receiver<Vec<BindFailure>> {
        self.failures.subscribe()
    }

    /// Stops accepting at once, lets connections go on until `deadline`, and resets those that are left.
    pub async fn shutdown(&self, _deadline: Instant) {}
}
