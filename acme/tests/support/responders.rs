//! Answers what Pebble and the self-check ask: DNS, HTTP and TLS on loopback, all from the published challenges.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use acme::{Challenges, Held};
use bytes::Bytes;
use hickory_proto::op::Message;
use hickory_proto::rr::rdata::{A, TXT};
use hickory_proto::rr::{RData, Record, RecordType};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::LazyConfigAcceptor;

use super::{builder, pkcs8};

/// What is answered now: whatever the engine of the moment publishes, and what was kept of an earlier one.
#[derive(Clone, Default)]
pub struct Source(Arc<Mutex<Published>>);

#[derive(Default)]
struct Published {
    held: Option<watch::Receiver<Arc<Held>>>,
    kept: Challenges,
}

impl Source {
    pub fn follow(&self, held: Option<watch::Receiver<Arc<Held>>>) {
        self.0.lock().unwrap().held = held;
    }

    /// Goes on answering what is answered now, as the other replicas do when one of them dies.
    pub fn keep(&self) {
        let now = self.challenges();
        self.0.lock().unwrap().kept = now;
    }

    fn challenges(&self) -> Challenges {
        let published = self.0.lock().unwrap();
        let mut challenges = published.held.as_ref().map(|held| held.borrow().challenges.clone()).unwrap_or_default();
        challenges.http01.extend(published.kept.http01.clone());
        challenges.tls_alpn01.extend(published.kept.tls_alpn01.clone());
        for (owner, values) in published.kept.dns01.clone() {
            challenges.dns01.entry(owner).or_default().extend(values);
        }
        challenges
    }
}

pub struct Responders {
    pub source: Source,
    pub dns: SocketAddr,
    pub http: SocketAddr,
    pub https: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Responders {
    pub async fn start() -> Self {
        let source = Source::default();
        let mut tasks = JoinSet::new();
        let dns = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = dns.local_addr().unwrap();
        let udp = UdpSocket::bind(address).await.unwrap();
        let (http, https) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let addresses = (http.local_addr().unwrap(), https.local_addr().unwrap());
        tasks.spawn(serve_udp(udp, source.clone()));
        tasks.spawn(serve(dns, source.clone(), dns_over_tcp));
        tasks.spawn(serve(http, source.clone(), http01));
        tasks.spawn(serve(https, source.clone(), tls_alpn01));
        Self { source, dns: address, http: addresses.0, https: addresses.1, _tasks: tasks }
    }
}

async fn serve<F: Future<Output = ()> + Send + 'static>(listener: TcpListener, source: Source, answer: fn(TcpStream, Source) -> F) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(answer(stream, source.clone()));
    }
}

async fn serve_udp(socket: UdpSocket, source: Source) {
    let mut buffer = [0; 4096];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        let _ = socket.send_to(&reply(&buffer[..length], &source), from).await;
    }
}

async fn dns_over_tcp(mut stream: TcpStream, source: Source) {
    while let Ok(length) = stream.read_u16().await {
        let mut query = vec![0; length.into()];
        stream.read_exact(&mut query).await.unwrap();
        let reply = reply(&query, &source);
        let length = u16::try_from(reply.len()).unwrap().to_be_bytes();
        stream.write_all(&[&length, reply.as_slice()].concat()).await.unwrap();
    }
}

fn reply(query: &[u8], source: &Source) -> Vec<u8> {
    let query = Message::from_vec(query).unwrap();
    let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
    for question in &query.queries {
        reply.add_query(question.clone());
        let name = question.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
        let data: Vec<RData> = match question.query_type() {
            RecordType::A => vec![RData::A(A::new(127, 0, 0, 1))],
            RecordType::TXT => {
                let values = source.challenges().dns01.remove(&name).unwrap_or_default();
                values.into_iter().map(|value| RData::TXT(TXT::new(vec![value]))).collect()
            }
            _ => Vec::new(),
        };
        for data in data {
            reply.add_answer(Record::from_rdata(question.name().clone(), 0, data));
        }
    }
    reply.to_vec().unwrap()
}

async fn http01(stream: TcpStream, source: Source) {
    let answer = service_fn(move |request: Request<hyper::body::Incoming>| {
        let host = request.headers()[http::header::HOST].to_str().unwrap().split(':').next().unwrap().to_owned();
        let token = request.uri().path().trim_start_matches("/.well-known/acme-challenge/").to_owned();
        let found = source.challenges().http01.remove(&(host, token));
        let status = if found.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
        let mut response = Response::new(Full::new(Bytes::from(found.unwrap_or_default())));
        *response.status_mut() = status;
        async { Ok::<_, Infallible>(response) }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
}

async fn tls_alpn01(stream: TcpStream, source: Source) {
    let Ok(start) = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await else { return };
    let host = start.client_hello().server_name().unwrap_or_default().to_owned();
    let Some(digest) = source.challenges().tls_alpn01.remove(&host) else { return };
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![host]).unwrap();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
    let certificate = params.self_signed(&key).unwrap().der().clone();
    // Not `with_single_cert`: it refuses the critical acmeIdentifier, which it does not know.
    let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&pkcs8(&key)).unwrap();
    let resolver = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], signing));
    let mut config = builder().with_no_client_auth().with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    if let Ok(mut stream) = start.into_stream(Arc::new(config)).await {
        let _ = stream.shutdown().await;
    }
}
