//! Sessions.

use super::*;

/// A backend that answers each datagram with its name, the datagram and the address it came from.
async fn echo(name: &'static str) -> (SocketAddr, Backend) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let mut answer = name.as_bytes().to_vec();
            answer.extend_from_slice(&buffer[..length]);
            let _ = socket.send_to(&answer, from).await;
        }
    });
    (address, backend(task))
}

/// A client that takes answers only from where it asks: its socket is connected.
async fn client(address: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((if address.is_ipv4() { "127.0.0.1" } else { "::1" }, 0)).await.unwrap();
    socket.connect(address).await.unwrap();
    socket
}

async fn ask(socket: &UdpSocket, word: &str) -> String {
    socket.send(word.as_bytes()).await.unwrap();
    let mut buffer = vec![0; 65_536];
    let length = soon(socket.recv(&mut buffer)).await.unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

#[tokio::test]
async fn two_clients_talk_to_two_backends() {
    let ((a, _a), (b, _b)) = (echo("a").await, echo("b").await);
    let mut bench = Bench::new();
    let address = bench.serve(Transport::Udp, to(&[a, b])).await;
    let (one, two) = (client(address).await, client(address).await);
    for round in ["1", "2", "3"] {
        assert_eq!(ask(&one, round).await, format!("a{round}"));
        assert_eq!(ask(&two, round).await, format!("b{round}"));
    }
    assert_eq!(bench.metric("vrata_l4_open", &["team/app", "udp"]), Some(2.0));
    assert_eq!(bench.metric("vrata_l4_bytes_total", &["in"]), Some(6.0));
    until("answers are counted", || bench.metric("vrata_l4_bytes_total", &["out"]) == Some(12.0)).await;
}

#[tokio::test]
async fn affinity_keeps_a_client_address_at_one_backend() {
    let ((a, _a), (b, _b)) = (echo("a").await, echo("b").await);
    let mut bench = Bench::new();
    let address = bench.serve(Transport::Udp, Listener { client_ip_affinity: true, ..to(&[a, b]) }).await;
    let first = ask(&client(address).await, "x").await;
    for _ in 0..5 {
        assert_eq!(ask(&client(address).await, "x").await, first);
    }
}

#[tokio::test]
async fn the_largest_datagram_passes_and_an_empty_one_too() {
    let (a, _a) = echo("a").await;
    let mut bench = Bench::new();
    let address = bench.serve(Transport::Udp, to(&[a])).await;
    let one = client(address).await;
    let word = "x".repeat(65_506);
    assert_eq!(ask(&one, &word).await, format!("a{word}"));
    assert_eq!(ask(&one, "").await, "a");
}

#[tokio::test]
async fn an_idle_session_ends_and_the_next_datagram_opens_another() {
    let (a, _a) = echo("a").await;
    let mut bench = Bench::new();
    let address = bench.serve(Transport::Udp, Listener { idle_timeout: Duration::from_millis(80), ..to(&[a]) }).await;
    let one = client(address).await;
    assert_eq!(ask(&one, "1").await, "a1");
    until("the session has ended", || bench.metric("vrata_l4_open", &["udp"]) == Some(0.0)).await;
    assert_eq!(ask(&one, "2").await, "a2");
    assert_eq!(bench.metric("vrata_l4_opened_total", &["udp"]), Some(2.0));
}

#[tokio::test]
async fn sessions_of_a_lost_endpoint_move_and_others_stay() {
    let ((a, _a), (b, _b), (c, _c)) = (echo("a").await, echo("b").await, echo("c").await);
    let mut bench = Bench::new();
    let address = bench.serve(Transport::Udp, to(&[a, b])).await;
    let (one, two) = (client(address).await, client(address).await);
    assert_eq!((ask(&one, "").await, ask(&two, "").await), ("a".into(), "b".into()));
    bench.set(address, Transport::Udp, to(&[b, c])).await;
    until("one session has ended", || bench.metric("vrata_l4_open", &["udp"]) == Some(1.0)).await;
    assert_eq!((ask(&one, "").await, ask(&two, "").await), ("b".into(), "b".into()));
}

#[tokio::test]
async fn without_endpoints_sessions_end_and_datagrams_are_dropped() {
    let (a, _a) = echo("a").await;
    let mut bench = Bench::new();
    let address = bench.serve(Transport::Udp, to(&[a])).await;
    let one = client(address).await;
    ask(&one, "").await;
    bench.set(address, Transport::Udp, to(&[])).await;
    until("the session has ended", || bench.metric("vrata_l4_open", &["udp"]) == Some(0.0)).await;
    one.send(b"lost").await.unwrap();
    until("it is counted", || bench.metric("vrata_l4_refused_total", &["no_endpoint"]) == Some(1.0)).await;
}

#[tokio::test]
async fn a_closed_port_makes_the_client_go_to_another_endpoint() {
    let (a, _a) = echo("a").await;
    let closed = free_port(Transport::Udp).await;
    let mut bench = Bench::new();
    let address = bench.serve(Transport::Udp, to(&[closed, a])).await;
    let one = client(address).await;
    one.send(b"lost").await.unwrap();
    until("the session is open", || bench.metric("vrata_l4_opened_total", &["udp"]) == Some(1.0)).await;
    assert_eq!(ask(&one, "x").await, "ax");
}

#[tokio::test]
async fn sources_outside_are_dropped_and_lose_their_session() {
    let (a, _a) = echo("a").await;
    let mut bench = Bench::new();
    let address = bench.serve(Transport::Udp, to(&[a])).await;
    let one = client(address).await;
    ask(&one, "").await;
    bench.set(address, Transport::Udp, Listener { allowed_sources: Some(vec![]), ..to(&[a]) }).await;
    until("the session has ended", || bench.metric("vrata_l4_open", &["udp"]) == Some(0.0)).await;
    one.send(b"denied").await.unwrap();
    until("it is counted", || bench.metric("vrata_l4_refused_total", &["source"]) == Some(1.0)).await;
}

#[tokio::test]
async fn sessions_beyond_the_limit_are_dropped_and_the_open_ones_go_on() {
    let (a, _a) = echo("a").await;
    let mut bench = Bench::with(Limits { sessions: 3, sessions_per_listener: 2, ..Limits::default() });
    let first = bench.serve(Transport::Udp, to(&[a])).await;
    let second = bench.serve(Transport::Udp, to(&[a])).await;
    let (one, two, three) = (client(first).await, client(first).await, client(second).await);
    for socket in [&one, &two] {
        ask(socket, "").await;
    }
    client(first).await.send(b"too many here").await.unwrap();
    until("it is counted", || bench.metric("vrata_l4_refused_total", &["limit"]) == Some(1.0)).await;
    ask(&three, "").await;
    client(second).await.send(b"too many together").await.unwrap();
    until("it is counted", || bench.metric("vrata_l4_refused_total", &["limit"]) == Some(2.0)).await;
    assert_eq!(ask(&one, "x").await, "ax");
}

#[tokio::test]
async fn answers_leave_from_the_address_that_was_asked() {
    let (a, _a) = echo("a").await;
    let port = free_port(Transport::Udp).await.port();
    let mut bench = Bench::new();
    for last in [7, 8] {
        let address = SocketAddr::from(([127, 0, 10, last], port));
        bench.set(address, Transport::Udp, to(&[a])).await;
        assert_eq!(ask(&client(address).await, "x").await, "ax");
    }
}

#[tokio::test]
async fn ipv6_is_forwarded_to_ipv4_and_back() {
    let (a, _a) = echo("a").await;
    let address = UdpSocket::bind("[::1]:0").await.unwrap().local_addr().unwrap();
    let mut bench = Bench::new();
    bench.set(address, Transport::Udp, to(&[a])).await;
    assert_eq!(ask(&client(address).await, "x").await, "ax");
}
