//! How much the forwarder takes on, and for how long. Pure.

use std::time::Duration;

/// Bounds of one [`super::Forwarder`]. Each TCP connection takes two file descriptors, each UDP session one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most TCP connections open at once, over all listeners.
    pub connections: usize,
    /// Most TCP connections open at once on one listener.
    pub connections_per_listener: usize,
    /// Most UDP sessions open at once, over all listeners.
    pub sessions: usize,
    /// Most UDP sessions open at once on one listener.
    pub sessions_per_listener: usize,
    /// How long one endpoint may take to accept a connection.
    pub connect_timeout: Duration,
    /// How long connections go on after their listener was removed or given to another Service.
    pub drain: Duration,
    /// The first pause before an address that could not be bound is tried again; it doubles up to a minute.
    pub bind_retry: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 65_536,
            connections_per_listener: 16_384,
            sessions: 65_536,
            sessions_per_listener: 16_384,
            connect_timeout: Duration::from_secs(5),
            drain: Duration::from_secs(60),
            bind_retry: Duration::from_secs(1),
        }
    }
}
