//! One accepted connection: TLS where the listener has it, then requests until either side has enough.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use pingora_core::apps::{HttpServerApp, ReusedHttpStream, ServerApp};
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::ServerSession;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::accept::Edge;
use super::request_body::Timed;
use super::stream::{GwStream, Transport};
use super::tls::{Accepted, HandshakeError};
use super::{ConnInfo, Kind, Refusal, TlsInfo, UnderWay};

impl<P: HttpServerApp + Send + Sync + 'static> Edge<P> {
    /// Serves a connection to its end.
    pub(super) async fn serve(&self, kind: Kind, tcp: TcpStream, peer: SocketAddr, local: SocketAddr) {
        let (transport, tls) = match kind {
            Kind::Http => (Transport::Plain(tcp), None),
            Kind::Https => match self.handshake(tcp, peer, local).await {
                Some((transport, tls)) => (transport, Some(tls)),
                None => return,
            },
        };
        if let Some(stream) = self.stream(transport, ConnInfo { peer, local, tls, under_way: UnderWay::default() }) {
            self.serve_http(stream).await;
        }
    }

    fn stream(&self, transport: Transport, connection: ConnInfo) -> Option<GwStream> {
        GwStream::new(transport, connection, self.limits, Arc::clone(&self.refuse), SystemTime::now())
            .inspect_err(|error| tracing::error!(%error, "cannot serve a connection"))
            .ok()
    }

    /// The TLS stream, or nothing when the connection has been dealt with.
    async fn handshake(&self, tcp: TcpStream, peer: SocketAddr, local: SocketAddr) -> Option<(Transport, TlsInfo)> {
        match timeout(self.limits.handshake, self.tls.accept(tcp)).await {
            Ok(Ok(Accepted::Stream(stream))) => {
                let tls = TlsInfo::of(&stream);
                self.metrics.handshake(&tls, stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed));
                return Some((Transport::Tls(stream), tls));
            }
            Ok(Ok(Accepted::Challenge)) => {
                self.metrics.challenge_answered();
                tracing::debug!(%peer, "answered a TLS-ALPN-01 challenge");
            }
            Ok(Err(error)) => {
                self.metrics.handshake_failed(&error);
                tracing::debug!(%peer, %error, "TLS handshake failed");
                if let HandshakeError::PlainHttp(tcp) = error {
                    self.refuse_plain_http(tcp, ConnInfo { peer, local, tls: None, under_way: UnderWay::default() }).await;
                }
            }
            Err(_) => {
                self.metrics.handshake_timed_out();
                tracing::debug!(%peer, "TLS handshake timed out");
            }
        }
        None
    }

    async fn refuse_plain_http(&self, tcp: TcpStream, connection: ConnInfo) {
        if let Some(mut stream) = self.stream(Transport::Plain(tcp), connection) {
            stream.refuse(Refusal::PlainHttp);
            pingora_core::protocols::Shutdown::shutdown(&mut stream).await;
        }
    }

    async fn serve_http(&self, stream: GwStream) {
        if stream.is_http2() {
            let timed = Arc::new(Timed { proxy: Arc::clone(&self.proxy), cut: self.metrics.stalled_bodies.clone() });
            timed.process_new(Box::new(stream), &self.shutdown).await;
        } else {
            self.serve_http1(Box::new(stream)).await;
        }
    }

    /// Pingora's own loop, except that the stream is told where a request begins, which is what its deadlines depend on.
    async fn serve_http1(&self, stream: Stream) {
        let mut session = ServerSession::new_http1(stream);
        // Zero is "for ever" here: how long a connection may be idle is for the stream to say.
        session.set_keepalive(if *self.shutdown.borrow() { None } else { Some(0) });
        // Requests that come before the last one is answered wait for their turn. Otherwise Pingora loses them, and the one under way with them.
        session.set_pipelining_enabled(true);
        session.set_keepalive_reuses_remaining(self.proxy.server_options().and_then(|options| options.keepalive_request_limit));
        while let Some((stream, settings)) = self.proxy.process_new_http(session, &self.shutdown).await.map(ReusedHttpStream::consume) {
            let Ok(mut stream) = stream.into_any().downcast::<GwStream>() else {
                return;
            };
            stream.await_next_request();
            session = ServerSession::new_http1(stream);
            if let Some(settings) = settings {
                settings.apply_to_session(&mut session);
            }
        }
    }
}
