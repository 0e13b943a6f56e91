//! The HTTP question: the challenge's path, with the host's name, from our own listener for plain HTTP.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::transport::causes;

/// A key authorization is far shorter.
const LARGEST_BODY: usize = 4096;

pub(super) async fn ask(listener: SocketAddr, host: &str, token: &str, key_authorization: &str) -> Result<(), String> {
    let stream = TcpStream::connect(listener).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| causes(&error))?;
    let request = Request::get(format!("/.well-known/acme-challenge/{token}")).header(HOST, host).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| error.to_string())?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| causes(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST_BODY).collect().await.map_err(|error| causes(error.as_ref()))?;
        judge(status, &body.to_bytes(), key_authorization)
    };
    tokio::select! {
        judged = exchange => judged,
        Err(error) = connection => Err(causes(&error)),
    }
}

fn judge(status: StatusCode, body: &[u8], key_authorization: &str) -> Result<(), String> {
    if status == StatusCode::OK && body.trim_ascii_end() == key_authorization.as_bytes() {
        return Ok(());
    }
    let start: String = String::from_utf8_lossy(body).chars().take(80).collect();
    Err(format!("got status {} and {start:?}, not the key authorization", status.as_u16()))
}
