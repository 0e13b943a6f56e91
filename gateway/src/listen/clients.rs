//! How many connections each client has: one IPv4 address, or the /64 network that an IPv6 host usually has to itself.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Connections of each client, no more than a limit.
#[derive(Debug)]
pub(crate) struct Clients {
    limit: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection of a client, until it is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    clients: Arc<Clients>,
    client: IpAddr,
}

impl Clients {
    /// At most `limit` connections a client.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, open: Mutex::default() })
    }

    /// Counts a connection, unless the client has as many as it may.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Admitted> {
        let client = client(address);
        let mut open = self.open();
        let count = open.entry(client).or_insert(0);
        if *count >= self.limit {
            // Of a limit of zero nothing may stay behind.
            if *count == 0 {
                open.remove(&client);
            }
            return None;
        }
        *count += 1;
        Some(Admitted { clients: Arc::clone(self), client })
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.clients.open();
        if let Some(count) = open.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.client);
            }
        }
    }
}

fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_count_alone_and_networks_of_64_bits_together() {
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            assert_eq!(client(one.parse().unwrap()) == client(other.parse().unwrap()), same, "{one} {other}");
        }
    }

    #[test]
    fn a_client_has_no_more_than_the_limit_and_nothing_is_kept_of_those_that_left() {
        let clients = Clients::new(2);
        let (one, other) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let (first, second) = (clients.admit(one), clients.admit(one));
        assert!(first.is_some() && second.is_some() && clients.admit(one).is_none());
        let third = clients.admit(other);
        assert!(third.is_some());
        drop(first);
        let fourth = clients.admit(one);
        assert!(fourth.is_some());
        drop((second, third, fourth));
        assert!(clients.open().is_empty());
        let none = Clients::new(0);
        assert!(none.admit(one).is_none() && none.open().is_empty());
    }
}
