//! The HTTPS listener of the webhook. It decides nothing.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::certificate::{CertificateError, Kept};
use super::review::{ReviewError, review};
use crate::status::Published;

/// Where reviews are posted.
pub const PATH: &str = "/validate";

/// Most connections open at once.
const MAX_CONNECTIONS: usize = 256;
/// Longest wait for the handshake, and for the head of a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest review: the API server takes objects of 3 MiB, and an update brings two.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// The bound listener.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    kept: watch::Receiver<Option<Arc<Kept>>>,
    published: watch::Receiver<Arc<Published>>,
}

/// The certificate of the moment; without one handshakes fail, and the API server does as its failurePolicy says.
#[derive(Debug, Default)]
struct Served(ArcSwapOption<CertifiedKey>);

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

fn certified(kept: &Kept, provider: &CryptoProvider) -> Result<CertifiedKey, CertificateError> {
    let serving = |error: &dyn std::fmt::Display| CertificateError::Serving(error.to_string());
    let leaf = kept.leaf();
    let certificate = CertificateDer::from_pem_slice(leaf.certificate.as_bytes()).map_err(|error| serving(&error))?;
    let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).map_err(|error| serving(&error))?;
    CertifiedKey::from_der(vec![certificate], key, provider).map_err(|error| serving(&error))
}

impl Listener {
    /// Binds the listener; it serves with what is `kept` of certificates.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(address: SocketAddr, kept: watch::Receiver<Option<Arc<Kept>>>, published: watch::Receiver<Arc<Published>>) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, kept, published })
    }

    /// The bound address.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`; open requests are dropped then.
    pub async fn run(self, stop: CancellationToken) {
        let Self { listener, kept, published } = self;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let served = Arc::new(Served::default());
        let config = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let config = match config {
            Ok(config) => config.with_no_client_auth().with_cert_resolver(served.clone()),
            Err(error) => return tracing::error!(%error, "the webhook cannot speak TLS"),
        };
        let accepting = accept(listener, TlsAcceptor::from(Arc::new(config)), published, stop.clone());
        stop.run_until_cancelled(async { tokio::join!(serve_kept(kept, &served, &provider), accepting) }).await;
    }
}

/// Serves with what is kept, as it changes.
async fn serve_kept(mut kept: watch::Receiver<Option<Arc<Kept>>>, served: &Served, provider: &CryptoProvider) {
    loop {
        let now = kept.borrow_and_update().clone();
        match now.map(|kept| certified(&kept, provider)) {
            Some(Ok(key)) => served.0.store(Some(Arc::new(key))),
            Some(Err(error)) => tracing::error!(%error, "the webhook goes on with the certificate that it had"),
            None => {}
        }
        if kept.changed().await.is_err() {
            return;
        }
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, published: watch::Receiver<Arc<Published>>, stop: CancellationToken) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = connections.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (acceptor, published, stop) = (acceptor.clone(), published.clone(), stop.clone());
                tokio::spawn(async move {
                    stop.run_until_cancelled(connection(stream, acceptor, published)).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the webhook cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, published: watch::Receiver<Arc<Published>>) {
    let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await else { return };
    let published = &published;
    let service = service_fn(|request| async move { Ok::<_, std::convert::Infallible>(answer(request, published).await) });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "webhook connection");
    }
}

async fn answer(request: Request<Incoming>, published: &watch::Receiver<Arc<Published>>) -> Response<Full<Bytes>> {
    if request.method() != Method::POST || request.uri().path() != PATH {
        return reply(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", format!("POST {PATH}\n"));
    }
    let body = match Limited::new(request.into_body(), MAX_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return reply(StatusCode::BAD_REQUEST, "text/plain; charset=utf-8", format!("{error}\n")),
    };
    let published = published.borrow().clone();
    match review(&body, &published.view) {
        Ok(answer) => reply(StatusCode::OK, "application/json", answer.to_string()),
        Err(error @ ReviewError::Malformed(_)) => reply(StatusCode::BAD_REQUEST, "text/plain; charset=utf-8", format!("{error}\n")),
        Err(error @ ReviewError::NotReady) => reply(StatusCode::SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", format!("{error}\n")),
    }
}

fn reply(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests;
