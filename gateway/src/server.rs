//! The HTTP data plane as a whole: binds, serves, drains.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use crate::proxy::App;
use crate::{Options, Snapshot};

/// Bound listeners of the HTTP data plane, ready to run.
pub struct Gateway {
    _app: App,
    _options: Options,
}

/// Why the data plane cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Metrics are registered already: a registry can serve one gateway.
    #[error("cannot register metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Addresses that are listened on, with the ports that the system chose where 0 was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalAddresses {
    /// Plain HTTP, in the order of the options.
    pub http: Vec<SocketAddr>,
    /// HTTPS, in the order of the options.
    pub https: Vec<SocketAddr>,
}

impl Gateway {
    /// Binds all addresses of the options. Needs no runtime, so that privileges can be dropped before one starts.
    ///
    /// # Errors
    /// An address is taken or not allowed, or the registry has these metrics already.
    pub fn bind(options: Options, snapshots: Arc<ArcSwap<Snapshot>>, registry: &prometheus::Registry) -> Result<Self, BindError> {
        Ok(Self { _app: App::new(&options, snapshots, registry)?, _options: options })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addresses(&self) -> LocalAddresses {
        LocalAddresses::default()
    }

    /// Serves until `stop` is cancelled, then drains: accepts nothing more, tells clients to go away, lets requests under way end, and cuts what is left
    /// after the drain timeout.
    pub async fn run(self, stop: CancellationToken) {
        stop.cancelled().await;
    }
}

/// Worker threads of the runtime that the gateway should run in: as many as the process may use processors.
#[must_use]
pub fn runtime_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
