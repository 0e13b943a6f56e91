//! The values a routing table is made of: what is matched, under which policy, and what is then done.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::{ExternalAuth, PasswordHash};
use crate::proxy::Kept;

/// The hosts that a rule is for. Names are lower case, in A-label form, without a trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// Just this host.
    Exact(Arc<str>),
    /// `*.suffix`: exactly one label before the suffix that is held here (`example.org` for `*.example.org`).
    Wildcard(Arc<str>),
    /// Every host that nothing else names.
    Any,
}

/// The paths that a rule is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathMatch {
    /// The whole path, byte for byte.
    Exact(Arc<str>),
    /// The path or anything below it, on segment boundaries (`/foo` matches `/foo` and `/foo/bar`, not `/foobar`).
    Prefix(Arc<str>),
}

/// Names a route in logs, metrics and explanations.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId {
    /// Namespace of the Ingress.
    pub namespace: String,
    /// Name of the Ingress.
    pub ingress: String,
    /// Host as the rule writes it; empty for the catch-all.
    pub host: String,
    /// Path as the rule writes it.
    pub path: String,
}

/// What happens to the requests that a host and path select. Where hosts are many, each cache line is waited for: a shared route has two, which a request
/// asks for at once, and what it changes when it ends is in them.
#[derive(Debug, Clone, PartialEq)]
#[repr(C)]
pub struct Route {
    /// What a request has to satisfy, shared by routes that ask for the same.
    pub policy: Arc<Policy>,
    /// Where it goes.
    pub action: Action,
    /// Its name.
    pub id: Arc<RouteId>,
    /// What the data plane keeps with it.
    pub kept: Kept,
}

impl Route {
    /// A route with which nothing is kept yet.
    #[must_use]
    pub fn new(id: RouteId, policy: Arc<Policy>, action: Action) -> Self {
        Self { policy, action, id: Arc::new(id), kept: Kept::default() }
    }
}

/// Where a request goes once the policy let it pass.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// To an endpoint of the backend. A backend without endpoints answers 503.
    Forward(Arc<Backend>),
    /// Refused here, whatever the request: the route cannot be served as it was asked for.
    Fail(Box<Failure>),
}

impl Action {
    /// Refuses with a status (4xx or 5xx) for a reason.
    #[must_use]
    pub fn fail(status: u16, reason: impl Into<String>) -> Self {
        Self::Fail(Box::new(Failure { status, reason: reason.into() }))
    }
}

/// What is answered where a route cannot be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// HTTP status, 4xx or 5xx.
    pub status: u16,
    /// Shown to operators and tenants, never to the client.
    pub reason: String,
}

/// A Service port and the endpoints behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// `namespace-service-port`, ingress-nginx's upstream name.
    pub name: String,
    /// Namespace of the Service: connections are never shared across namespaces.
    pub namespace: String,
    /// Name of the Service.
    pub service: String,
    /// Port of the Service as the route names it (number or name).
    pub port: String,
    /// What is spoken to the endpoints.
    pub protocol: Protocol,
    /// Name for the upstream's SNI where TLS is spoken; the Service's DNS name, or the external name.
    pub server_name: String,
    /// Ready endpoints, sorted and without duplicates.
    pub endpoints: Vec<Endpoint>,
}

/// Where a backend can be reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// An address from an EndpointSlice.
    Address(SocketAddr),
    /// A DNS name (Service of type ExternalName) and port, resolved when a connection is made.
    Name(String, u16),
}

/// As people write it: `192.0.2.1:80`, `[2001:db8::1]:80`, `app.example.org:80`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name, port) if name.contains(':') => write!(f, "[{name}]:{port}"),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

/// What is spoken to a backend (annotation `backend-protocol`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1 in the clear.
    #[default]
    Http,
    /// HTTP/1.1 over TLS; the certificate is not verified, as ingress-nginx does by default.
    Https,
    /// HTTP/2 with prior knowledge, in the clear.
    Grpc,
    /// HTTP/2 over TLS, not verified.
    Grpcs,
}

/// As the annotation has it.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
            Self::Grpc => "GRPC",
            Self::Grpcs => "GRPCS",
        })
    }
}

impl Protocol {
    /// Whether TLS is spoken to the endpoint.
    #[must_use]
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Grpcs)
    }

    /// Whether HTTP/2 is spoken to the endpoint.
    #[must_use]
    pub const fn is_http2(self) -> bool {
        matches!(self, Self::Grpc | Self::Grpcs)
    }
}

/// What a request has to satisfy and the limits it runs under. The default is ingress-nginx's.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Whether plain HTTP is sent to HTTPS.
    pub tls_redirect: TlsRedirect,
    /// Largest request body in bytes; `None` is unlimited.
    pub body_limit: Option<u64>,
    /// When set, clients outside these networks get 403. An empty list admits nobody.
    pub allowed_sources: Option<Vec<IpNet>>,
    /// When set, requests need one of these credentials.
    pub basic_auth: Option<Arc<BasicAuth>>,
    /// When set, another server is asked about each request.
    pub external_auth: Option<Arc<ExternalAuth>>,
    /// Whether one of the three above is enough (`satisfy: any`); else a request has to meet them all.
    pub satisfy_any: bool,
    /// Longest wait for a connection to an endpoint.
    pub connect_timeout: Duration,
    /// Longest gap between two reads from the endpoint; cuts idle WebSockets too.
    pub read_timeout: Duration,
    /// Longest gap between two writes to the endpoint.
    pub send_timeout: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            tls_redirect: TlsRedirect::WhenCertificate,
            body_limit: Some(1 << 20),
            allowed_sources: None,
            basic_auth: None,
            external_auth: None,
            satisfy_any: false,
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(60),
        }
    }
}

/// When a request over plain HTTP is redirected (308) to HTTPS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsRedirect {
    /// Never (`ssl-redirect: "false"`).
    Never,
    /// When the host has TLS configured (`ssl-redirect`, the default). The compiler resolves it per host into [`TlsRedirect::Always`] or
    /// [`TlsRedirect::Never`] where it can tell; what remains is decided by whether a certificate covers the host.
    #[default]
    WhenCertificate,
    /// Always (`force-ssl-redirect: "true"`).
    Always,
}

/// The users that may pass (annotations `auth-type: basic`, `auth-secret`, `auth-realm`).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct BasicAuth {
    /// Shown to the user by the browser; printable ASCII.
    pub realm: String,
    /// Password hash by user name.
    pub users: BTreeMap<String, PasswordHash>,
}

impl fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicAuth").field("realm", &self.realm).field("users", &self.users.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    /// Two counts of who has it, with which a shared value begins.
    const COUNTS: usize = 16;

    #[test]
    fn a_shared_route_has_two_cache_lines_and_its_counters_are_in_the_second() {
        assert_eq!(COUNTS + size_of::<Route>(), 128);
        assert!(COUNTS + offset_of!(Route, kept) + Kept::COUNTERS >= 64);
        // Of the last values in the first line, both of what is kept, none is cut in two.
        assert_eq!(COUNTS + offset_of!(Route, kept) + size_of::<[Arc<Route>; 2]>(), 64);
    }
}
