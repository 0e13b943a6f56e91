//! TLS: which certificate and protocol a connection gets. Certificates are taken from the snapshot that is current at the handshake.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{Acceptor, ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::TlsInfo;
use super::challenge::{ACME_TLS, ChallengeError, challenge_config};
use crate::Snapshot;

/// First byte of a TLS record that holds a handshake message (RFC 8446 section 5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// Answers TLS handshakes. One configuration serves all names, so a session can be resumed for its own name only and under the same policy.
#[derive(Debug)]
pub(crate) struct Tls {
    config: Arc<ServerConfig>,
    snapshots: Arc<ArcSwap<Snapshot>>,
}

/// What a handshake came to.
#[derive(Debug)]
pub(super) enum Accepted {
    /// A connection to serve.
    Stream(Box<TlsStream<TcpStream>>),
    /// A certificate authority saw the answer to its challenge; the connection is closed.
    Challenge,
}

/// Why a handshake came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("plain HTTP was sent")]
    PlainHttp(TcpStream),
    #[error("something other than TLS was sent")]
    NotTls,
    #[error("the connection ended")]
    Closed,
    #[error("the client broke the protocol, or nothing is supported by both: {0}")]
    Protocol(io::Error),
    #[error(transparent)]
    Challenge(#[from] ChallengeError),
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => Self::Protocol(error),
            _ => Self::Closed,
        }
    }
}

impl Tls {
    /// `fallback` answers where the snapshot has no certificate for a name and no default.
    pub(crate) fn new(snapshots: Arc<ArcSwap<Snapshot>>, fallback: Arc<CertifiedKey>) -> Result<Self, rustls::Error> {
        let resolver = Resolver { snapshots: Arc::clone(&snapshots), fallback };
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(rustls::ALL_VERSIONS)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        Ok(Self { config: Arc::new(config), snapshots })
    }

    /// Makes the handshake. To be called under a time limit.
    pub(super) async fn accept(&self, tcp: TcpStream) -> Result<Accepted, HandshakeError> {
        let mut first = [0];
        match tcp.peek(&mut first).await {
            Ok(1) if first[0] == HANDSHAKE_RECORD => {}
            Ok(1) if first[0].is_ascii_uppercase() => return Err(HandshakeError::PlainHttp(tcp)),
            Ok(1) => return Err(HandshakeError::NotTls),
            _ => return Err(HandshakeError::Closed),
        }
        let start = LazyConfigAcceptor::new(Acceptor::default(), tcp).await?;
        if let Some(config) = self.challenge(&start.client_hello())? {
            let mut stream = start.into_stream(Arc::new(config)).await?;
            // The authority may have gone already: it has what it asked for.
            let _ = stream.shutdown().await;
            return Ok(Accepted::Challenge);
        }
        Ok(Accepted::Stream(Box::new(start.into_stream(Arc::clone(&self.config)).await?)))
    }

    /// The configuration that answers a challenge, when `acme-tls/1` is all that is offered and the name has a challenge.
    fn challenge(&self, hello: &ClientHello<'_>) -> Result<Option<ServerConfig>, ChallengeError> {
        let (Some(name), Some(mut offered)) = (hello.server_name(), hello.alpn()) else {
            return Ok(None);
        };
        if (offered.next(), offered.next()) != (Some(ACME_TLS), None) {
            return Ok(None);
        }
        let name = name.to_ascii_lowercase();
        let snapshot = self.snapshots.load();
        snapshot.challenges.tls_alpn01.get(&name).map(|digest| challenge_config(&name, digest)).transpose()
    }
}

impl TlsInfo {
    /// What the handshake settled.
    pub(super) fn of(stream: &TlsStream<TcpStream>) -> Self {
        let connection = stream.get_ref().1;
        Self {
            server_name: connection.server_name().map(str::to_ascii_lowercase),
            version: match connection.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "TLSv1.3",
            },
            cipher: connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or(""),
        }
    }
}

/// Reads the certificate of each handshake from the current snapshot.
#[derive(Debug)]
struct Resolver {
    snapshots: Arc<ArcSwap<Snapshot>>,
    fallback: Arc<CertifiedKey>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let certificates = &self.snapshots.load().certificates;
        let named = hello.server_name().and_then(|name| certificates.resolve(name));
        let default = || certificates.default_certificate().map(|certificate| certificate.key());
        Some(Arc::clone(named.or_else(default).unwrap_or(&self.fallback)))
    }
}
