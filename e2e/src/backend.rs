//! Small servers that stand for tenants' apps. Each runs until it is dropped.

mod login;

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::copy;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A free port of this machine.
const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A running backend.
#[derive(Debug)]
pub struct Backend {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Backend {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// HTTP: answers with the request's method, path and headers, a line each, and the number of bytes of its body.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn http() -> Result<Self> {
        Self::http_at(ANYWHERE).await
    }

    /// The same, at this address.
    ///
    /// # Errors
    /// When it is taken.
    pub async fn http_at(address: SocketAddr) -> Result<Self> {
        Self::serve(address, async |stream| {
            let service = service_fn(async |request| Ok::<_, Infallible>(describe(request).await));
            // A client that goes away is not this backend's concern.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        })
        .await
    }

    /// The same as [`Backend::http_at`] over TLS, with a certificate that it has signed itself.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn https_at(address: SocketAddr) -> Result<Self> {
        let acceptor = self_signed()?;
        Self::serve(address, move |stream| {
            let acceptor = acceptor.clone();
            async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(async |request| Ok::<_, Infallible>(describe(request).await));
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            }
        })
        .await
    }

    /// HTTP: a stand-in for oauth2-proxy, see [`login`].
    ///
    /// # Errors
    /// When no port is free.
    pub async fn login() -> Result<Self> {
        Self::login_at(ANYWHERE).await
    }

    /// The same, at this address.
    ///
    /// # Errors
    /// When it is taken.
    pub async fn login_at(address: SocketAddr) -> Result<Self> {
        Self::serve(address, async |stream| {
            let service = service_fn(async |request: Request<Incoming>| Ok::<_, Infallible>(login::answer(&request)));
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        })
        .await
    }

    /// HTTP: answers GET /N with N bytes, and everything else with the number of bytes of its body; keeps none.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn bulk() -> Result<Self> {
        Self::bulk_at(ANYWHERE).await
    }

    /// The same, at this address.
    ///
    /// # Errors
    /// When it is taken.
    pub async fn bulk_at(address: SocketAddr) -> Result<Self> {
        Self::serve(address, async |stream| {
            let service = service_fn(async |request| Ok::<_, Infallible>(measure(request).await));
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        })
        .await
    }

    /// HTTP: answers at once, except that `/held` waits until the gate is opened.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn held() -> Result<(Self, Gate)> {
        let gate = Gate { reached: Arc::new(Semaphore::new(0)), open: Arc::new(Semaphore::new(0)) };
        let shared = gate.clone();
        let backend = Self::serve(ANYWHERE, move |stream| {
            let gate = shared.clone();
            async move {
                let service = service_fn(|request: Request<Incoming>| {
                    let gate = gate.clone();
                    async move {
                        if request.uri().path() == "/held" {
                            gate.reached.add_permits(1);
                            gate.open.acquire().await.expect("never closed").forget();
                        }
                        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("late\n"))))
                    }
                });
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            }
        });
        Ok((backend.await?, gate))
    }

    /// WebSocket: sends back every message.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn websocket() -> Result<Self> {
        Self::websocket_at(ANYWHERE).await
    }

    /// The same, at this address.
    ///
    /// # Errors
    /// When it is taken.
    pub async fn websocket_at(address: SocketAddr) -> Result<Self> {
        Self::serve(address, async |stream| {
            let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
            while let Some(Ok(message)) = socket.next().await {
                if !message.is_close() && socket.send(message).await.is_err() {
                    return;
                }
            }
        })
        .await
    }

    /// TCP: sends back every byte, and closes its side when the client has closed its own.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn tcp() -> Result<Self> {
        Self::tcp_at(ANYWHERE).await
    }

    /// The same, at this address.
    ///
    /// # Errors
    /// When it is taken.
    pub async fn tcp_at(address: SocketAddr) -> Result<Self> {
        Self::serve(address, async |mut stream| {
            let (mut reader, mut writer) = stream.split();
            let _ = copy(&mut reader, &mut writer).await;
        })
        .await
    }

    /// UDP: sends back every datagram.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn udp() -> Result<Self> {
        Self::udp_at(ANYWHERE).await
    }

    /// The same, at this address.
    ///
    /// # Errors
    /// When it is taken.
    pub async fn udp_at(address: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind(address).await?;
        let address = socket.local_addr()?;
        let task = tokio::spawn(async move {
            let mut buffer = vec![0; 65_535];
            while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
                let _ = socket.send_to(&buffer[..length], client).await;
            }
        });
        Ok(Self { address, task })
    }

    async fn serve<F>(address: SocketAddr, serve: impl Fn(TcpStream) -> F + Send + 'static) -> Result<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Holds requests up.
#[derive(Debug, Clone)]
pub struct Gate {
    reached: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Gate {
    /// Waits until a request is held.
    ///
    /// # Errors
    /// Never: the gate is not closed for good.
    pub async fn reached(&self) -> Result<()> {
        self.reached.acquire().await?.forget();
        Ok(())
    }

    /// Lets one request go on.
    pub fn open(&self) {
        self.open.add_permits(1);
    }
}

/// Bytes in one piece of a large answer.
const PIECE: usize = 64 << 10;

async fn measure(request: Request<Incoming>) -> Response<BoxBody<Bytes, Infallible>> {
    if let Ok(length) = request.uri().path()[1..].parse::<usize>() {
        let pieces = (0..length).step_by(PIECE).map(move |at| Ok(Frame::data(Bytes::from_static(&[b'x'; PIECE]).slice(..PIECE.min(length - at)))));
        return Response::new(BodyExt::boxed(StreamBody::new(futures::stream::iter(pieces))));
    }
    let (mut body, mut length) = (request.into_body(), 0);
    while let Some(Ok(frame)) = body.frame().await {
        length += frame.data_ref().map_or(0, Bytes::len);
    }
    Response::new(BodyExt::boxed(Full::new(Bytes::from(length.to_string()))))
}

fn self_signed() -> Result<TlsAcceptor> {
    let certified = rcgen::generate_simple_self_signed(vec!["backend.invalid".to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_safe_default_protocol_versions()?;
    let config = config.with_no_client_auth().with_single_cert(vec![certified.cert.der().clone()], key.into())?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn describe(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let length = body.collect().await.map(|body| body.to_bytes().len());
    let mut text = format!("{} {}\n", head.method, head.uri);
    for (name, value) in &head.headers {
        text += &format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
    }
    text += &format!("body {length:?}\n");
    Response::new(Full::new(text.into()))
}
