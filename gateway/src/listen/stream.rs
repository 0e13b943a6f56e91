//! One downstream byte stream, in the clear or over TLS, as Pingora's `IO`: buffered writes, deadlines, a close that does not cut off the answer.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use pingora_core::protocols::l4::socket::SocketAddr as PingoraAddress;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID, UniqueIDType,
};
use pingora_http::ResponseHeader;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::server::TlsStream;

use super::progress::{Progress, Protocol};
use super::{ConnInfo, Limits, Refusal, Refuse, UnderWay};

/// Head and the first of the body leave in one segment or TLS record; larger writes pass by.
const WRITE_BUFFER: usize = 16 * 1024;
/// Larger buffers are given back between requests: most connections are idle most of the time.
const IDLE_BUFFER: usize = 4 * 1024;

/// What carries the bytes.
#[derive(Debug)]
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Transport {
    fn tcp_mut(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_mut().0,
        }
    }

    fn is_http2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

/// Bytes that wait to be sent.
#[derive(Debug, Default)]
struct Unsent {
    bytes: Vec<u8>,
    sent: usize,
}

/// Wakes its task at a deadline that may move; moving it later costs nothing until the old one is reached.
#[derive(Debug, Default)]
struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    fn poll_elapsed(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

/// A downstream stream with what is known of its connection.
#[derive(Debug)]
pub(super) struct GwStream {
    transport: Transport,
    unsent: Unsent,
    progress: Progress,
    under_way: UnderWay,
    read_timer: Timer,
    write_timer: Timer,
    linger: Option<Linger>,
    /// The client was given up: nothing more is waited for.
    given_up: bool,
    /// Whether the flush under way has let others go first.
    yielded: bool,
    limits: Limits,
    refuse: Arc<dyn Refuse>,
    /// The client was answered here.
    refused: bool,
    tls: Option<Arc<SslDigest>>,
    socket: Arc<SocketDigest>,
    connection: Arc<ProxyDigest>,
    established: SystemTime,
}

impl GwStream {
    /// `established` is told to Pingora for its logs alone.
    pub(super) fn new(
        mut transport: Transport,
        connection: ConnInfo,
        limits: Limits,
        refuse: Arc<dyn Refuse>,
        established: SystemTime,
    ) -> pingora_core::Result<Self> {
        let protocol = if transport.is_http2() { Protocol::Http2 } else { Protocol::Http1 };
        let socket = SocketDigest::from_raw_fd(transport.tcp_mut().as_raw_fd());
        // The cells are new and empty, so setting them cannot fail.
        let _ = socket.peer_addr.set(Some(PingoraAddress::Inet(connection.peer)));
        let _ = socket.local_addr.set(Some(PingoraAddress::Inet(connection.local)));
        let tls = connection.tls.as_ref().map(|tls| Arc::new(SslDigest::new(tls.cipher, tls.version, None, None, Vec::new())));
        let under_way = connection.under_way.clone();
        let connection = ProxyDigest::new(Box::new(ResponseHeader::build(200, Some(0))?), Some(Box::new(connection)));
        Ok(Self {
            transport,
            unsent: Unsent::default(),
            progress: Progress::new(limits, protocol, Instant::now()),
            under_way,
            read_timer: Timer::default(),
            write_timer: Timer::default(),
            linger: None,
            given_up: false,
            yielded: false,
            limits,
            refuse,
            refused: false,
            tls,
            socket: Arc::new(socket),
            connection: Arc::new(connection),
            established,
        })
    }

    pub(super) fn is_http2(&self) -> bool {
        self.transport.is_http2()
    }

    /// To be called before each further request of an HTTP/1.1 connection.
    pub(super) fn await_next_request(&mut self) {
        self.under_way.set(false);
        self.progress.next_request(Instant::now());
        if self.unsent.bytes.is_empty() && self.unsent.bytes.capacity() > IDLE_BUFFER {
            self.unsent.bytes = Vec::new();
        }
    }

    /// Answers in place of the proxy.
    pub(super) fn refuse(&mut self, refusal: Refusal) {
        let connection = self.connection.user_data.as_ref().and_then(|connection| connection.downcast_ref());
        if let Some(connection) = connection.filter(|_| !self.refused) {
            self.refused = true;
            let answer = self.refuse.refuse(connection, refusal);
            self.unsent.bytes.extend_from_slice(&answer);
        }
    }

    /// Whether what is written is Pingora's own answer to a request that it refused: every other one is seen by a filter before it is answered.
    fn is_refused(&self) -> bool {
        !self.under_way.get() && !self.is_http2()
    }

    /// Writes to the transport, and fails once the client has taken nothing for too long.
    fn poll_write_through(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.transport.poll_write(cx, bytes) {
            Poll::Ready(Ok(written)) => {
                self.progress.wrote(Instant::now());
                Poll::Ready(Ok(written))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.poll_stalled(cx).map(Err),
        }
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let deadline = self.progress.blocked(Instant::now());
        self.write_timer.poll_elapsed(deadline, cx).map(|()| io::ErrorKind::TimedOut.into())
    }

    /// Whether others that are ready have their turn first: what they send then leaves together with this, and a receiver on the same machine that has
    /// gone to sleep is woken once for all of it instead of for each. Once a flush.
    const fn yields_before_sending(&mut self) -> bool {
        self.yielded = !self.yielded && !self.unsent.bytes.is_empty();
        self.yielded
    }

    /// Empties the write buffer.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.unsent.sent < self.unsent.bytes.len() {
            let Unsent { bytes, sent } = std::mem::take(&mut self.unsent);
            let result = self.poll_write_through(cx, &bytes[sent..]);
            self.unsent = Unsent { bytes, sent };
            match ready!(result)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.unsent.sent += written,
            }
        }
        self.unsent.bytes.clear();
        self.unsent.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Discards what the client still sends until it closes, so that the kernel does not answer it with a reset that destroys our answer on its way.
    fn poll_linger(&mut self, linger: Linger, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut scratch = [MaybeUninit::uninit(); IDLE_BUFFER];
        let mut deadline = linger.deadline(self.limits.linger_gap);
        while Instant::now() < deadline {
            let mut buffer = ReadBuf::uninit(&mut scratch);
            match Pin::new(self.transport.tcp_mut()).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    let linger = Linger { last: Instant::now(), ..linger };
                    deadline = linger.deadline(self.limits.linger_gap);
                    self.linger = Some(linger);
                }
                Poll::Ready(_) => break,
                Poll::Pending => return self.read_timer.poll_elapsed(deadline, cx).map(Ok),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The end of a connection whose answer is sent.
#[derive(Debug, Clone, Copy)]
struct Linger {
    end: Instant,
    last: Instant,
}

impl Linger {
    fn deadline(self, gap: Duration) -> Instant {
        self.end.min(self.last + gap)
    }
}

impl AsyncRead for GwStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let filled = buffer.filled().len();
        if this.under_way.get() {
            this.progress.serving();
        }
        let deadline = this.progress.read_deadline();
        let result = match this.transport.poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => {
                let now = Instant::now();
                this.progress.read(&buffer.filled()[filled..], now);
                if now < deadline { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Err(ready!(this.read_timer.poll_elapsed(deadline, cx).map(|()| io::ErrorKind::TimedOut.into()))),
        };
        this.given_up |= result.is_err();
        Poll::Ready(result)
    }
}

impl AsyncWrite for GwStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_refused() {
            this.refuse(Refusal::Malformed);
            return Poll::Ready(Ok(bytes.len()));
        }
        if this.unsent.bytes.len() + bytes.len() > WRITE_BUFFER {
            ready!(this.poll_drain(cx))?;
        }
        if bytes.len() >= WRITE_BUFFER {
            return this.poll_write_through(cx, bytes);
        }
        this.unsent.bytes.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.yields_before_sending() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(this.poll_drain(cx))?;
        match this.transport.poll_flush(cx) {
            Poll::Pending => this.poll_stalled(cx).map(Err),
            ready => ready,
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(linger) = this.linger {
            return this.poll_linger(linger, cx);
        }
        ready!(this.poll_drain(cx))?;
        match this.transport.poll_shutdown(cx) {
            Poll::Pending => this.poll_stalled(cx).map(Err),
            Poll::Ready(result) if result.is_err() || this.given_up => Poll::Ready(result),
            Poll::Ready(_) => {
                let now = Instant::now();
                let linger = Linger { end: now + this.limits.linger, last: now };
                this.linger = Some(linger);
                this.poll_linger(linger, cx)
            }
        }
    }
}

impl Drop for GwStream {
    /// Pingora drops idle connections without closing them: say goodbye as far as that goes without waiting.
    fn drop(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        let unsent = &self.unsent.bytes[self.unsent.sent..];
        if unsent.is_empty() || self.transport.poll_write(&mut cx, unsent).is_ready() {
            let _ = self.transport.poll_shutdown(&mut cx);
        }
    }
}

#[async_trait]
impl Shutdown for GwStream {
    async fn shutdown(&mut self) {
        // Whether the client heard it makes no difference any more.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for GwStream {
    fn id(&self) -> UniqueIDType {
        match &self.transport {
            Transport::Plain(tcp) => tcp.as_raw_fd(),
            Transport::Tls(tls) => tls.as_raw_fd(),
        }
    }
}

impl Ssl for GwStream {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.tls.clone()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.is_http2().then_some(ALPN::H2)
    }
}

impl GetTimingDigest for GwStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        vec![Some(TimingDigest { established_ts: self.established, ..TimingDigest::default() })]
    }
}

impl GetProxyDigest for GwStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(Arc::clone(&self.connection))
    }
}

impl GetSocketDigest for GwStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.socket))
    }
}

/// Nothing is peeked: HTTP/2 without TLS is not accepted.
impl Peek for GwStream {}
