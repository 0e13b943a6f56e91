//! Listeners over real connections.
#![allow(clippy::unwrap_used, clippy::panic)]

mod deadlines;
mod drain;
mod handshake;
mod sending;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType};
use pingora_http::ResponseHeader;
use pingora_proxy::{HttpProxy, ProxyHttp, Session};
use prometheus::Registry;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::server::{BindError, LocalAddresses, Server, proxy};
use crate::{CertificateTable, Challenges, Limits, Options, ParsedCertificate, Snapshot};

/// No test takes this long unless it fails.
const DEADLINE: Duration = Duration::from_secs(20);
/// A limit that a test waits to be enforced.
const SHORT: Duration = Duration::from_millis(100);

/// Answers here, without a backend.
struct Local {
    release: Arc<Semaphore>,
}

#[async_trait]
impl ProxyHttp for Local {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, session: &mut Session, (): &mut ()) -> pingora_core::Result<bool> {
        if let Some(connection) = super::conn_info(session) {
            connection.under_way.set(true);
        }
        let (status, body) = match session.req_header().uri.path() {
            "/connection" => (200, format!("{:?}", super::conn_info(session))),
            "/large" => (200, "x".repeat(1 << 20)),
            "/huge" => (200, "x".repeat(64 << 20)),
            "/refuse" => {
                session.set_keepalive(None);
                (413, "too large".to_owned())
            }
            "/slow" => {
                self.release.acquire().await.unwrap().forget();
                (200, "released".to_owned())
            }
            _ => (200, "hello".to_owned()),
        };
        let mut head = ResponseHeader::build(status, None)?;
        head.insert_header("content-length", body.len())?;
        session.write_response_header(Box::new(head), false).await?;
        session.write_response_body(Some(Bytes::from(body)), true).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, _session: &mut Session, (): &mut ()) -> pingora_core::Result<Box<HttpPeer>> {
        Err(Error::new(ErrorType::HTTPStatus(404)))
    }
}

/// A server on loopback, stopped with the test.
struct Running {
    addresses: LocalAddresses,
    snapshots: Arc<ArcSwap<Snapshot>>,
    registry: Registry,
    release: Arc<Semaphore>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// What is refused here.
#[derive(Debug)]
struct Refused;

impl super::Refuse for Refused {
    fn refuse(&self, _connection: &super::ConnInfo, refusal: super::Refusal) -> Vec<u8> {
        format!("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n{refusal:?}").into_bytes()
    }
}

fn options() -> Options {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    Options { http: vec![loopback], https: vec![loopback], ..Options::default() }
}

fn limited(limits: Limits) -> Options {
    Options { limits, ..options() }
}

fn bind(options: &Options, snapshot: Snapshot) -> Result<(Server<HttpProxy<Local>>, Running), BindError> {
    let snapshots = Arc::new(ArcSwap::from_pointee(snapshot));
    let (registry, release) = (Registry::new(), Arc::new(Semaphore::new(0)));
    let proxy = proxy(Local { release: Arc::clone(&release) }, &options.limits);
    let server = Server::bind(options.clone(), Arc::clone(&snapshots), &registry, proxy, Arc::new(Refused))?;
    let (addresses, stop) = (server.local_addresses(), CancellationToken::new());
    Ok((server, Running { addresses, snapshots, registry, release, stop, task: tokio::spawn(async {}) }))
}

fn start(options: &Options, snapshot: Snapshot) -> Running {
    let (server, mut running) = bind(options, snapshot).unwrap();
    running.task = tokio::spawn(server.run(running.stop.clone()));
    running
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    fn http(&self) -> SocketAddr {
        self.addresses.http[0]
    }

    fn https(&self) -> SocketAddr {
        self.addresses.https[0]
    }

    /// The value of a metric whose labels have these values, in order of their names.
    fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let families = self.registry.gather();
        let metrics = families.iter().filter(|family| family.name() == name).flat_map(|family| family.get_metric());
        let wanted = metrics.filter(|metric| metric.get_label().iter().map(|label| label.value()).eq(labels.iter().copied()));
        wanted.map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value()).sum()
    }

    async fn wait_for_metric(&self, name: &str, labels: &[&str], value: f64) {
        let reached = async {
            while (self.metric(name, labels) - value).abs() > 0.5 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(timeout(DEADLINE, reached).await.is_ok(), "{name} {labels:?} is {}, not {value}", self.metric(name, labels));
    }
}

fn certificate(names: &[&str]) -> Arc<ParsedCertificate> {
    let key = rcgen::KeyPair::generate().unwrap();
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    Arc::new(ParsedCertificate::parse(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap())
}

fn serving(certificates: &[(&str, &Arc<ParsedCertificate>)]) -> Snapshot {
    let entries = certificates.iter().map(|(name, certificate)| ((*name).to_owned(), Arc::clone(certificate)));
    Snapshot { certificates: CertificateTable::build(entries, None), ..Snapshot::default() }
}

/// Tests compare the certificate themselves.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(&self, _: &[u8], _: &CertificateDer<'_>, _: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(&self, _: &[u8], _: &CertificateDer<'_>, _: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn client(alpn: &[&str], versions: &[&'static SupportedProtocolVersion]) -> TlsConnector {
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

pub(crate) async fn connect(address: SocketAddr, server_name: &str, alpn: &[&str]) -> io::Result<TlsStream<TcpStream>> {
    connect_with(&client(alpn, rustls::ALL_VERSIONS), address, server_name).await
}

async fn connect_with(client: &TlsConnector, address: SocketAddr, server_name: &str) -> io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    within(client.connect(ServerName::try_from(server_name.to_owned()).unwrap(), tcp)).await
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("the deadline of the test is far longer than what it waits for")
}

/// Sends a GET and reads the answer, leaving the connection open.
async fn get(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), path: &str) -> String {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n").as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    answer(stream).await
}

async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok()).unwrap_or(0);
            if body.len() >= length {
                return text.into_owned();
            }
        }
        assert_ne!(within(stream.read_buf(&mut read)).await.unwrap(), 0, "the connection ended after {:?}", String::from_utf8_lossy(&read));
    }
}

/// Reads until the server closes; fails when it does not.
async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut read = Vec::new();
    // A reset is a close too.
    let _ = within(stream.read_to_end(&mut read)).await;
    String::from_utf8_lossy(&read).into_owned()
}

pub(crate) async fn http2(address: SocketAddr) -> (h2::client::SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let stream = connect(address, "a.test", &["h2"]).await.unwrap();
    let (requests, connection) = h2::client::handshake(stream).await.unwrap();
    (requests, tokio::spawn(connection))
}

fn request(path: &str) -> http::Request<()> {
    http::Request::get(format!("https://a.test{path}")).body(()).unwrap()
}

async fn body(response: http::Response<h2::RecvStream>) -> String {
    let mut stream = response.into_body();
    let mut read = Vec::new();
    while let Some(data) = within(stream.data()).await {
        let data = data.unwrap();
        stream.flow_control().release_capacity(data.len()).unwrap();
        read.extend_from_slice(&data);
    }
    String::from_utf8(read).unwrap()
}
