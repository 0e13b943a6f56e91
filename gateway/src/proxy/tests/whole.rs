//! The filters behind the real listeners: what Pingora, the streams and the filters do together.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use super::client::{Client, eventually};
use super::front::{of, snapshot};
use super::streaming::read_head;
use super::upstream::{Upstream, plain, route};
use crate::listen::tests::{connect, http2, within};
use crate::options::AccessLog;
use crate::server::LocalAddresses;
use crate::table::{HostPattern, PathMatch, Policy, Protocol, Rule};
use crate::{CertificateTable, Gateway, Limits, Options, ParsedCertificate, Snapshot};

const MIB: usize = 1 << 20;
const SHORT: Duration = Duration::from_millis(100);

pub(super) struct Running {
    pub(super) addresses: LocalAddresses,
    registry: prometheus::Registry,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    pub(super) fn start(snapshot: Snapshot, limits: Limits) -> Self {
        let loopback = "127.0.0.1:0".parse().unwrap();
        let options = Options { http: vec![loopback], https: vec![loopback], access_log: AccessLog::Off, limits, ..Options::default() };
        let registry = prometheus::Registry::new();
        let gateway = Gateway::bind(options, Arc::new(ArcSwap::from_pointee(snapshot)), &registry).unwrap();
        Self { addresses: gateway.local_addresses(), registry, task: tokio::spawn(gateway.run(CancellationToken::new())) }
    }

    pub(super) async fn http(&self) -> Client {
        Client::connect(self.addresses.http[0]).await
    }

    pub(super) async fn http2(&self) -> h2::client::SendRequest<Bytes> {
        within(http2(self.addresses.https[0]).await.0.ready()).await.unwrap()
    }

    pub(super) fn metrics(&self) -> String {
        prometheus::TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap()
    }
}

fn limited(upstream: &Upstream, policy: Policy) -> Snapshot {
    snapshot(route("ns", Protocol::Http, policy, &[upstream.address]))
}

/// Sends everything before it looks for the answer, as simple clients do.
async fn upload(mut stream: impl AsyncRead + AsyncWrite + Unpin, head: &str, body: &[u8]) -> String {
    stream.write_all(head.as_bytes()).await.unwrap();
    within(stream.write_all(body)).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = Vec::new();
    // However the connection ends, the answer came before.
    let _ = within(stream.read_to_end(&mut answer)).await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_413_is_read_by_a_client_that_goes_on_sending() {
    let upstream = Upstream::echo().await;
    let gateway = Running::start(limited(&upstream, Policy { body_limit: Some(MIB as u64), ..Policy::default() }), Limits::default());
    let declared = format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n", 8 * MIB);
    let chunked = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunks = [format!("{:x}\r\n", 8 * MIB).into_bytes(), vec![b'x'; 8 * MIB], b"\r\n0\r\n\r\n".to_vec()].concat();
    for (head, body) in [(&declared[..], &vec![b'x'; 8 * MIB]), (chunked, &chunks)] {
        let plain = upload(gateway.http().await.tcp, head, body).await;
        let tls = upload(connect(gateway.addresses.https[0], "a.test", &["http/1.1"]).await.unwrap(), head, body).await;
        for answer in [plain, tls] {
            assert!(answer.starts_with("HTTP/1.1 413 ") && answer.to_lowercase().contains("connection: close"), "{head} {answer}");
        }
    }
}

#[tokio::test]
async fn a_413_over_http2_is_read_by_a_client_that_goes_on_sending() {
    let upstream = Upstream::echo().await;
    let gateway = Running::start(limited(&upstream, Policy { body_limit: Some(MIB as u64), ..Policy::default() }), Limits::default());
    let client = gateway.http2().await;
    for declared in [true, false] {
        let request = Request::post("https://a.test/").header("accept", "text/plain");
        let request = if declared { request.header("content-length", 8 * MIB) } else { request };
        let (response, mut body) = within(client.clone().ready()).await.unwrap().send_request(request.body(()).unwrap(), false).unwrap();
        let sending = tokio::spawn(async move {
            for _ in 0..8 * MIB / (16 << 10) {
                body.reserve_capacity(16 << 10);
                match std::future::poll_fn(|cx| body.poll_capacity(cx)).await {
                    Some(Ok(capacity)) if body.send_data(Bytes::from(vec![b'x'; capacity.min(16 << 10)]), false).is_ok() => {}
                    _ => break,
                }
            }
            std::future::poll_fn(|cx| body.poll_reset(cx)).await
        });
        let response = within(response).await.unwrap();
        assert_eq!(response.status(), 413, "{declared}");
        let mut content = response.into_body();
        let mut read = Vec::new();
        while let Some(data) = within(content.data()).await {
            read.extend_from_slice(&data.unwrap());
        }
        assert!(String::from_utf8(read).unwrap().contains("413"), "{declared}");
        assert_eq!(within(sending).await.unwrap().unwrap(), h2::Reason::NO_ERROR, "{declared}");
    }
    // The connection serves on.
    let (response, _) = within(client.ready()).await.unwrap().send_request(Request::get("https://a.test/").body(()).unwrap(), true).unwrap();
    assert_eq!(within(response).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_body_that_stops_coming_ends_its_http2_stream_alone() {
    let upstream = Upstream::echo().await;
    let policy = Policy { send_timeout: SHORT, ..Policy::default() };
    let gateway = Running::start(limited(&upstream, policy), Limits { body: SHORT, ..Limits::default() });
    let client = gateway.http2().await;
    let (response, mut body) = client.clone().send_request(Request::post("https://a.test/").body(()).unwrap(), false).unwrap();
    body.send_data(Bytes::from_static(b"begin"), false).unwrap();
    let error = within(response).await.unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
    assert!(gateway.metrics().contains("vrata_gateway_stalled_bodies_total 1"));
    let (response, _) = within(client.ready()).await.unwrap().send_request(Request::get("https://a.test/").body(()).unwrap(), true).unwrap();
    assert_eq!(within(response).await.unwrap().status(), 200);
    eventually("nothing is in flight", || gateway.metrics().contains("vrata_http_requests_in_flight 0")).await;
}

/// Answers at once, and then the end of the body, whenever it comes.
async fn early() -> Upstream {
    Upstream::raw(|mut tcp| async move {
        read_head(&mut tcp).await.unwrap();
        tcp.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nnow\r\n").await.unwrap();
        let mut body = Vec::new();
        while !body.ends_with(b"0\r\n\r\n") && tcp.read_buf(&mut body).await.is_ok_and(|read| read > 0) {}
        let _ = tcp.write_all(b"4\r\nlate\r\n0\r\n\r\n").await;
    })
    .await
}

#[tokio::test]
async fn a_call_that_streams_both_ways_may_pause() {
    let (upstream, other) = (early().await, Upstream::echo().await);
    let policy = || Policy { send_timeout: SHORT, ..Policy::default() };
    let rule = |path: &str, to: &Upstream| {
        Rule::new(HostPattern::Any, PathMatch::Prefix(path.into()), Arc::new(route("ns", Protocol::Http, policy(), &[to.address])))
    };
    let gateway = Running::start(of(vec![rule("/both", &upstream), rule("/other", &other)]), Limits { body: SHORT, ..Limits::default() });
    let client = gateway.http2().await;
    let post = |path: &str| Request::post(format!("https://a.test{path}")).body(()).unwrap();
    let (response, mut body) = client.clone().send_request(post("/both"), false).unwrap();
    let mut content = within(response).await.unwrap().into_body();
    assert_eq!(within(content.data()).await.unwrap().unwrap(), "now");
    // Others live and die of the limit meanwhile.
    for _ in 0..2 {
        let (response, _body) = within(client.clone().ready()).await.unwrap().send_request(post("/other"), false).unwrap();
        assert!(within(response).await.is_err());
    }
    body.send_data(Bytes::new(), true).unwrap();
    assert_eq!(within(content.data()).await.unwrap().unwrap(), "late");
}

#[tokio::test]
async fn a_client_that_grants_no_window_loses_its_http2_stream_alone() {
    let upstream = Upstream::raw(|mut tcp| async move {
        read_head(&mut tcp).await.unwrap();
        let _ = tcp.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 8 * MIB).as_bytes()).await;
        let _ = tcp.write_all(&vec![b'x'; 8 * MIB]).await;
    })
    .await;
    let gateway = Running::start(snapshot(plain(&upstream)), Limits { stalled_write: SHORT, ..Limits::default() });
    let client = gateway.http2().await;
    let (response, _) = client.clone().send_request(Request::get("https://a.test/").body(()).unwrap(), true).unwrap();
    let mut content = within(response).await.unwrap().into_body();
    let ended = async {
        loop {
            // Read, and never given back.
            match content.data().await {
                Some(Ok(_)) => {}
                end => return end,
            }
        }
    };
    assert!(within(ended).await.unwrap().is_err());
    eventually("nothing is in flight", || gateway.metrics().contains("vrata_http_requests_in_flight 0")).await;
    assert!(within(client.ready()).await.is_ok());
}

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
const SWITCHED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

/// Switches protocols and echoes.
async fn tunnel() -> Upstream {
    Upstream::raw(|mut tcp| async move {
        let Some((_, mut early)) = read_head(&mut tcp).await else { return };
        tcp.write_all(SWITCHED).await.unwrap();
        while tcp.write_all(&early).await.is_ok() {
            early.clear();
            if !tcp.read_buf(&mut early).await.is_ok_and(|read| read > 0) {
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_frame_sent_together_with_the_upgrade_is_not_lost() {
    let upstream = tunnel().await;
    let gateway = Running::start(snapshot(plain(&upstream)), Limits::default());
    for _ in 0..20 {
        let mut client = gateway.http().await;
        client.send(format!("{UPGRADE}first")).await;
        assert_eq!(client.head().await.0, 101);
        assert_eq!(client.exactly(5).await, b"first");
        client.send("second").await;
        assert_eq!(client.exactly(6).await, b"second");
    }
}

#[tokio::test]
async fn an_idle_tunnel_outlives_the_body_timeout() {
    let (upstream, other) = (tunnel().await, Upstream::echo().await);
    let rule = |path: &str, to: &Upstream| Rule::new(HostPattern::Any, PathMatch::Prefix(path.into()), Arc::new(plain(to)));
    let gateway = Running::start(of(vec![rule("/ws", &upstream), rule("/other", &other)]), Limits { body: SHORT, ..Limits::default() });
    let mut client = gateway.http().await;
    client.send(UPGRADE).await;
    assert_eq!(client.head().await.0, 101);
    // Others live and die of the limit meanwhile.
    for _ in 0..3 {
        let mut stalled = gateway.http().await;
        stalled.send("POST /other HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\n").await;
        stalled.rest().await;
    }
    client.send("still here").await;
    assert_eq!(client.exactly(10).await, b"still here");
}

#[tokio::test]
async fn traffic_in_one_direction_keeps_a_tunnel_open() {
    let upstream = Upstream::raw(|mut tcp| async move {
        read_head(&mut tcp).await.unwrap();
        tcp.write_all(SWITCHED).await.unwrap();
        let mut seen = Vec::new();
        while seen.len() < 20 && tcp.read_buf(&mut seen).await.is_ok_and(|read| read > 0) {}
        let _ = tcp.write_all(&seen).await;
    })
    .await;
    let gateway = Running::start(limited(&upstream, Policy { read_timeout: Duration::from_secs(1), ..Policy::default() }), Limits::default());
    let mut client = gateway.http().await;
    client.send(UPGRADE).await;
    assert_eq!(client.head().await.0, 101);
    let mut beat = tokio::time::interval(SHORT);
    for _ in 0..20 {
        beat.tick().await;
        client.send("x").await;
    }
    assert_eq!(client.exactly(20).await, [b'x'; 20]);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::echo().await;
    let gateway = Running::start(snapshot(plain(&upstream)), Limits::default());
    let mut client = gateway.http().await;
    let get = |at: usize| format!("GET /{at} HTTP/1.1\r\nHost: a.test\r\n\r\n");
    client.send((0..5).map(get).collect::<String>()).await;
    client.send("POST /5 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello").await;
    client.send(get(6)).await;
    for at in 0..7 {
        let response = client.response(false).await;
        let method = if at == 5 { "POST" } else { "GET" };
        assert!(response.status == 200 && response.text().starts_with(&format!("{method} /{at}\n")), "{at} {response:?}");
    }
}

#[tokio::test]
async fn a_pipelined_request_may_take_longer_than_a_connection_may_be_idle() {
    let release = Arc::new(tokio::sync::Semaphore::new(0));
    let theirs = Arc::clone(&release);
    let upstream = Upstream::raw(move |mut tcp| {
        let release = Arc::clone(&theirs);
        async move {
            while let Some((head, _)) = read_head(&mut tcp).await {
                if head.starts_with("get /slow") {
                    release.acquire().await.unwrap().forget();
                }
                let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    let gateway = Running::start(snapshot(plain(&upstream)), Limits { idle: SHORT, ..Limits::default() });
    let mut client = gateway.http().await;
    client.send("GET /fast HTTP/1.1\r\nHost: a.test\r\n\r\nGET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert_eq!(client.response(false).await.text(), "ok");
    // Others live and die of the limit meanwhile.
    for _ in 0..3 {
        let mut idle = gateway.http().await;
        idle.send("GET /fast HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        idle.rest().await;
    }
    release.add_permits(1);
    assert_eq!(client.response(false).await.text(), "ok");
}

/// Answers 200 and remembers the request lines and bodies that it saw.
async fn witness() -> (Upstream, Arc<Mutex<String>>) {
    let seen = Arc::new(Mutex::new(String::new()));
    let theirs = Arc::clone(&seen);
    let upstream = Upstream::raw(move |mut tcp| {
        let seen = Arc::clone(&theirs);
        async move {
            let mut bytes = Vec::new();
            while tcp.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
                seen.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes));
                bytes.clear();
                let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    (upstream, seen)
}

#[tokio::test]
async fn requests_that_could_be_read_in_two_ways_are_refused() {
    for (request, status) in [
        ("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\nContent-Length: 40\r\n\r\nbody", 400),
        ("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4, 40\r\n\r\nbody", 400),
        ("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: +4\r\n\r\nbody", 400),
        ("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length : 4\r\n\r\nbody", 400),
        ("POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a.test\r\nX: y\r\n folded\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n", 400),
        ("GET http://b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
        ("GET http://u@a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a.test\r\nX\0: y\r\n\r\n", 400),
        ("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n", 405),
    ] {
        let (upstream, seen) = witness().await;
        let gateway = Running::start(snapshot(plain(&upstream)), Limits::default());
        let mut client = gateway.http().await;
        client.send(request).await;
        let answer = String::from_utf8(client.rest().await).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.matches("HTTP/1.1 ").count() == 1, "{request:?} {answer:?}");
        assert_eq!(seen.lock().unwrap().as_str(), "", "{request:?}");
    }
}

#[tokio::test]
async fn what_follows_an_ambiguous_body_never_becomes_a_request() {
    for request in [
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nGET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nGET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n",
    ] {
        let (upstream, seen) = witness().await;
        let gateway = Running::start(snapshot(plain(&upstream)), Limits::default());
        let mut client = gateway.http().await;
        client.send(request).await;
        let answer = String::from_utf8(client.rest().await).unwrap();
        assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{request:?} {answer:?}");
        assert!(!seen.lock().unwrap().contains("smuggled"), "{request:?} {}", seen.lock().unwrap());
    }
}

#[tokio::test]
async fn requests_without_a_server_name_are_served_by_their_host() {
    let upstream = Upstream::echo().await;
    let made = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).unwrap();
    let own = Arc::new(ParsedCertificate::parse(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes()).unwrap());
    let snapshot = Snapshot { certificates: CertificateTable::build([("a.test".to_owned(), own)], None), ..snapshot(plain(&upstream)) };
    let gateway = Running::start(snapshot, Limits::default());
    for (server_name, status) in [("127.0.0.1", 200), ("a.test", 200), ("b.test", 421)] {
        let stream = connect(gateway.addresses.https[0], server_name, &["http/1.1"]).await.unwrap();
        let answer = upload(stream, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n", b"").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{server_name} {answer}");
    }
}

/// Speaks TLS with a certificate that nobody trusts, and answers with the server name that it was asked for.
async fn secret() -> Upstream {
    let made = rcgen::generate_simple_self_signed(vec!["whatever".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    Upstream::raw(move |tcp| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut tls) = acceptor.accept(tcp).await else { return };
            let name = tls.get_ref().1.server_name().unwrap_or("none").to_owned();
            let mut head = Vec::new();
            while tls.read_buf(&mut head).await.is_ok_and(|read| read > 0) {
                if head.ends_with(b"\r\n\r\n") {
                    head.clear();
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
                    let _ = tls.write_all(answer.as_bytes()).await;
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn https_backends_need_no_trusted_certificate_and_are_not_shared_between_namespaces() {
    let upstream = secret().await;
    let rule = |namespace: &str| {
        Rule::new(
            HostPattern::Exact(format!("{namespace}.test").into()),
            PathMatch::Prefix("/".into()),
            Arc::new(route(namespace, Protocol::Https, Policy::default(), &[upstream.address])),
        )
    };
    let gateway = Running::start(of(vec![rule("a"), rule("b")]), Limits::default());
    let mut client = gateway.http().await;
    for namespace in ["a", "b", "a", "b"] {
        client.send(format!("GET / HTTP/1.1\r\nHost: {namespace}.test\r\n\r\n")).await;
        let response = client.response(false).await;
        assert_eq!((response.status, response.text()), (200, format!("web.{namespace}.svc")));
    }
    assert_eq!(upstream.connections.load(Ordering::Relaxed), 2);
}
