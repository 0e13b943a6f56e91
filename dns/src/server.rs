//! Sockets and threads around [`crate::answer()`]: a thread with a socket of its own for each core and address over UDP, tasks over TCP.

mod metrics;
mod tcp;
mod udp;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use arc_swap::ArcSwap;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio_util::sync::CancellationToken;

use self::metrics::Metrics;
use crate::{Transport, ZoneSet};

/// How often a free port is looked for that both UDP and TCP can have.
const PORT_TRIES: usize = 20;
/// What the kernel may queue for each UDP socket, in bytes.
const RECEIVE_BUFFER: usize = 1 << 20;
const BACKLOG: i32 = 1024;

/// A DNS server that is bound to its addresses, over UDP and TCP.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    listeners: Vec<Listener>,
    zones: Arc<ArcSwap<ZoneSet>>,
    metrics: Metrics,
}

/// One address.
#[derive(Debug)]
struct Listener {
    address: SocketAddr,
    udp: Vec<Socket>,
    tcp: Socket,
}

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// An address cannot be used.
    #[error("cannot serve DNS on {address}: {source}")]
    Address {
        /// The address asked for.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The metrics' names are taken in the registry.
    #[error("cannot register the DNS metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

impl Server {
    /// Binds UDP and TCP on each address; port 0 takes a free port, the same for both. An IPv6 address serves IPv6 alone. On a wildcard
    /// address a reply leaves from the address that was asked.
    ///
    /// # Errors
    /// Names the first address that cannot be bound.
    pub fn bind(addresses: &[SocketAddr], zones: Arc<ArcSwap<ZoneSet>>, registry: &prometheus::Registry) -> Result<Self, BindError> {
        let sockets = thread::available_parallelism().map_or(1, usize::from);
        let bound = |&address: &SocketAddr| Listener::bind(address, sockets).map_err(|source| BindError::Address { address, source });
        let listeners = addresses.iter().map(bound).collect::<Result<Vec<_>, _>>()?;
        let metrics = Metrics::register(registry)?;
        Ok(Self { addresses: listeners.iter().map(|listener| listener.address).collect(), listeners, zones, metrics })
    }

    /// The addresses that were bound, in the order asked for.
    #[must_use]
    pub fn local_addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until `stop`; returns when every thread and connection has ended.
    pub async fn run(self, stop: CancellationToken) {
        let stopping = Arc::new(AtomicBool::new(false));
        let limits = tcp::Limits::default();
        let mut threads = Vec::new();
        let mut wakers = Vec::new();
        let mut acceptors = tokio::task::JoinSet::new();
        for listener in self.listeners {
            for socket in listener.udp {
                wakers.extend(socket.try_clone());
                let (zones, stopping) = (Arc::clone(&self.zones), Arc::clone(&stopping));
                let (counters, address) = (self.metrics.counters(Transport::Udp), listener.address);
                threads.push(tokio::task::spawn_blocking(move || udp::serve(&socket, address, &zones, &counters, &stopping)));
            }
            let counters = self.metrics.counters(Transport::Tcp);
            acceptors.spawn(tcp::serve(listener.tcp, listener.address, Arc::clone(&self.zones), counters, limits.clone(), stop.clone()));
        }
        stop.cancelled().await;
        stopping.store(true, Ordering::Relaxed);
        for socket in &wakers {
            // The system calls it an error on a socket without a peer, and wakes the reader all the same.
            let _ = socket.shutdown(std::net::Shutdown::Read);
        }
        for thread in threads {
            let _ = thread.await;
        }
        while acceptors.join_next().await.is_some() {}
    }
}

impl Listener {
    fn bind(address: SocketAddr, sockets: usize) -> io::Result<Self> {
        let mut result = Self::bind_once(address, sockets);
        for _ in 1..PORT_TRIES {
            match &result {
                Err(error) if address.port() == 0 && error.kind() == io::ErrorKind::AddrInUse => result = Self::bind_once(address, sockets),
                _ => break,
            }
        }
        result
    }

    fn bind_once(mut address: SocketAddr, sockets: usize) -> io::Result<Self> {
        let tcp = open(address, Type::STREAM)?;
        tcp.set_reuse_address(true)?;
        tcp.bind(&address.into())?;
        tcp.listen(BACKLOG)?;
        tcp.set_nonblocking(true)?;
        if let Some(bound) = tcp.local_addr()?.as_socket() {
            address.set_port(bound.port());
        }
        // Without the option the first one fails if anybody else has the port; then the group is ours.
        drop(bind_udp(address, false)?);
        let udp = (0..sockets).map(|_| bind_udp(address, true)).collect::<io::Result<_>>()?;
        Ok(Self { address, udp, tcp })
    }
}

fn open(address: SocketAddr, kind: Type) -> io::Result<Socket> {
    let protocol = if kind == Type::STREAM { Protocol::TCP } else { Protocol::UDP };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

fn bind_udp(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = open(address, Type::DGRAM)?;
    socket.set_reuse_port(shared)?;
    // The kernel caps it; less is no failure.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    if address.ip().is_unspecified() {
        udp::report_destination(&socket, address)?;
    }
    socket.bind(&SockAddr::from(address))?;
    Ok(socket)
}
