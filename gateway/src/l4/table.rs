//! What is forwarded, as a value. Pure.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

/// TCP or UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// A byte stream, with half-close.
    Tcp,
    /// Datagrams, with a session a client address and port.
    Udp,
}

/// All listeners by what they are bound to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct L4Table {
    /// One entry for each bound address, port and transport.
    pub listeners: BTreeMap<(SocketAddr, Transport), Listener>,
}

/// One port of a Service on one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// `namespace/service`, for logs, metrics and explanations.
    pub service: String,
    /// Ready endpoints, sorted and without duplicates. None: TCP connections are reset and datagrams dropped.
    pub endpoints: Vec<SocketAddr>,
    /// When set, clients outside these networks are dropped (`loadBalancerSourceRanges`).
    pub allowed_sources: Option<Vec<IpNet>>,
    /// Whether a client address keeps its endpoint (`sessionAffinity: ClientIP`).
    pub client_ip_affinity: bool,
    /// A connection or session without traffic for this long is ended.
    pub idle_timeout: Duration,
}
