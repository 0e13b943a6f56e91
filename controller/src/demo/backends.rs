//! The small applications behind the example manifests, each on its own loopback port: HTTP greeting, WebSocket echo, a page behind basic auth, an upload
//! counter, TCP echo and UDP echo.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What an application does with an HTTP request.
#[derive(Debug, Clone, Copy)]
enum App {
    Hello,
    WebSocketEcho,
    Private,
    Upload,
}

const HTTP: [(App, u16); 4] = [(App::Hello, 18081), (App::WebSocketEcho, 18082), (App::Private, 18083), (App::Upload, 18084)];
const TCP_ECHO: u16 = 18085;
const UDP_ECHO: u16 = 18086;

/// Binds all applications and serves them until `stop`.
///
/// # Errors
/// Names the address that cannot be bound.
pub(crate) async fn start(tasks: &TaskTracker, stop: &CancellationToken) -> io::Result<()> {
    for (app, port) in HTTP {
        let listener = listen(port).await?;
        tasks.spawn(stop.clone().run_until_cancelled_owned(serve_http(listener, app)));
    }
    tasks.spawn(stop.clone().run_until_cancelled_owned(serve_tcp_echo(listen(TCP_ECHO).await?)));
    let address = SocketAddr::from(([127, 0, 0, 1], UDP_ECHO));
    let socket = UdpSocket::bind(address).await.map_err(|e| named(address, &e))?;
    tasks.spawn(stop.clone().run_until_cancelled_owned(serve_udp_echo(socket)));
    Ok(())
}

async fn listen(port: u16) -> io::Result<TcpListener> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    TcpListener::bind(address).await.map_err(|e| named(address, &e))
}

fn named(address: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("example application on {address}: {error}"))
}

async fn serve_http(listener: TcpListener, app: App) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(app, request));
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            // A client that goes away is no fault of the demo's.
            let _ = server.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(app: App, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(match app {
        App::Hello => greeting(&request),
        App::WebSocketEcho => upgrade(request),
        App::Private => text(StatusCode::OK, "You are in: the gateway checked your password.\n".into()),
        App::Upload => upload(request).await,
    })
}

fn greeting(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let seen = |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or("-").to_owned();
    let body = format!(
        "Hello from behind Vrata.\nHost: {}\nPath: {}\nX-Scheme: {}\nX-Forwarded-For: {}\nX-Request-ID: {}\n",
        seen("host"),
        request.uri().path(),
        seen("x-scheme"),
        seen("x-forwarded-for"),
        seen("x-request-id"),
    );
    text(StatusCode::OK, body)
}

async fn upload(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let mut received = 0_u64;
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => received += frame.data_ref().map_or(0, |bytes| bytes.len() as u64),
            Err(_) => return text(StatusCode::BAD_REQUEST, "The upload broke off.\n".into()),
        }
    }
    text(StatusCode::OK, format!("{received} bytes received\n"))
}

fn upgrade(mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes())) else {
        return text(StatusCode::OK, "This application speaks WebSocket: what you send comes back.\n".into());
    };
    tokio::spawn(async move {
        if let Ok(upgraded) = hyper::upgrade::on(&mut request).await {
            echo(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await).await;
        }
    });
    let mut response = text(StatusCode::SWITCHING_PROTOCOLS, String::new());
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, header::HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, header::HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = header::HeaderValue::from_str(&key) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

async fn echo(mut socket: WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>) {
    while let Some(Ok(message)) = socket.next().await {
        let told = if message.is_text() || message.is_binary() { socket.send(message).await } else { socket.flush().await };
        if told.is_err() {
            return;
        }
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

async fn serve_tcp_echo(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(echo_bytes(stream));
    }
}

async fn echo_bytes(mut stream: TcpStream) {
    let (mut read, mut write) = stream.split();
    // A client that goes away is no fault of the demo's.
    let _ = tokio::io::copy(&mut read, &mut write).await;
}

async fn serve_udp_echo(socket: UdpSocket) {
    let mut buffer = vec![0; 65_536];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        let _ = socket.send_to(&buffer[..length], from).await;
    }
}
