//! What is known of a downstream connection; every proxy filter can see it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pingora_proxy::Session;

/// A downstream connection.
#[derive(Debug, Clone)]
pub(crate) struct ConnInfo {
    /// The client.
    pub(crate) peer: SocketAddr,
    /// The address and port that the client connected to.
    pub(crate) local: SocketAddr,
    /// Set on HTTPS listeners.
    pub(crate) tls: Option<TlsInfo>,
    /// Told by the filters.
    pub(crate) under_way: UnderWay,
}

/// Whether a request is being served on an HTTP/1.1 connection. The stream cannot always see it: the head of a pipelined request was read before its turn.
#[derive(Debug, Clone, Default)]
pub(crate) struct UnderWay(Arc<AtomicBool>);

impl UnderWay {
    pub(crate) fn set(&self, is_under_way: bool) {
        self.0.store(is_under_way, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the TLS handshake settled.
#[derive(Debug, Clone)]
pub(crate) struct TlsInfo {
    /// Server name that the client asked for, lower case.
    pub(crate) server_name: Option<String>,
    /// `TLSv1.2` or `TLSv1.3`.
    pub(crate) version: &'static str,
    /// Name of the cipher suite.
    pub(crate) cipher: &'static str,
}

/// What is known of the connection that a request came on. `None` only for sessions that did not come through our listeners (tests).
pub(crate) fn conn_info(session: &Session) -> Option<&ConnInfo> {
    session.digest()?.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref()
}
