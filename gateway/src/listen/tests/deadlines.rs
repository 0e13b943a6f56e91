//! Clients that take too long, too much or too many.

use super::*;

const FAST: Limits = Limits {
    handshake: DEADLINE,
    first_byte: DEADLINE,
    head: DEADLINE,
    idle: DEADLINE,
    body: DEADLINE,
    stalled_write: DEADLINE,
    silence: DEADLINE,
    linger: DEADLINE,
    linger_gap: DEADLINE,
};

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_dropped() {
    let gateway = start(&limited(Limits { handshake: SHORT, ..FAST }), Snapshot::default());
    for sent in [&b""[..], b"\x16\x03\x01"] {
        let mut tcp = TcpStream::connect(gateway.https()).await.unwrap();
        tcp.write_all(sent).await.unwrap();
        assert_eq!(until_closed(&mut tcp).await, "");
    }
    gateway.wait_for_metric("vrata_gateway_tls_handshake_failures_total", &["timeout"], 2.0).await;
    gateway.wait_for_metric("vrata_gateway_connections", &["https"], 0.0).await;
}

#[tokio::test]
async fn a_client_that_never_asks_is_dropped() {
    let gateway = start(&limited(Limits { first_byte: SHORT, ..FAST }), Snapshot::default());
    assert_eq!(until_closed(&mut TcpStream::connect(gateway.http()).await.unwrap()).await, "");
    assert_eq!(until_closed(&mut connect(gateway.https(), "a.test", &["http/1.1"]).await.unwrap()).await, "");
    // The settings of an HTTP/2 server come before the client's preface.
    until_closed(&mut connect(gateway.https(), "a.test", &["h2"]).await.unwrap()).await;
}

#[tokio::test]
async fn a_head_that_drips_is_dropped_on_the_first_and_on_later_requests() {
    let gateway = start(&limited(Limits { head: SHORT, ..FAST }), Snapshot::default());
    let mut fresh = TcpStream::connect(gateway.http()).await.unwrap();
    fresh.write_all(b"GET / HTTP/1.1\r\nHost: a").await.unwrap();
    assert_eq!(until_closed(&mut fresh).await, "");
    let mut used = TcpStream::connect(gateway.http()).await.unwrap();
    assert!(get(&mut used, "/").await.ends_with("hello"));
    used.write_all(b"GET / HTTP/1.1\r\nHost: a").await.unwrap();
    assert_eq!(until_closed(&mut used).await, "");
    gateway.wait_for_metric("vrata_gateway_connections", &["http"], 0.0).await;
}

#[tokio::test]
async fn the_head_limit_does_not_touch_a_request_under_way() {
    let gateway = start(&limited(Limits { head: SHORT, first_byte: SHORT, idle: SHORT, ..FAST }), Snapshot::default());
    let mut slow = TcpStream::connect(gateway.http()).await.unwrap();
    slow.write_all(b"GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    // Another connection lives and dies of the limit meanwhile.
    assert_eq!(until_closed(&mut TcpStream::connect(gateway.http()).await.unwrap()).await, "");
    assert_eq!(until_closed(&mut TcpStream::connect(gateway.http()).await.unwrap()).await, "");
    gateway.release.add_permits(1);
    assert!(answer(&mut slow).await.ends_with("released"));
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let gateway = start(&limited(Limits { idle: SHORT, ..FAST }), Snapshot::default());
    let mut plain = TcpStream::connect(gateway.http()).await.unwrap();
    assert!(get(&mut plain, "/").await.ends_with("hello"));
    assert_eq!(until_closed(&mut plain).await, "");
    let (mut requests, connection) = http2(gateway.https()).await;
    assert_eq!(body(within(requests.send_request(request("/"), true).unwrap().0).await.unwrap()).await, "hello");
    assert!(within(connection).await.is_ok());
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped() {
    let gateway = start(&limited(Limits { stalled_write: SHORT, linger_gap: SHORT, ..FAST }), Snapshot::default());
    let mut plain = TcpStream::connect(gateway.http()).await.unwrap();
    plain.write_all(b"GET /huge HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    gateway.wait_for_metric("vrata_gateway_connections_accepted_total", &["http"], 1.0).await;
    gateway.wait_for_metric("vrata_gateway_connections", &["http"], 0.0).await;
}

#[tokio::test]
async fn a_silent_request_is_dropped() {
    let gateway = start(&limited(Limits { silence: SHORT, linger_gap: SHORT, ..FAST }), Snapshot::default());
    let (mut requests, connection) = http2(gateway.https()).await;
    let (response, _body) = requests.send_request(request("/slow"), false).unwrap();
    assert!(within(response).await.is_err());
    drop(requests);
    let _ = within(connection).await;
    gateway.wait_for_metric("vrata_gateway_connections", &["https"], 0.0).await;
}

#[tokio::test]
async fn large_answers_arrive_whole() {
    let gateway = start(&options(), Snapshot::default());
    let expected = "x".repeat(1 << 20);
    let mut plain = TcpStream::connect(gateway.http()).await.unwrap();
    assert!(get(&mut plain, "/large").await.ends_with(&expected));
    let mut tls = connect(gateway.https(), "a.test", &["http/1.1"]).await.unwrap();
    assert!(get(&mut tls, "/large").await.ends_with(&expected));
    let (mut requests, _connection) = http2(gateway.https()).await;
    assert_eq!(body(within(requests.send_request(request("/large"), true).unwrap().0).await.unwrap()).await, expected);
}

#[tokio::test]
async fn a_client_that_still_uploads_reads_the_refusal() {
    const SIZE: usize = 16 << 20;
    let gateway = start(&options(), Snapshot::default());
    let head = format!("POST /refuse HTTP/1.1\r\nHost: a.test\r\nContent-Length: {SIZE}\r\n\r\n");
    let plain = TcpStream::connect(gateway.http()).await.unwrap();
    let tls = connect(gateway.https(), "a.test", &["http/1.1"]).await.unwrap();
    upload(plain, &head, SIZE).await;
    upload(tls, &head, SIZE).await;
}

/// Sends everything before it looks for the answer, as simple clients do.
async fn upload(mut stream: impl AsyncRead + AsyncWrite + Unpin, head: &str, size: usize) {
    stream.write_all(head.as_bytes()).await.unwrap();
    within(stream.write_all(&vec![b'x'; size])).await.unwrap();
    stream.flush().await.unwrap();
    let answer = answer(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.ends_with("too large"), "{answer}");
}

#[tokio::test]
async fn connections_over_the_limit_wait_their_turn() {
    let gateway = start(&Options { max_connections: 1, ..options() }, Snapshot::default());
    let mut first = TcpStream::connect(gateway.http()).await.unwrap();
    assert!(get(&mut first, "/").await.ends_with("hello"));
    let mut second = connect_waiting(gateway.http()).await;
    assert!((gateway.metric("vrata_gateway_connections_accepted_total", &["http"]) - 1.0).abs() < 0.5);
    drop(first);
    assert!(answer(&mut second).await.ends_with("hello"));
}

#[tokio::test]
async fn connections_over_the_limit_of_a_client_are_closed() {
    let gateway = start(&Options { max_connections_per_client: 1, ..options() }, Snapshot::default());
    let mut first = TcpStream::connect(gateway.http()).await.unwrap();
    assert!(get(&mut first, "/").await.ends_with("hello"));
    assert_eq!(until_closed(&mut TcpStream::connect(gateway.http()).await.unwrap()).await, "");
    assert!(connect(gateway.https(), "a.test", &[]).await.is_err());
    gateway.wait_for_metric("vrata_gateway_connections_refused_total", &["http"], 1.0).await;
    gateway.wait_for_metric("vrata_gateway_connections_refused_total", &["https"], 1.0).await;
    drop(first);
    gateway.wait_for_metric("vrata_gateway_connections", &["http"], 0.0).await;
    assert!(get(&mut TcpStream::connect(gateway.http()).await.unwrap(), "/").await.ends_with("hello"));
}

async fn connect_waiting(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    assert!(timeout(SHORT, stream.readable()).await.is_err(), "nothing is answered while the only slot is taken");
    stream
}
