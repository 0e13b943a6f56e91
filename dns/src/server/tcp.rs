//! DNS over TCP (RFC 7766): pipelined queries, one write for each reply, bounded in number and in time.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use socket2::Socket;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::metrics::Counters;
use crate::{Transport, ZoneSet, answer};

/// How long a connection may be silent, and how long a read or write may take.
const IDLE: Duration = Duration::from_secs(10);
/// Connections at once, over all addresses.
const MAX_CONNECTIONS: usize = 4096;
/// Connections at once from one client address.
const MAX_PER_CLIENT: usize = 64;
/// Longest query; a client that sends a longer one is cut off.
const MAX_QUERY: usize = 4096;
/// How long to wait when no connection can be accepted, such as without free descriptors.
const BACKOFF: Duration = Duration::from_millis(50);

/// The connections that are open, over all addresses.
#[derive(Debug, Clone, Default)]
pub(super) struct Limits(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A connection that counts until it is dropped.
struct Admitted {
    limits: Limits,
    client: IpAddr,
}

impl Limits {
    fn admit(&self, client: IpAddr) -> Option<Admitted> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.values().sum::<usize>() >= MAX_CONNECTIONS {
            return None;
        }
        let own = open.entry(client).or_default();
        if *own >= MAX_PER_CLIENT {
            return None;
        }
        *own += 1;
        Some(Admitted { limits: self.clone(), client })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.limits.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = open.get_mut(&self.client) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.client);
            }
        }
    }
}

/// Accepts until `stop`, and ends the connections then.
pub(super) async fn serve(
    socket: Socket,
    address: SocketAddr,
    zones: Arc<ArcSwap<ZoneSet>>,
    counters: Arc<Counters>,
    limits: Limits,
    stop: CancellationToken,
) {
    let listener = match TcpListener::from_std(socket.into()) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%address, %error, "DNS over TCP: cannot listen"),
    };
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => {
                let Some(admitted) = limits.admit(client.ip()) else {
                    counters.lost(1);
                    continue;
                };
                let (zones, counters) = (Arc::clone(&zones), Arc::clone(&counters));
                connections.spawn(async move {
                    let _admitted = admitted;
                    // A client that goes away in the middle is no event.
                    let _ = converse(stream, &zones, &counters).await;
                });
            }
            Err(error) => {
                tracing::warn!(%address, %error, "DNS over TCP: cannot accept");
                tokio::time::sleep(BACKOFF).await;
            }
        }
    }
    connections.shutdown().await;
}

/// Answers a connection's queries in order, until it is silent or breaks the rules.
async fn converse(stream: TcpStream, zones: &ArcSwap<ZoneSet>, counters: &Counters) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(MAX_QUERY, stream);
    let mut query = Vec::new();
    let mut reply = vec![0; 2 + usize::from(u16::MAX)];
    loop {
        let length = usize::from(timeout(IDLE, stream.read_u16()).await??);
        if length > MAX_QUERY {
            return Ok(());
        }
        query.resize(length, 0);
        timeout(IDLE, stream.read_exact(&mut query)).await??;
        let answered = answer(&zones.load(), &query, Transport::Tcp, &mut reply[2..]);
        counters.count(answered.as_ref());
        let Some(answered) = answered else { return Ok(()) };
        reply[..2].copy_from_slice(&(answered.length as u16).to_be_bytes());
        timeout(IDLE, stream.write_all(&reply[..2 + answered.length])).await??;
    }
}
