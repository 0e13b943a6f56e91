//! What the HTTP data plane is started with; unlike the snapshot it does not change while it runs.

use std::net::SocketAddr;
use std::time::Duration;

pub use crate::listen::Limits;

/// Start-up options of the HTTP data plane.
#[derive(Debug, Clone)]
pub struct Options {
    /// Addresses that serve plain HTTP.
    pub http: Vec<SocketAddr>,
    /// Addresses that serve HTTPS.
    pub https: Vec<SocketAddr>,
    /// Port that redirects to HTTPS name; none is named when it is 443.
    pub public_https_port: u16,
    /// How long open connections may go on after a stop was asked for.
    pub drain_timeout: Duration,
    /// Shape of the access log, one line a request.
    pub access_log: AccessLog,
    /// Largest number of connections open at once, over all listeners.
    pub max_connections: usize,
    /// Largest number of connections that one client has open at once, over all listeners; further ones are closed. A client is an IPv4 address or an IPv6
    /// network of 64 bits.
    pub max_connections_per_client: usize,
    /// Time limits of connections.
    pub limits: Limits,
    /// Whether a Service of type ExternalName may lead to a loopback address: only where the machine serves nobody else, as in a demonstration. Otherwise
    /// a tenant could reach what listens for the node itself.
    pub allow_loopback_external_names: bool,
}

/// Shape of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccessLog {
    /// No access log.
    Off,
    /// One JSON object a line.
    #[default]
    Json,
    /// ingress-nginx's default line.
    Nginx,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            http: Vec::new(),
            https: Vec::new(),
            public_https_port: 443,
            drain_timeout: Duration::from_secs(30),
            access_log: AccessLog::Json,
            max_connections: 65_536,
            max_connections_per_client: 1024,
            limits: Limits::default(),
            allow_loopback_external_names: false,
        }
    }
}
