//! Connections.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// A backend that answers each connection with its name and then with what it gets.
async fn echo(name: &'static str) -> (SocketAddr, Backend) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                write.write_all(name.as_bytes()).await.unwrap();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
        }
    });
    (address, backend(task))
}

/// Connects and reads the name of the backend.
async fn dial(address: SocketAddr) -> (TcpStream, String) {
    let mut stream = soon(TcpStream::connect(address)).await.unwrap();
    let mut name = [0; 1];
    soon(stream.read_exact(&mut name)).await.unwrap();
    (stream, String::from_utf8(name.to_vec()).unwrap())
}

async fn answers(stream: &mut TcpStream, word: &[u8]) {
    soon(stream.write_all(word)).await.unwrap();
    let mut answer = vec![0; word.len()];
    soon(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer, word);
}

/// The connection ends with a reset and without a byte.
async fn is_reset(mut stream: TcpStream) {
    let error = soon(stream.read(&mut [0; 8])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

async fn closed_port() -> SocketAddr {
    free_port(Transport::Tcp).await
}

#[tokio::test]
async fn the_client_closes_first_and_still_gets_the_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut bench = Bench::new();
    let address = bench.serve(Transport::Tcp, to(&[listener.local_addr().unwrap()])).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let (mut server, _) = soon(listener.accept()).await.unwrap();
    let mut question = String::new();
    soon(server.read_to_string(&mut question)).await.unwrap();
    assert_eq!(question, "question");
    server.write_all(b"answer").await.unwrap();
    drop(server);
    let mut answer = String::new();
    soon(client.read_to_string(&mut answer)).await.unwrap();
    assert_eq!(answer, "answer");
    until("the connection is closed", || bench.metric("vrata_l4_open", &["team/app", "tcp"]) == Some(0.0)).await;
    assert_eq!(bench.metric("vrata_l4_bytes_total", &["in"]), Some(8.0));
    assert_eq!(bench.metric("vrata_l4_bytes_total", &["out"]), Some(6.0));
}

#[tokio::test]
async fn the_server_closes_first_and_still_gets_the_rest() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut bench = Bench::new();
    let address = bench.serve(Transport::Tcp, to(&[listener.local_addr().unwrap()])).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let (mut server, _) = soon(listener.accept()).await.unwrap();
    server.write_all(b"banner").await.unwrap();
    server.shutdown().await.unwrap();
    let mut banner = String::new();
    soon(client.read_to_string(&mut banner)).await.unwrap();
    client.write_all(b"rest").await.unwrap();
    drop(client);
    let mut rest = String::new();
    soon(server.read_to_string(&mut rest)).await.unwrap();
    assert_eq!((banner.as_str(), rest.as_str()), ("banner", "rest"));
}

#[tokio::test]
async fn a_reset_is_passed_on_and_not_taken_for_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut bench = Bench::new();
    let address = bench.serve(Transport::Tcp, to(&[listener.local_addr().unwrap()])).await;
    let client = TcpStream::connect(address).await.unwrap();
    let (server, _) = soon(listener.accept()).await.unwrap();
    server.set_zero_linger().unwrap();
    drop(server);
    is_reset(client).await;

    let client = TcpStream::connect(address).await.unwrap();
    let (server, _) = soon(listener.accept()).await.unwrap();
    client.set_zero_linger().unwrap();
    drop(client);
    is_reset(server).await;
}

#[tokio::test]
async fn an_idle_connection_is_reset_and_a_busy_one_is_not() {
    let (endpoint, _backend) = echo("a").await;
    let mut bench = Bench::new();
    let listener = Listener { idle_timeout: Duration::from_secs(2), ..to(&[endpoint]) };
    let address = bench.serve(Transport::Tcp, listener).await;
    let (idle, _) = dial(address).await;
    let (mut busy, _) = dial(address).await;
    let ended = tokio::spawn(is_reset(idle));
    let mut words = 0;
    while !ended.is_finished() || words < 20 {
        answers(&mut busy, b"still here").await;
        tokio::time::sleep(Duration::from_millis(25)).await;
        words += 1;
    }
    soon(ended).await.unwrap();
    is_reset(busy).await;
}

#[tokio::test]
async fn sources_outside_are_reset_and_never_reach_an_endpoint() {
    let (endpoint, _backend) = echo("a").await;
    let mut bench = Bench::new();
    let denied = Listener { allowed_sources: Some(vec!["192.0.2.0/24".parse().unwrap()]), ..to(&[endpoint]) };
    let address = bench.serve(Transport::Tcp, denied.clone()).await;
    is_reset(TcpStream::connect(address).await.unwrap()).await;
    assert_eq!(bench.metric("vrata_l4_refused_total", &["source"]), Some(1.0));
    assert_eq!(bench.metric("vrata_l4_opened_total", &[]), Some(0.0));
    let allowed = Listener { allowed_sources: Some(vec!["127.0.0.0/8".parse().unwrap()]), ..denied };
    bench.set(address, Transport::Tcp, allowed).await;
    assert_eq!(dial(address).await.1, "a");
}

#[tokio::test]
async fn without_endpoints_connections_are_reset() {
    let mut bench = Bench::new();
    let address = bench.serve(Transport::Tcp, to(&[])).await;
    is_reset(TcpStream::connect(address).await.unwrap()).await;
    assert_eq!(bench.metric("vrata_l4_refused_total", &["no_endpoint"]), Some(1.0));
}

#[tokio::test]
async fn another_endpoint_is_tried_when_one_refuses() {
    let (endpoint, _backend) = echo("a").await;
    let mut bench = Bench::new();
    let address = bench.serve(Transport::Tcp, to(&[closed_port().await, closed_port().await, endpoint])).await;
    for _ in 0..6 {
        assert_eq!(dial(address).await.1, "a");
    }
    bench.set(address, Transport::Tcp, to(&[closed_port().await])).await;
    is_reset(TcpStream::connect(address).await.unwrap()).await;
    assert_eq!(bench.metric("vrata_l4_refused_total", &["connect_failed"]), Some(1.0));
}

#[tokio::test]
async fn connections_go_round_the_endpoints_or_stay_with_one() {
    let ((a, _a), (b, _b)) = (echo("a").await, echo("b").await);
    let mut bench = Bench::new();
    let address = bench.serve(Transport::Tcp, to(&[a, b])).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(dial(address).await.1);
    }
    assert_eq!(seen, ["a", "b", "a", "b"]);
    bench.set(address, Transport::Tcp, Listener { client_ip_affinity: true, ..to(&[a, b]) }).await;
    let first = dial(address).await.1;
    for _ in 0..4 {
        assert_eq!(dial(address).await.1, first);
    }
}

#[tokio::test]
async fn new_endpoints_are_for_new_connections() {
    let ((a, _a), (b, _b)) = (echo("a").await, echo("b").await);
    let mut bench = Bench::new();
    let address = bench.serve(Transport::Tcp, to(&[a])).await;
    let (mut old, name) = dial(address).await;
    assert_eq!(name, "a");
    bench.set(address, Transport::Tcp, to(&[b])).await;
    assert_eq!(dial(address).await.1, "b");
    answers(&mut old, b"still at a").await;
}

#[tokio::test]
async fn a_listener_is_no_endpoint_of_another() {
    let mut bench = Bench::new();
    let address = bench.serve(Transport::Tcp, to(&[])).await;
    bench.set(address, Transport::Tcp, to(&[address])).await;
    is_reset(TcpStream::connect(address).await.unwrap()).await;
    assert_eq!(bench.metric("vrata_l4_refused_total", &["no_endpoint"]), Some(1.0));
}

#[tokio::test]
async fn listeners_have_a_limit_each_and_one_together() {
    let (endpoint, _backend) = echo("a").await;
    let mut bench = Bench::with(Limits { connections: 3, connections_per_listener: 2, ..Limits::default() });
    let first = bench.serve(Transport::Tcp, to(&[endpoint])).await;
    let second = bench.serve(Transport::Tcp, to(&[endpoint])).await;
    let (one, _) = dial(first).await;
    let (_two, _) = dial(first).await;
    is_reset(TcpStream::connect(first).await.unwrap()).await;
    let (_three, _) = dial(second).await;
    is_reset(TcpStream::connect(second).await.unwrap()).await;
    assert_eq!(bench.metric("vrata_l4_refused_total", &["limit"]), Some(2.0));
    drop(one);
    until("there is room again", || bench.metric("vrata_l4_open", &[]) == Some(2.0)).await;
    dial(second).await;
}

/// Bytes that differ everywhere, by position.
fn pattern(length: usize) -> Vec<u8> {
    (0..length as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn big_transfers_arrive_whole_both_ways_at_once() {
    let (endpoint, _backend) = echo("a").await;
    let mut bench = Bench::new();
    let address = bench.serve(Transport::Tcp, to(&[endpoint])).await;
    let (client, _) = dial(address).await;
    let (mut read, mut write) = client.into_split();
    let sent = pattern(32 << 20);
    let expected = sent.clone();
    let writer = tokio::spawn(async move {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let mut received = Vec::with_capacity(expected.len());
    soon(read.read_to_end(&mut received)).await.unwrap();
    soon(writer).await.unwrap();
    assert!(received == expected, "{} of {} bytes", received.len(), expected.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_gets_everything_that_was_sent_before_the_close() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut bench = Bench::new();
    let address = bench.serve(Transport::Tcp, to(&[listener.local_addr().unwrap()])).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let (mut server, _) = soon(listener.accept()).await.unwrap();
    client.shutdown().await.unwrap();
    let expected = pattern(16 << 20);
    let sent = expected.clone();
    let writer = tokio::spawn(async move { server.write_all(&sent).await.unwrap() });
    until("the way is full", || bench.metric("vrata_l4_bytes_total", &["out"]).unwrap() > 100_000.0).await;
    let mut received = Vec::with_capacity(expected.len());
    soon(client.read_to_end(&mut received)).await.unwrap();
    soon(writer).await.unwrap();
    assert!(received == expected, "{} of {} bytes", received.len(), expected.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_connections_are_open_at_once() {
    const MANY: usize = 2_000;
    let (endpoint, _backend) = echo("a").await;
    let mut bench = Bench::new();
    let address = bench.serve(Transport::Tcp, to(&[endpoint])).await;
    let mut open = Vec::new();
    for _ in 0..MANY {
        open.push(dial(address).await.0);
    }
    assert_eq!(bench.metric("vrata_l4_open", &["team/app"]), Some(MANY as f64));
    for stream in &mut open {
        answers(stream, b"here").await;
    }
    drop(open);
    until("all are closed", || bench.metric("vrata_l4_open", &["team/app"]) == Some(0.0)).await;
}

#[tokio::test]
async fn ipv6_is_forwarded_to_ipv4_and_back() {
    let (endpoint, _backend) = echo("a").await;
    let address = TcpListener::bind("[::1]:0").await.unwrap().local_addr().unwrap();
    let mut bench = Bench::new();
    bench.set(address, Transport::Tcp, to(&[endpoint])).await;
    let (mut client, _) = dial(address).await;
    answers(&mut client, b"six to four").await;
}

#[tokio::test]
async fn both_families_have_the_same_port_on_any_address() {
    let (endpoint, _backend) = echo("a").await;
    // Below the ports that the kernel hands out, so that no outgoing connection has it.
    let port = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    let mut bench = Bench::new();
    bench.set(SocketAddr::from(([0; 8], port)), Transport::Tcp, to(&[endpoint])).await;
    bench.set(SocketAddr::from(([0; 4], port)), Transport::Tcp, to(&[endpoint])).await;
    dial(SocketAddr::from(([127, 0, 0, 1], port))).await;
}
