//! Listeners come, change hands and go.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// A connection and its other end.
async fn connect(address: SocketAddr, endpoint: &TcpListener) -> (TcpStream, TcpStream) {
    let client = soon(TcpStream::connect(address)).await.unwrap();
    (client, soon(endpoint.accept()).await.unwrap().0)
}

async fn endpoint() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn passes(from: &mut TcpStream, into: &mut TcpStream) {
    from.write_all(b"word").await.unwrap();
    let mut word = [0; 4];
    soon(into.read_exact(&mut word)).await.unwrap();
    assert_eq!(&word, b"word");
}

async fn is_reset(stream: &mut TcpStream) {
    assert_eq!(soon(stream.read(&mut [0; 8])).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_removed_listener_accepts_no_more_and_its_connections_end_in_time() {
    let (server, backend) = endpoint().await;
    let mut bench = Bench::with(Limits { drain: Duration::from_millis(300), ..Limits::default() });
    let address = bench.serve(Transport::Tcp, to(&[backend])).await;
    let (mut client, mut peer) = connect(address, &server).await;
    bench.table.clear();
    bench.apply().await;
    assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    passes(&mut client, &mut peer).await;
    is_reset(&mut client).await;
    is_reset(&mut peer).await;
}

#[tokio::test]
async fn a_removed_listener_leaves_no_labels() {
    let (_server, backend) = endpoint().await;
    let mut bench = Bench::new();
    let first = bench.serve(Transport::Tcp, to(&[backend])).await;
    let second = bench.serve(Transport::Tcp, to(&[backend])).await;
    assert_eq!(bench.metric("vrata_l4_listeners", &[]), Some(2.0));
    bench.table.remove(&(first, Transport::Tcp));
    bench.apply().await;
    assert_eq!(bench.metric("vrata_l4_opened_total", &["team/app"]), Some(0.0));
    bench.table.remove(&(second, Transport::Tcp));
    bench.apply().await;
    for name in ["vrata_l4_open", "vrata_l4_opened_total", "vrata_l4_bytes_total", "vrata_l4_refused_total"] {
        assert_eq!(bench.metric(name, &[]), None, "{name}");
    }
    assert_eq!(bench.metric("vrata_l4_listeners", &[]), Some(0.0));
}

#[tokio::test]
async fn a_listener_that_changes_hands_drains_the_old_connections() {
    let (server, backend) = endpoint().await;
    let mut bench = Bench::with(Limits { drain: Duration::from_millis(300), ..Limits::default() });
    let address = bench.serve(Transport::Tcp, to(&[backend])).await;
    let (mut old, mut old_peer) = connect(address, &server).await;
    bench.set(address, Transport::Tcp, Listener { service: "other/app".into(), ..to(&[backend]) }).await;
    let (mut new, mut new_peer) = connect(address, &server).await;
    passes(&mut old, &mut old_peer).await;
    is_reset(&mut old).await;
    passes(&mut new, &mut new_peer).await;
    assert_eq!(bench.metric("vrata_l4_opened_total", &["other/app"]), Some(1.0));
    assert_eq!(bench.metric("vrata_l4_opened_total", &["team/app"]), None);
}

#[tokio::test]
async fn an_address_in_use_is_reported_while_its_neighbours_work_and_served_once_it_is_free() {
    let (server, backend) = endpoint().await;
    let (occupant, taken) = endpoint().await;
    let mut bench = Bench::with(Limits { bind_retry: Duration::from_millis(5), ..Limits::default() });
    let neighbour = free_port(Transport::Tcp).await;
    bench.table.insert((taken, Transport::Tcp), Listener { service: "team/late".into(), ..to(&[backend]) });
    bench.table.insert((neighbour, Transport::Tcp), to(&[backend]));
    let failures = bench.apply().await;
    let [failure] = failures.as_slice() else { panic!("{failures:?}") };
    assert_eq!((failure.address, failure.transport, failure.service.as_str()), (taken, Transport::Tcp, "team/late"));
    assert_eq!(failure.source.kind(), ErrorKind::AddrInUse);
    assert_eq!(failure.to_string(), format!("cannot bind TCP {taken} for Service team/late: Address already in use (os error 98)"));
    assert_eq!(bench.metric("vrata_l4_bind_failures", &[]), Some(1.0));
    assert_eq!(bench.metric("vrata_l4_opened_total", &["team/late"]), None);
    connect(neighbour, &server).await;

    let mut watched = bench.forwarder.failures();
    assert_eq!(watched.borrow().len(), 1);
    drop(occupant);
    soon(watched.wait_for(Vec::is_empty)).await.unwrap();
    connect(taken, &server).await;
    assert_eq!(bench.metric("vrata_l4_bind_failures", &[]), Some(0.0));
}

#[tokio::test]
async fn the_next_table_tries_again_what_could_not_be_bound() {
    let occupant = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let taken = occupant.local_addr().unwrap();
    let mut bench = Bench::with(Limits { bind_retry: Duration::from_secs(3600), ..Limits::default() });
    bench.table.insert((taken, Transport::Udp), to(&[]));
    assert_eq!(bench.apply().await.len(), 1);
    drop(occupant);
    assert_eq!(bench.apply().await.len(), 0);
}

#[tokio::test]
async fn an_address_moves_between_transports_and_ports_without_a_gap_for_others() {
    let (server, backend) = endpoint().await;
    let mut bench = Bench::new();
    let stays = bench.serve(Transport::Tcp, to(&[backend])).await;
    let goes = bench.serve(Transport::Udp, to(&[backend])).await;
    let (mut client, mut peer) = connect(stays, &server).await;
    bench.table.remove(&(goes, Transport::Udp));
    bench.set(goes, Transport::Tcp, to(&[backend])).await;
    bench.set(goes, Transport::Udp, to(&[backend])).await;
    passes(&mut client, &mut peer).await;
    connect(goes, &server).await;
}

#[tokio::test]
async fn shutdown_lets_connections_end_until_the_deadline() {
    let (server, backend) = endpoint().await;
    let mut bench = Bench::new();
    let address = bench.serve(Transport::Tcp, to(&[backend])).await;
    let (mut quick, mut quick_peer) = connect(address, &server).await;
    let (mut slow, _slow_peer) = connect(address, &server).await;
    let shutdown = bench.forwarder.shutdown(Instant::now() + Duration::from_millis(400));
    let traffic = async {
        until("no more is accepted", || std::net::TcpStream::connect(address).is_err()).await;
        passes(&mut quick, &mut quick_peer).await;
        is_reset(&mut slow).await;
    };
    soon(async { tokio::join!(shutdown, traffic) }).await;
    assert_eq!(bench.metric("vrata_l4_listeners", &[]), Some(0.0));
    assert!(bench.apply().await.is_empty());
    assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn shutdown_returns_at_once_when_nothing_is_open() {
    let mut bench = Bench::new();
    bench.serve(Transport::Udp, to(&[])).await;
    soon(bench.forwarder.shutdown(Instant::now() + Duration::from_secs(3600))).await;
}

#[test]
fn a_registry_takes_one_forwarder() {
    let registry = Registry::new();
    assert!(Forwarder::new(&registry).is_ok());
    assert!(Forwarder::new(&registry).is_err());
}
