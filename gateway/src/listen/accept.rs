//! The accept loop: one a listening socket, under one limit for all.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use pingora_core::apps::HttpServerApp;
use pingora_core::server::ShutdownWatch;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::clients::Admitted;
use super::{Clients, Kind, Limits, Metrics, Refuse, Tls};

/// Pause after the system is out of descriptors or memory; what is open then has time to end.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// What all connections share.
pub(crate) struct Edge<P> {
    pub(crate) proxy: Arc<P>,
    pub(crate) tls: Tls,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    /// Answers what the proxy does not.
    pub(crate) refuse: Arc<dyn Refuse>,
    /// Turns true when connections are to end with the request that is under way. Never marked as seen here: each connection clones it to see the change.
    pub(crate) shutdown: ShutdownWatch,
    /// A permit for each open connection.
    pub(crate) slots: Arc<Semaphore>,
    /// Connections of each client.
    pub(crate) clients: Arc<Clients>,
}

/// A listening socket.
pub(crate) struct Port {
    pub(crate) kind: Kind,
    pub(crate) listener: TcpListener,
}

impl<P: HttpServerApp + Send + Sync + 'static> Edge<P> {
    /// Accepts until `stop`, then closes the socket and returns the connections that are still open. While all slots are taken one client is accepted
    /// and waits; the kernel's backlog holds the others.
    pub(crate) async fn accept(self: Arc<Self>, port: Port, stop: CancellationToken) -> JoinSet<()> {
        let mut connections = JoinSet::new();
        let mut next = pin!(self.next(&port));
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return connections,
                Some(ended) = connections.join_next() => log_panic(ended),
                accepted = &mut next => {
                    Arc::clone(&self).start(port.kind, accepted, &mut connections);
                    next.set(self.next(&port));
                }
            }
        }
    }

    /// Waits for a client and then for a slot, so that a listener without clients takes none.
    async fn next(&self, port: &Port) -> Accepted {
        loop {
            match port.listener.accept().await {
                Ok((tcp, peer)) => {
                    // Closed at once: one client must not keep the others waiting.
                    let Some(admitted) = self.clients.admit(peer.ip()) else {
                        self.metrics.refused(port.kind);
                        continue;
                    };
                    let slot = Arc::clone(&self.slots).acquire_owned().await.expect("the semaphore is never closed");
                    return Accepted { slot, admitted, tcp, peer };
                }
                Err(error) => {
                    self.metrics.accept_failed(port.kind);
                    tracing::warn!(%error, "cannot accept a connection");
                    if is_exhausted(&error) {
                        tokio::time::sleep(EXHAUSTED_PAUSE).await;
                    }
                }
            }
        }
    }

    fn start(self: Arc<Self>, kind: Kind, accepted: Accepted, connections: &mut JoinSet<()>) {
        let open = self.metrics.accepted(kind);
        connections.spawn(async move {
            let Accepted { slot, admitted, tcp, peer } = accepted;
            if let Ok(local) = tcp.local_addr() {
                self.serve(kind, tcp, peer, local).await;
            }
            drop((open, slot, admitted));
        });
    }
}

struct Accepted {
    slot: tokio::sync::OwnedSemaphorePermit,
    admitted: Admitted,
    tcp: TcpStream,
    peer: SocketAddr,
}

/// Whether accepting again at once would fail again.
fn is_exhausted(error: &io::Error) -> bool {
    !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted)
}

/// A panic ends one connection, never the loop.
pub(crate) fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection panicked");
    }
}
