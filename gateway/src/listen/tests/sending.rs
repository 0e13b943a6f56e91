//! When what waits to be sent leaves.

use std::io::Read;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::SystemTime;

use super::super::stream::{GwStream, Transport};
use super::super::{ConnInfo, UnderWay};
use super::*;

#[tokio::test]
async fn others_have_their_turn_before_each_answer_is_sent() {
    let listener = tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    // Of the standard library: Tokio's would not look before it is told that there is something.
    let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    let (server, peer) = listener.accept().await.unwrap();
    let connection = ConnInfo { peer, local: server.local_addr().unwrap(), tls: None, under_way: UnderWay::default() };
    connection.under_way.set(true);
    let mut stream = GwStream::new(Transport::Plain(server), connection, Limits::default(), Arc::new(Refused), SystemTime::UNIX_EPOCH).unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    let mut flush = |stream: &mut GwStream| Pin::new(stream).poll_flush(&mut cx);
    assert!(flush(&mut stream).is_ready(), "nothing to send is nothing to wait for");
    for answer in [&b"first"[..], b"second"] {
        stream.write_all(answer).await.unwrap();
        assert!(flush(&mut stream).is_pending());
        client.set_nonblocking(true).unwrap();
        assert_eq!(client.read(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        client.set_nonblocking(false).unwrap();
        assert!(flush(&mut stream).is_ready());
        let mut received = [0; 8];
        let length = client.read(&mut received).unwrap();
        assert_eq!(&received[..length], answer);
    }
}
