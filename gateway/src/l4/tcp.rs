//! Accepts TCP connections of one listener and hands each to an endpoint.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::metrics::Refused;
use super::relay::{End, relay};
use super::serving::{Serving, Shared, Slots, Tenure};
use super::{Transport, bind};

/// Endpoints that are tried for one connection.
const ATTEMPTS: usize = 3;

/// The pause after the process ran out of descriptors or memory; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Accepts until it is dropped. Connections are tasks of their own.
pub(super) async fn serve(listener: TcpListener, serving: watch::Receiver<Arc<Serving>>, shared: Arc<Shared>) {
    let slots = shared.slots(Transport::Tcp);
    let mut door = Door { serving, slots, shared, turn: 0 };
    let mut pause = FIRST_PAUSE;
    loop {
        match listener.accept().await {
            Ok((downstream, client)) => {
                pause = FIRST_PAUSE;
                door.admit(downstream, client);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(service = %door.serving.borrow().listener.service, %error, ?pause, "cannot accept connections");
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Errors that the next connection does not share (accept(2): pending network errors are passed on).
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkDown, NetworkUnreachable, TimedOut,
    };
    let kinds = [ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkDown, NetworkUnreachable, TimedOut];
    kinds.contains(&error.kind())
}

/// Decides who comes in.
struct Door {
    serving: watch::Receiver<Arc<Serving>>,
    slots: Slots,
    shared: Arc<Shared>,
    turn: usize,
}

impl Door {
    /// Starts a connection, or resets it by dropping it: zero linger is inherited from the listening socket.
    fn admit(&mut self, downstream: TcpStream, client: SocketAddr) {
        let serving = Arc::clone(&self.serving.borrow());
        let tenure = Arc::clone(&serving.tenure);
        if !serving.admits(client.ip()) {
            return tenure.metrics.refuse(Refused::Source);
        }
        if serving.endpoints.is_empty() {
            return tenure.metrics.refuse(Refused::NoEndpoint);
        }
        let Some(slot) = self.slots.take() else { return tenure.metrics.refuse(Refused::Limit) };
        let connection = Connection { downstream, client, serving, turn: self.turn, connect_timeout: self.shared.limits.connect_timeout };
        self.turn = self.turn.wrapping_add(1);
        self.shared.tasks.spawn(async move {
            let _slot = slot;
            // Cancelled or broken, both sockets are dropped and thereby reset.
            tenure.abort.run_until_cancelled(connection.run(&tenure)).await
        });
    }
}

struct Connection {
    downstream: TcpStream,
    client: SocketAddr,
    serving: Arc<Serving>,
    turn: usize,
    connect_timeout: Duration,
}

impl Connection {
    async fn run(self, tenure: &Tenure) {
        let _open = tenure.metrics.open();
        let Some(upstream) = self.connect().await else {
            return tenure.metrics.refuse(Refused::ConnectFailed);
        };
        let idle = self.serving.listener.idle_timeout;
        let Self { downstream, serving, .. } = self;
        // A connection may outlive many tables and keeps none of them.
        drop(serving);
        let end = relay(&downstream, &upstream, idle, &tenure.metrics.received, &tenure.metrics.sent).await;
        if end == End::Finished {
            close_cleanly(&downstream);
            close_cleanly(&upstream);
        }
    }

    async fn connect(&self) -> Option<TcpStream> {
        let service = &self.serving.listener.service;
        for endpoint in self.serving.endpoints.order(self.client.ip(), self.turn, ATTEMPTS) {
            match timeout(self.connect_timeout, connect_to(endpoint)).await {
                Ok(Ok(upstream)) => return Some(upstream),
                Ok(Err(error)) => tracing::debug!(%service, %endpoint, %error, "cannot connect"),
                Err(_) => tracing::debug!(%service, %endpoint, limit = ?self.connect_timeout, "no answer to connect"),
            }
        }
        None
    }
}

async fn connect_to(endpoint: SocketAddr) -> io::Result<TcpStream> {
    bind::tcp_to(endpoint)?.connect(endpoint).await
}

/// Lets the kernel deliver what it still holds instead of resetting.
fn close_cleanly(stream: &TcpStream) {
    if let Err(error) = SockRef::from(stream).set_linger(None) {
        tracing::debug!(%error, "a finished connection ends with a reset");
    }
}
