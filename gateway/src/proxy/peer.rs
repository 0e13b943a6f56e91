//! How an endpoint is connected to: the one place that makes a Pingora peer, so no peer lacks a pool key, a server name, a timeout or a stream limit.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora_core::upstreams::peer::HttpPeer;

use super::tunnel::TunnelConnector;
use crate::table::{Backend, Policy};

/// Requests in flight on one HTTP/2 connection to an endpoint; Pingora's default is one.
const MAX_H2_STREAMS: usize = 128;
/// Idle connections to endpoints are closed after this long, as ingress-nginx does.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The peer for one endpoint of a backend.
pub(super) fn peer_for(backend: &Backend, policy: &Policy, group_key: u64, address: SocketAddr) -> HttpPeer {
    let tls = backend.protocol.is_tls();
    let mut peer = HttpPeer::new(address, tls, if tls { server_name(backend) } else { String::new() });
    peer.group_key = group_key;
    let options = &mut peer.options;
    options.connection_timeout = Some(policy.connect_timeout);
    // The TLS handshake has its share.
    options.total_connection_timeout = Some(policy.connect_timeout * 2);
    options.read_timeout = Some(policy.read_timeout);
    options.write_timeout = Some(policy.send_timeout);
    options.idle_timeout = Some(IDLE_TIMEOUT);
    options.max_h2_streams = MAX_H2_STREAMS;
    // ingress-nginx does not verify upstream certificates by default; a pod's certificate rarely has a name that could be.
    options.verify_cert = false;
    options.verify_hostname = false;
    if backend.protocol.is_http2() {
        options.set_http_version(2, 2);
    } else {
        options.set_http_version(1, 1);
    }
    peer
}

/// The same for a request that asks for an upgrade; see [`super::tunnel`].
pub(super) fn tunnel_peer_for(backend: &Backend, policy: &Policy, group_key: u64, address: SocketAddr) -> HttpPeer {
    // Pooled connections are not of the kind that a tunnel needs: it has a group of its own, which nothing ever joins.
    let mut peer = peer_for(backend, policy, !group_key, address);
    peer.options.custom_l4 = Some(Arc::new(TunnelConnector { timeout: policy.connect_timeout }));
    peer
}

/// Never empty: an empty name would mean something else to Pingora than no verification.
fn server_name(backend: &Backend) -> String {
    if backend.server_name.is_empty() { backend.service.clone() } else { backend.server_name.clone() }
}

#[cfg(test)]
mod tests {
    use pingora_core::protocols::ALPN;
    use pingora_core::upstreams::peer::Peer;

    use super::*;
    use crate::table::Protocol;

    fn peer(protocol: Protocol, server_name: &str, group_key: u64) -> HttpPeer {
        let backend = Backend {
            name: "ns-web-80".into(),
            namespace: "ns".into(),
            service: "web".into(),
            port: "80".into(),
            protocol,
            server_name: server_name.into(),
            endpoints: vec![],
        };
        peer_for(&backend, &Policy::default(), group_key, ([192, 0, 2, 1], 80).into())
    }

    #[test]
    fn every_peer_has_its_limits_and_speaks_its_protocol() {
        for (protocol, tls, sni, alpn) in [
            (Protocol::Http, false, "", ALPN::H1),
            (Protocol::Https, true, "web.ns.svc", ALPN::H1),
            (Protocol::Grpc, false, "", ALPN::H2),
            (Protocol::Grpcs, true, "web.ns.svc", ALPN::H2),
        ] {
            let peer = peer(protocol, "web.ns.svc", 7);
            assert_eq!((peer.is_tls(), peer.sni.as_str(), &peer.options.alpn, peer.group_key), (tls, sni, &alpn, 7));
            let options = &peer.options;
            assert_eq!(options.connection_timeout, Some(Duration::from_secs(5)));
            assert_eq!(options.total_connection_timeout, Some(Duration::from_secs(10)));
            assert_eq!((options.read_timeout, options.write_timeout), (Some(Duration::from_secs(60)), Some(Duration::from_secs(60))));
            assert_eq!((options.idle_timeout, options.max_h2_streams), (Some(IDLE_TIMEOUT), MAX_H2_STREAMS));
            assert!(!options.verify_cert && !options.verify_hostname);
        }
    }

    #[test]
    fn tls_peers_always_name_a_server() {
        assert_eq!(peer(Protocol::Https, "", 7).sni, "web");
    }

    #[test]
    fn peers_of_different_groups_share_no_connection() {
        let hash = |group_key| peer(Protocol::Http, "", group_key).reuse_hash();
        assert_eq!(hash(1), hash(1));
        assert_ne!(hash(1), hash(2));
    }
}
