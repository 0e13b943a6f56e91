//! A gateway in front of the backends of a test: a minimal accept loop around `HttpProxy`. TLS is only claimed, not spoken.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora_core::apps::ServerApp;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID, UniqueIDType,
};
use pingora_core::server::configuration::ServerConf;
use pingora_http::ResponseHeader;
use pingora_proxy::http_proxy;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt, BufWriter, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use crate::listen::{ConnInfo, TlsInfo, UnderWay};
use crate::proxy::App;
use crate::table::{HostPattern, PathMatch, Route, Rule};
use crate::{Options, RoutingTable, Snapshot};

/// How a connection came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Port {
    Http,
    Https,
    Https2,
}

#[derive(Debug)]
struct Stream {
    io: BufWriter<TcpStream>,
    port: Port,
    socket: Arc<SocketDigest>,
    connection: Arc<ProxyDigest>,
}

impl Stream {
    fn new(io: TcpStream, port: Port) -> Self {
        use std::os::fd::AsRawFd as _;
        let tls = (port != Port::Http).then(|| TlsInfo { server_name: Some("a.test".into()), version: "TLSv1.3", cipher: "none" });
        let connection = ConnInfo { peer: "192.0.2.7:4711".parse().unwrap(), local: io.local_addr().unwrap(), tls, under_way: UnderWay::default() };
        Self {
            port,
            socket: Arc::new(SocketDigest::from_raw_fd(io.as_raw_fd())),
            connection: Arc::new(ProxyDigest::new(Box::new(ResponseHeader::build(200, None).unwrap()), Some(Box::new(connection)))),
            io: BufWriter::with_capacity(16 << 10, io),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for Stream {
    async fn shutdown(&mut self) {
        let _ = AsyncWriteExt::shutdown(&mut self.io).await;
        let mut rest = [0; 4096];
        while self.io.read(&mut rest).await.is_ok_and(|read| read > 0) {}
    }
}

impl UniqueID for Stream {
    fn id(&self) -> UniqueIDType {
        0
    }
}

impl Ssl for Stream {
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        (self.port == Port::Https2).then_some(ALPN::H2)
    }
}

impl GetTimingDigest for Stream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        vec![Some(TimingDigest { established_ts: SystemTime::now(), ..Default::default() })]
    }
}

impl GetProxyDigest for Stream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(Arc::clone(&self.connection))
    }
}

impl GetSocketDigest for Stream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.socket))
    }
}

impl Peek for Stream {}

/// The access log of a test.
#[derive(Debug, Clone, Default)]
pub(in crate::proxy) struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    pub(in crate::proxy) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// A running gateway.
pub(super) struct Front {
    pub(super) address: SocketAddr,
    pub(super) snapshots: Arc<ArcSwap<Snapshot>>,
    pub(super) registry: prometheus::Registry,
    pub(super) log: Lines,
    accepting: tokio::task::JoinHandle<()>,
    pruning: tokio::task::JoinHandle<()>,
    _stop: tokio::sync::watch::Sender<bool>,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.accepting.abort();
        self.pruning.abort();
    }
}

impl Front {
    pub(super) async fn start(port: Port, snapshot: Snapshot) -> Self {
        Self::with(port, snapshot, Options::default()).await
    }

    pub(super) async fn with(port: Port, snapshot: Snapshot, options: Options) -> Self {
        let (snapshots, registry, log) = (Arc::new(ArcSwap::from_pointee(snapshot)), prometheus::Registry::new(), Lines::default());
        let app = App::with_log(&options, Arc::clone(&snapshots), &registry, Box::new(log.clone())).unwrap();
        let pruning = tokio::spawn(app.prune_always(Duration::from_millis(5)));
        let conf = Arc::new(ServerConf { max_retries: 3, ..ServerConf::default() });
        let proxy = Arc::new(http_proxy(&conf, app));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let (proxy, stopped) = (Arc::clone(&proxy), stopped.clone());
                connections.spawn(async move {
                    // One connection can serve many requests.
                    let mut stream = Box::new(Stream::new(tcp, port)) as pingora_core::protocols::Stream;
                    while let Some(reused) = proxy.process_new(stream, &stopped).await {
                        stream = reused;
                    }
                });
            }
        });
        Self { address, snapshots, registry, log, accepting, pruning, _stop: stop }
    }

    pub(super) fn metrics(&self) -> String {
        prometheus::TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap()
    }
}

/// A snapshot with one route for every host and path.
pub(super) fn snapshot(route: Route) -> Snapshot {
    of(vec![Rule::new(HostPattern::Any, PathMatch::Prefix("/".into()), Arc::new(route))])
}

/// A snapshot of rules.
pub(super) fn of(rules: Vec<Rule>) -> Snapshot {
    Snapshot { table: RoutingTable::build(rules), ..Snapshot::default() }
}
