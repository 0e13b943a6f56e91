//! Requests: Pingora's `ProxyHttp` filters over one snapshot. Decisions are in pure siblings; this module only carries them out.

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType, Result};
use pingora_proxy::{ProxyHttp, Session};

use crate::listen::conn_info;
use crate::{Options, Snapshot};

/// The filters of the gateway.
pub(crate) struct App {}

impl App {
    pub(crate) fn new(_options: &Options, _snapshots: Arc<ArcSwap<Snapshot>>, _registry: &prometheus::Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {})
    }
}

#[async_trait]
impl ProxyHttp for App {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _session: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        Err(Error::new(ErrorType::HTTPStatus(404)))
    }

    async fn logging(&self, session: &mut Session, _error: Option<&Error>, (): &mut ()) {
        let server_name = conn_info(session).and_then(|connection| connection.tls.as_ref()?.server_name.as_deref());
        tracing::debug!(server_name, "no route");
    }
}
