//! A proxy before Pebble that counts what is created, answers in its stead, and breaks exchanges off at a chosen one.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::LoopbackIdentity;
use super::pebble::Pebble;

/// Where an exchange is broken off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Side {
    /// Before the CA hears of it.
    Request,
    /// After the CA has done what was asked: the answer is lost.
    Answer,
}

/// What the proxy has seen, and what it is to do.
#[derive(Default)]
pub struct Faults {
    /// Answers to give instead of the CA's, for requests to paths that contain the text, with `Retry-After` in seconds.
    pub instead: Vec<(&'static str, StatusCode, u32)>,
    /// Break off at this request (counted from 0) and hang.
    pub cut: Option<(usize, Side)>,
    /// Whether that has happened.
    pub was_cut: bool,
    /// Requests so far: method, path, status of the answer.
    pub seen: Vec<(Method, String, StatusCode)>,
    /// What was asked in each new order, decoded.
    pub orders: Vec<serde_json::Value>,
    /// Requests that began.
    pub count: usize,
}

#[derive(Clone)]
pub struct Proxy {
    pub faults: Arc<Mutex<Faults>>,
    pub directory_url: String,
    pub ca_bundle: String,
    upstream: Arc<Upstream>,
}

struct Upstream {
    port: u16,
    config: Arc<rustls::ClientConfig>,
}

impl Proxy {
    pub async fn start(pebble: &Pebble) -> Self {
        let identity = LoopbackIdentity::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let upstream = Arc::new(Upstream { port: pebble.port, config: trusting(&pebble.ca_bundle) });
        let proxy =
            Self { faults: Arc::default(), directory_url: format!("https://{address}/dir"), ca_bundle: identity.certificate_pem.clone(), upstream };
        tokio::spawn(proxy.clone().serve(listener, TlsAcceptor::from(identity.server_config())));
        proxy
    }

    /// How often something was created below a path.
    pub fn created(&self, path: &str) -> usize {
        let faults = self.faults.lock().unwrap();
        faults.seen.iter().filter(|(method, seen, status)| method == Method::POST && seen == path && *status == StatusCode::CREATED).count()
    }

    async fn serve(self, listener: TcpListener, acceptor: TlsAcceptor) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (proxy, acceptor) = (self.clone(), acceptor.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let answer = service_fn(move |request| proxy.clone().exchange(request));
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    }

    async fn exchange(self, request: Request<hyper::body::Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let (instead, cut) = {
            let mut faults = self.faults.lock().unwrap();
            let number = faults.count;
            faults.count += 1;
            let instead = faults.instead.iter().find(|(part, ..)| path.contains(part)).copied();
            (instead, faults.cut.filter(|(at, _)| *at == number).map(|(_, side)| side))
        };
        if cut == Some(Side::Request) {
            return self.hang().await;
        }
        let response = match instead {
            Some((_, status, retry_after)) => broken(status, retry_after),
            None => {
                let (parts, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                if path == "/order-plz" {
                    self.faults.lock().unwrap().orders.push(payload(&body));
                }
                self.upstream.forward(Request::from_parts(parts, Full::new(body))).await?
            }
        };
        self.faults.lock().unwrap().seen.push((method, path, response.status()));
        if cut == Some(Side::Answer) {
            return self.hang().await;
        }
        Ok(response)
    }

    async fn hang(&self) -> Result<Response<Full<Bytes>>, hyper::Error> {
        self.faults.lock().unwrap().was_cut = true;
        std::future::pending().await
    }
}

impl Upstream {
    async fn forward(&self, request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], self.port))).await.unwrap();
        let stream = TlsConnector::from(self.config.clone()).connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let (parts, body) = sender.send_request(request).await?.into_parts();
        Ok(Response::from_parts(parts, Full::new(body.collect().await?.to_bytes())))
    }
}

/// What a signed request asks (RFC 7515 section 7.2.2).
fn payload(body: &[u8]) -> serde_json::Value {
    use base64::Engine as _;
    let request: serde_json::Value = serde_json::from_slice(body).unwrap();
    let payload = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(request["payload"].as_str().unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

fn broken(status: StatusCode, retry_after: u32) -> Response<Full<Bytes>> {
    let problem = r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many, says the test","status":429}"#;
    let body = if status == StatusCode::TOO_MANY_REQUESTS { problem } else { "<html>no" };
    Response::builder().status(status).header("Retry-After", retry_after).body(Full::new(Bytes::from(body))).unwrap()
}

fn trusting(pem: &str) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}
