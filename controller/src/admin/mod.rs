//! The administrator's listener: health, metrics, status, explanations and the status page. It decides nothing and shows no secret.
//!
//! It has no login: it belongs on loopback. Requests that a browser was tricked into (a foreign `Host`) are refused.

pub mod client;
mod page;
mod request;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::{Registry, TextEncoder};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::explain;
use crate::status::Published;
use request::{Ask, Refusal};

/// Most connections open at once.
const MAX_CONNECTIONS: usize = 64;
/// Longest wait for the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// The bound listener.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    published: watch::Receiver<Arc<Published>>,
    registry: Registry,
}

impl Admin {
    /// Binds the listener.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(address: SocketAddr, published: watch::Receiver<Arc<Published>>, registry: Registry) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self { listener, published, registry })
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
        let this = Arc::new(self);
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        stop.run_until_cancelled(async {
            loop {
                let Ok(permit) = connections.clone().acquire_owned().await else { return };
                match this.listener.accept().await {
                    Ok((stream, _)) => {
                        let (this, stop) = (this.clone(), stop.clone());
                        tokio::spawn(async move {
                            stop.run_until_cancelled(this.serve(TokioIo::new(stream))).await;
                            drop(permit);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the admin listener cannot accept");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        })
        .await;
    }

    async fn serve(&self, stream: TokioIo<tokio::net::TcpStream>) {
        let service = service_fn(|request| async move { Ok::<_, std::convert::Infallible>(self.answer(&request).await) });
        let served =
            hyper::server::conn::http1::Builder::new().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).serve_connection(stream, service);
        if let Err(error) = served.await {
            tracing::debug!(%error, "admin connection");
        }
    }

    async fn answer(&self, request: &http::Request<Incoming>) -> Response<Full<Bytes>> {
        let mut response = match self.asked(request).await {
            Ok(response) => response,
            Err(refusal) => reply(refusal.status, "text/plain; charset=utf-8", format!("{}\n", refusal.message)),
        };
        if request.method() == Method::HEAD {
            *response.body_mut() = Full::default();
        }
        response
    }

    async fn asked(&self, request: &http::Request<Incoming>) -> Result<Response<Full<Bytes>>, Refusal> {
        let host = request.headers().get(header::HOST).map(header::HeaderValue::as_bytes);
        let published = || self.published.borrow().clone();
        Ok(match request::parse(request.method(), host, request.uri().path(), request.uri().query())? {
            Ask::Healthy => reply(StatusCode::OK, "text/plain; charset=utf-8", "ok\n".into()),
            Ask::Ready => ready(&published()),
            Ask::Metrics => self.metrics(),
            Ask::Status { after, timeout } => {
                let published = self.published_after(after, timeout).await;
                reply(StatusCode::OK, "application/json", published.status_json())
            }
            Ask::Explain { target } => explained(&published(), &target),
            Ask::Page => {
                let mut page = reply(StatusCode::OK, "text/html; charset=utf-8", page::render(&published().status()));
                page.headers_mut().insert(header::CONTENT_SECURITY_POLICY, header::HeaderValue::from_static(page::CONTENT_SECURITY_POLICY));
                page
            }
        })
    }

    async fn published_after(&self, after: Option<u64>, timeout: Duration) -> Arc<Published> {
        let mut published = self.published.clone();
        if let Some(after) = after {
            // Both a timeout and the end of the publisher are answered with what there is.
            let _ = tokio::time::timeout(timeout, published.wait_for(|p| p.generation > after)).await;
        }
        published.borrow().clone()
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        match TextEncoder::new().encode_to_string(&self.registry.gather()) {
            Ok(text) => reply(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text),
            Err(error) => reply(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", format!("metrics cannot be encoded: {error}\n")),
        }
    }
}

fn ready(published: &Published) -> Response<Full<Bytes>> {
    match published.unready() {
        None => reply(StatusCode::OK, "text/plain; charset=utf-8", "ready\n".into()),
        Some(why) => reply(StatusCode::SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", format!("{why}\n")),
    }
}

fn explained(published: &Published, target: &str) -> Response<Full<Bytes>> {
    match explain::parse(target) {
        Ok(target) => reply(StatusCode::OK, "text/plain; charset=utf-8", explain::explain(&published.view, &target)),
        Err(error) => reply(StatusCode::BAD_REQUEST, "text/plain; charset=utf-8", format!("{error}\n")),
    }
}

fn reply(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    response
}
