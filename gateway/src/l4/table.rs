//! What is forwarded, as a value. Pure.

use std::collections::BTreeMap;
use std::fmt;
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

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
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
    /// Ready endpoints, sorted and without duplicates. None: TCP connections are reset and datagrams dropped. One that is itself a listener of the same
    /// table and transport is left out, for traffic would go round in circles.
    pub endpoints: Vec<SocketAddr>,
    /// When set, clients outside these networks are reset or dropped (`loadBalancerSourceRanges`); an empty list lets nobody in.
    pub allowed_sources: Option<Vec<IpNet>>,
    /// Whether a client address keeps its endpoint (`sessionAffinity: ClientIP`).
    pub client_ip_affinity: bool,
    /// A connection or session without traffic for this long is ended.
    pub idle_timeout: Duration,
}
