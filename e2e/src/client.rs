//! HTTP and WebSocket clients that connect to a given address, whatever the host: nothing is resolved.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{HeaderMap, Method, Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;

/// Longest that one exchange may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A WebSocket through TLS.
pub type WebSocket = WebSocketStream<TlsStream<TcpStream>>;

/// A client; a new connection is made for each request.
#[derive(Debug, Clone)]
pub struct Client {
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    http2: bool,
    headers: HeaderMap,
}

/// A whole response.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// HTTP version it came with.
    pub version: Version,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// The server's leaf certificate, DER.
    pub certificate: Option<Vec<u8>>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header, empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Client {
    /// Plain HTTP/1.1.
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, tls: None, http2: false, headers: HeaderMap::new() }
    }

    /// HTTPS, trusting only this root (PEM).
    ///
    /// # Errors
    /// When the root cannot be read.
    pub fn trusting(address: SocketAddr, root_pem: &str) -> Result<Self> {
        Ok(Self { tls: Some(Arc::new(tls(root_pem, false)?)), ..Self::plain(address) })
    }

    /// HTTPS with HTTP/2, trusting only this root (PEM).
    ///
    /// # Errors
    /// When the root cannot be read.
    pub fn http2(address: SocketAddr, root_pem: &str) -> Result<Self> {
        Ok(Self { tls: Some(Arc::new(tls(root_pem, true)?)), http2: true, ..Self::plain(address) })
    }

    /// With a header in each request.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.parse().expect("tests write valid headers"));
        self
    }

    /// GET.
    ///
    /// # Errors
    /// When there is no answer in time.
    pub async fn get(&self, host: &str, path: &str) -> Result<Answer> {
        self.send(Method::GET, host, path, Bytes::new()).await
    }

    /// A request with a body.
    ///
    /// # Errors
    /// When there is no answer in time.
    pub async fn send(&self, method: Method, host: &str, path: &str, body: Bytes) -> Result<Answer> {
        tokio::time::timeout(PATIENCE, self.exchange(method, host, path, body)).await.with_context(|| format!("{host}{path}: no answer in time"))?
    }

    async fn exchange(&self, method: Method, host: &str, path: &str, body: Bytes) -> Result<Answer> {
        let request = self.request(method, host, path, body)?;
        let stream = TcpStream::connect(self.address).await.with_context(|| format!("cannot connect to {}", self.address))?;
        if self.tls.is_none() {
            return answer(http1(stream, request).await?, None).await;
        }
        let stream = self.handshake(stream, host).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(|leaf| leaf.to_vec());
        let response = if self.http2 { http2(stream, request).await? } else { http1(stream, request).await? };
        answer(response, certificate).await
    }

    fn request(&self, method: Method, host: &str, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>> {
        let uri = if self.http2 { format!("https://{host}{path}") } else { path.to_owned() };
        let mut request = Request::builder().method(method).uri(uri).body(Full::new(body))?;
        if !self.http2 {
            request.headers_mut().insert(HOST, host.parse()?);
        }
        request.headers_mut().insert(USER_AGENT, "vrata-e2e".parse()?);
        request.headers_mut().extend(self.headers.clone());
        Ok(request)
    }

    async fn handshake(&self, stream: TcpStream, host: &str) -> Result<TlsStream<TcpStream>> {
        let Some(config) = &self.tls else { bail!("this client speaks no TLS") };
        let name = ServerName::try_from(host.to_owned())?;
        TlsConnector::from(Arc::clone(config)).connect(name, stream).await.with_context(|| format!("TLS with {host}"))
    }

    /// Opens a WebSocket.
    ///
    /// # Errors
    /// When it is not upgraded.
    pub async fn websocket(&self, host: &str, path: &str) -> Result<WebSocket> {
        let stream = self.handshake(TcpStream::connect(self.address).await?, host).await?;
        let (socket, _) = tokio_tungstenite::client_async(format!("wss://{host}{path}"), stream).await?;
        Ok(socket)
    }
}

/// A configuration that trusts only this root (PEM).
pub(crate) fn tls(root_pem: &str, http2: bool) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(root_pem.as_bytes()) {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    // A resumed session shows the certificate of its first handshake, whatever is served now.
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    Ok(config)
}

async fn http1<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, request: Request<Full<Bytes>>) -> Result<http::Response<Incoming>> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}

async fn http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, request: Request<Full<Bytes>>) -> Result<http::Response<Incoming>> {
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}

async fn answer(response: http::Response<Incoming>, certificate: Option<Vec<u8>>) -> Result<Answer> {
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Answer { status: head.status.as_u16(), version: head.version, headers: head.headers, body, certificate })
}
