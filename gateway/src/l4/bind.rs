//! Opens the sockets: which options they have, and why.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpSocket, UdpSocket};

const BACKLOG: i32 = 4096;

/// A peer that is gone without a word is noticed after about two minutes.
fn keepalive() -> TcpKeepalive {
    TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(10)).with_retries(6)
}

/// A listening socket. Accepted connections inherit its options, so none has to be set for each of them; of these, zero linger makes every end that is
/// not expressly a clean one a reset.
pub(super) fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = open(address, Type::STREAM, Protocol::TCP)?;
    // Otherwise connections in TIME_WAIT keep a port from being bound again.
    socket.set_reuse_address(true)?;
    tune(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// A socket for datagrams. It is not shared: a second binding of the same port is an error instead of a silent theft.
pub(super) fn udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = open(address, Type::DGRAM, Protocol::UDP)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

/// A socket that is connected to an endpoint: it takes datagrams from there only, and hears when the port is closed.
pub(super) fn udp_to(endpoint: SocketAddr) -> io::Result<UdpSocket> {
    let socket = open(endpoint, Type::DGRAM, Protocol::UDP)?;
    socket.connect(&endpoint.into())?;
    UdpSocket::from_std(socket.into())
}

/// A socket about to connect to an endpoint, with the options of [`tcp`].
pub(super) fn tcp_to(endpoint: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if endpoint.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    tune(&SockRef::from(&socket))?;
    Ok(socket)
}

fn open(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

fn tune(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&keepalive())?;
    socket.set_linger(Some(Duration::ZERO))
}
