//! Backends of a test, on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::table::{Action, Backend, Endpoint, Policy, Protocol, Route, RouteId};

/// A running backend; it ends with the test.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    /// Connections that it accepted.
    pub(super) connections: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Upstream {
    /// Serves each connection with `serve`.
    pub(super) async fn raw<F, Serving>(serve: F) -> Self
    where
        F: Fn(TcpStream) -> Serving + Send + 'static,
        Serving: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                serving.spawn(serve(tcp));
            }
        });
        Self { address, connections, accepting }
    }

    /// Answers each request without a body, as `answer` says: a status and header fields.
    pub(super) async fn answering<Answer>(answer: Answer) -> Self
    where
        Answer: Fn(&http::request::Parts) -> (u16, Vec<(&'static str, String)>) + Send + Sync + 'static,
    {
        let answer = Arc::new(answer);
        Self::raw(move |tcp| {
            let answer = Arc::clone(&answer);
            async move {
                let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
                    let (head, _) = request.into_parts();
                    let (status, fields) = answer(&head);
                    let response =
                        fields.into_iter().fold(hyper::Response::builder().status(status), |response, (name, value)| response.header(name, value));
                    async move { Ok::<_, hyper::Error>(response.body(Full::new(Bytes::new())).unwrap()) }
                });
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tcp), service).await;
            }
        })
        .await
    }

    /// One that never answers.
    pub(super) async fn silent() -> Self {
        Self::raw(|tcp| async move {
            let _held = tcp;
            std::future::pending::<()>().await;
        })
        .await
    }

    /// One that never answers, one that closes each connection at once, one that speaks something else.
    pub(super) async fn useless() -> [Self; 3] {
        let closing = Self::raw(|tcp| async move { drop(tcp) });
        let garbage = Self::raw(super::streaming::answer("SSH-2.0-OpenSSH\r\n\r\n"));
        [Self::silent().await, closing.await, garbage.await]
    }

    /// Answers each request with what it was: method, target and header lines in order of their names, an empty line, the body.
    pub(super) async fn echo() -> Self {
        Self::raw(|tcp| async move {
            let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                let mut lines: Vec<_> = head.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
                lines.sort();
                let text = format!("{} {}\n{}\n\n{}", head.method, head.uri, lines.join("\n"), String::from_utf8_lossy(&body));
                let response = hyper::Response::builder()
                    .header("server", "echo/1")
                    .header("keep-alive", "timeout=5")
                    .header("strict-transport-security", "max-age=1")
                    .header("x-app", "kept");
                Ok::<_, hyper::Error>(response.body(Full::new(Bytes::from(text))).unwrap())
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tcp), service).await;
        })
        .await
    }
}

/// A port that nobody listens on.
pub(super) async fn refused() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A route to endpoints.
pub(super) fn route(namespace: &str, protocol: Protocol, policy: Policy, endpoints: &[SocketAddr]) -> Route {
    let endpoints = endpoints.iter().map(|address| Endpoint::Address(*address)).collect();
    route_to(namespace, protocol, policy, endpoints)
}

/// The same, to endpoints of any kind.
pub(super) fn route_to(namespace: &str, protocol: Protocol, policy: Policy, endpoints: Vec<Endpoint>) -> Route {
    Route::new(
        RouteId { namespace: namespace.into(), ingress: "web".into(), host: "a.test".into(), path: "/".into() },
        Arc::new(policy),
        Action::Forward(Arc::new(Backend {
            name: format!("{namespace}-web-80"),
            namespace: namespace.into(),
            service: "web".into(),
            port: "80".into(),
            protocol,
            server_name: format!("web.{namespace}.svc"),
            endpoints,
        })),
    )
}

/// A route to one HTTP/1.1 backend under the default policy.
pub(super) fn plain(upstream: &Upstream) -> Route {
    route("ns", Protocol::Http, Policy::default(), &[upstream.address])
}
