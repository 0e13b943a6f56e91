//! Which endpoints a client is sent to, in which order. Pure.

use std::cmp::Reverse;
use std::net::{IpAddr, SocketAddr};

/// The endpoints of one listener.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Endpoints {
    /// Each with a hash of its address and port.
    list: Vec<(SocketAddr, u64)>,
    by_client: bool,
}

impl Endpoints {
    /// `by_client`: a client address keeps its endpoint as long as that exists.
    pub(super) fn new(list: impl IntoIterator<Item = SocketAddr>, by_client: bool) -> Self {
        let hashed = |endpoint: SocketAddr| (endpoint, mix(hash_ip(endpoint.ip()) ^ u64::from(endpoint.port())));
        Self { list: list.into_iter().map(hashed).collect(), by_client }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn contains(&self, endpoint: SocketAddr) -> bool {
        self.list.iter().any(|(known, _)| *known == endpoint)
    }

    /// Up to `most` different endpoints, the one to try first at the front. `turn` grows by one with each call.
    pub(super) fn order(&self, client: IpAddr, turn: usize, most: usize) -> Vec<SocketAddr> {
        if self.by_client { self.by_weight(client, most) } else { self.by_turn(turn, most) }
    }

    fn by_turn(&self, turn: usize, most: usize) -> Vec<SocketAddr> {
        let start = turn.checked_rem(self.list.len()).unwrap_or(0);
        self.list[start..].iter().chain(&self.list[..start]).take(most).map(|(endpoint, _)| *endpoint).collect()
    }

    /// Rendezvous hashing: an endpoint that comes or goes moves only its own clients, and every replica chooses alike.
    fn by_weight(&self, client: IpAddr, most: usize) -> Vec<SocketAddr> {
        let client = hash_ip(client.to_canonical());
        let mut weighed: Vec<_> = self.list.iter().map(|(endpoint, hash)| (Reverse(mix(client ^ hash)), *endpoint)).collect();
        if weighed.len() > most && most > 0 {
            weighed.select_nth_unstable(most - 1);
        }
        weighed.truncate(most);
        weighed.sort_unstable();
        weighed.into_iter().map(|(_, endpoint)| endpoint).collect()
    }
}

fn hash_ip(ip: IpAddr) -> u64 {
    let bits = match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let (high, low) = ((bits >> 64) as u64, bits as u64);
    mix(mix(high) ^ low)
}

/// The finalizer of SplitMix64: fixed, so that all replicas and versions agree.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;

    use super::*;

    fn pool(size: u8) -> Vec<SocketAddr> {
        (1..=size).map(|n| SocketAddr::from(([10, 0, 0, n], 80))).collect()
    }

    fn clients() -> impl Iterator<Item = IpAddr> {
        (0..10_000_u32).map(|n| IpAddr::V4(Ipv4Addr::from_bits(0xc0a8_0000 + n)))
    }

    #[test]
    fn turns_go_round() {
        let endpoints = Endpoints::new(pool(3), false);
        let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let first: Vec<_> = (0..4).map(|turn| endpoints.order(client, turn, 3)[0].ip().to_string()).collect();
        assert_eq!(first, ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.1"]);
        assert_eq!(endpoints.order(client, 1, 3), [pool(3)[1], pool(3)[2], pool(3)[0]]);
        assert_eq!(endpoints.order(client, usize::MAX, 2).len(), 2);
    }

    #[test]
    fn without_endpoints_there_is_no_order() {
        for by_client in [false, true] {
            assert_eq!(Endpoints::new([], by_client).order(IpAddr::V4(Ipv4Addr::LOCALHOST), 7, 3), []);
        }
    }

    #[test]
    fn a_client_keeps_its_endpoint_and_its_substitutes() {
        let endpoints = Endpoints::new(pool(5), true);
        for client in clients().take(100) {
            let order = endpoints.order(client, 0, 3);
            assert_eq!(order, endpoints.order(client, 99, 3));
            assert_eq!(order.len(), 3);
            assert!(order[0] != order[1] && order[1] != order[2] && order[0] != order[2]);
        }
    }

    #[test]
    fn a_mapped_client_is_the_same_client() {
        let endpoints = Endpoints::new(pool(7), true);
        for client in [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(198, 51, 100, 7)] {
            assert_eq!(endpoints.order(client.into(), 0, 3), endpoints.order(client.to_ipv6_mapped().into(), 0, 3));
        }
    }

    #[test]
    fn clients_spread_evenly() {
        let endpoints = Endpoints::new(pool(10), true);
        let mut share = BTreeMap::<SocketAddr, usize>::new();
        clients().for_each(|client| *share.entry(endpoints.order(client, 0, 1)[0]).or_default() += 1);
        assert_eq!(share.len(), 10);
        assert!(share.values().all(|n| (850..1150).contains(n)), "{share:?}");
    }

    #[test]
    fn a_removed_endpoint_moves_only_its_own_clients() {
        let before = Endpoints::new(pool(10), true);
        let after = Endpoints::new(pool(9), true);
        let gone = pool(10)[9];
        for client in clients() {
            let (old, new) = (before.order(client, 0, 2), after.order(client, 0, 1)[0]);
            assert_eq!(new, if old[0] == gone { old[1] } else { old[0] });
        }
    }

    #[test]
    fn the_choice_is_the_same_in_every_version() {
        let endpoints = Endpoints::new(pool(4), true);
        let chosen: Vec<_> = clients().take(8).map(|client| endpoints.order(client, 0, 1)[0].to_string()).collect();
        assert_eq!(chosen, GOLDEN);
    }

    const GOLDEN: [&str; 8] = ["", "", "", "", "", "", "", ""];
}
