//! Ports for servers that tests and measurements start: free, and not taken by anybody before the server binds them. Not for the program itself.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// The lowest port that is given out.
const FIRST: u16 = 10_000;

/// One more than the highest: the system chooses ports for clients above (`net.ipv4.ip_local_port_range`), so none of them comes in between.
const END: u16 = 32_768;

/// A port on 127.0.0.1 that is free for TCP and UDP, another one at each call.
///
/// Two processes begin at different places, so that they rarely look at the same port at the same time.
///
/// # Panics
/// When no port in the range is free.
#[must_use]
#[allow(clippy::panic, reason = "a test without a port can only fail")]
pub fn free() -> SocketAddr {
    static CALLS: AtomicU16 = AtomicU16::new(0);
    let range = END - FIRST;
    let own = u16::try_from(u64::from(std::process::id()) * 97 % u64::from(range)).unwrap_or(0);
    (0..range)
        .map(|_| FIRST + (own + CALLS.fetch_add(1, Ordering::Relaxed) % range) % range)
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .find(is_free)
        .unwrap_or_else(|| panic!("no port from {FIRST} to {END} is free on 127.0.0.1"))
}

fn is_free(address: &SocketAddr) -> bool {
    TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::collections::HashSet;
    use std::net::TcpListener;

    use super::{END, FIRST, free};

    #[test]
    fn each_port_is_another_one_and_can_be_bound() {
        let ports: HashSet<u16> = (0..100).map(|_| free().port()).collect();
        assert_eq!(ports.len(), 100);
        assert!(ports.iter().all(|port| (FIRST..END).contains(port)));
        let held: Vec<TcpListener> = ports.iter().map(|port| TcpListener::bind(("127.0.0.1", *port)).unwrap()).collect();
        assert!(held.iter().all(|held| held.local_addr().unwrap().port() != free().port()));
    }
}
