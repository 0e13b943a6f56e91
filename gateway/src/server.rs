//! The HTTP data plane as a whole: binds, serves, drains.

use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ServerApp};
use pingora_core::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora_core::server::configuration::ServerConf;
use pingora_proxy::{HttpProxy, ProxyHttp, http_proxy};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::certificates::ParsedCertificate;
use crate::listen::{Clients, Edge, Kind, Metrics, Port, Refuse, Tls, bind, log_panic};
use crate::proxy::App;
use crate::{Limits, Options, Snapshot};

/// How often the state of routes that are gone is looked for. It takes memory and is told of, no more.
const PRUNE_PERIOD: Duration = Duration::from_secs(1);

/// Bound listeners of the HTTP data plane, ready to run.
pub struct Gateway {
    server: Server<HttpProxy<App>>,
    pruning: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
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
    /// The thread that writes the access log cannot be started.
    #[error("cannot start the access log: {0}")]
    AccessLog(std::io::Error),
    /// The default certificate cannot be made.
    #[error("cannot make the default certificate: {0}")]
    DefaultCertificate(#[from] rcgen::Error),
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
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
    /// An address is taken or not allowed, the registry has these metrics already, or there is no randomness to make keys of.
    pub fn bind(options: Options, snapshots: Arc<ArcSwap<Snapshot>>, registry: &prometheus::Registry) -> Result<Self, BindError> {
        let app = App::new(&options, Arc::clone(&snapshots), registry)?;
        let (pruning, refuse) = (Box::pin(app.prune_always(PRUNE_PERIOD)), app.refuser());
        let proxy = proxy(app, &options.limits);
        Ok(Self { server: Server::bind(options, snapshots, registry, proxy, refuse)?, pruning })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addresses(&self) -> LocalAddresses {
        self.server.local_addresses()
    }

    /// Serves until `stop` is cancelled, then drains: accepts nothing more, tells clients to go away, lets requests under way end, and cuts what is left
    /// after the drain timeout.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = self.server.run(stop) => {}
            () = self.pruning => {}
        }
    }
}

/// Worker threads of the runtime that the gateway should run in: as many as the process may use processors. One thread costs least per request; more
/// keep a slow handshake or password hash from delaying everybody else.
#[must_use]
pub fn runtime_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The proxy with every option that Pingora leaves open or unbounded.
pub(crate) fn proxy<A: ProxyHttp>(app: A, limits: &Limits) -> HttpProxy<A> {
    let mut proxy = http_proxy(&Arc::new(upstream_options()), app);
    proxy.server_options = Some(server_options(limits));
    proxy.h2_options = Some(h2_options());
    proxy
}

/// Idle upstream connections that are kept, over all endpoints: the pool has this many for each of its threads. Tries count the first one.
fn upstream_options() -> ServerConf {
    ServerConf { threads: runtime_threads(), upstream_keepalive_pool_size: 1024, max_retries: 3, ..ServerConf::default() }
}

/// ingress-nginx closes a connection after 1000 requests to give its memory back; ours are cheaper to keep. CONNECT comes to the filters, which refuse it
/// as they refuse everything else.
fn server_options(limits: &Limits) -> HttpServerOptions {
    let mut options = HttpServerOptions::default();
    options.keepalive_request_limit = Some(10_000);
    options.h2_idle_timeout = Some(limits.idle);
    options.allow_connect_method_proxying = true;
    options
}

/// At most 128 streams (as ingress-nginx) of 256 KiB each under 1 MiB for the whole connection: what one client can make us hold.
fn h2_options() -> H2Options {
    let mut options = default_h2_options();
    options.max_concurrent_streams(128).initial_window_size(256 * 1024).initial_connection_window_size(1024 * 1024).max_send_buffer_size(256 * 1024);
    options
}

/// Listeners and what serves them.
pub(crate) struct Server<P> {
    listeners: Vec<(Kind, TcpListener, SocketAddr)>,
    edge: Edge<P>,
    shutdown: watch::Sender<bool>,
    drain_timeout: Duration,
}

impl<P: HttpServerApp + Send + Sync + 'static> Server<P> {
    pub(crate) fn bind(
        options: Options,
        snapshots: Arc<ArcSwap<Snapshot>>,
        registry: &prometheus::Registry,
        proxy: P,
        refuse: Arc<dyn Refuse>,
    ) -> Result<Self, BindError> {
        let fallback = ParsedCertificate::self_signed_default(&rcgen::KeyPair::generate()?)?;
        let http = options.http.into_iter().map(|address| (Kind::Http, address));
        let https = options.https.into_iter().map(|address| (Kind::Https, address));
        let listeners = http.chain(https).map(|(kind, address)| {
            let failed = |source| BindError::Listen { address, source };
            let listener = bind(address).map_err(failed)?;
            let local = listener.local_addr().map_err(failed)?;
            Ok((kind, listener, local))
        });
        let (shutdown, watch) = watch::channel(false);
        Ok(Self {
            listeners: listeners.collect::<Result<_, BindError>>()?,
            edge: Edge {
                proxy: Arc::new(proxy),
                tls: Tls::new(snapshots, Arc::clone(fallback.key()))?,
                limits: options.limits,
                metrics: Metrics::new(registry)?,
                refuse,
                shutdown: watch,
                clients: Clients::new(options.max_connections_per_client),
                slots: Arc::new(Semaphore::new(options.max_connections.min(Semaphore::MAX_PERMITS))),
            },
            shutdown,
            drain_timeout: options.drain_timeout,
        })
    }

    pub(crate) fn local_addresses(&self) -> LocalAddresses {
        let of = |wanted| self.listeners.iter().filter(|(kind, ..)| *kind == wanted).map(|(.., address)| *address).collect();
        LocalAddresses { http: of(Kind::Http), https: of(Kind::Https) }
    }

    pub(crate) async fn run(self, stop: CancellationToken) {
        let edge = Arc::new(self.edge);
        let mut accepting = JoinSet::new();
        for (kind, listener, address) in self.listeners {
            match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => drop(accepting.spawn(Arc::clone(&edge).accept(Port { kind, listener }, stop.clone()))),
                Err(error) => tracing::error!(%address, %error, "cannot serve a listening socket"),
            }
        }
        let mut connections = Vec::new();
        stop.cancelled().await;
        while let Some(ended) = accepting.join_next().await {
            match ended {
                Ok(open) => connections.push(open),
                Err(error) => tracing::error!(%error, "an accept loop ended early"),
            }
        }
        // In this order: a keep-alive connection that is woken has to see that it is over.
        self.shutdown.send_replace(true);
        ServerApp::cleanup(&*edge.proxy).await;
        drain(connections, self.drain_timeout).await;
    }
}

/// Waits for all connections to end, and cuts those that have not by then.
async fn drain(mut connections: Vec<JoinSet<()>>, limit: Duration) {
    let ended = tokio::time::timeout(limit, async {
        for open in &mut connections {
            while let Some(ended) = open.join_next().await {
                log_panic(ended);
            }
        }
    });
    if ended.await.is_err() {
        let left: usize = connections.iter().map(JoinSet::len).sum();
        tracing::warn!(connections = left, "cutting connections that outlived the drain timeout");
    }
    for mut open in connections {
        open.shutdown().await;
    }
}
