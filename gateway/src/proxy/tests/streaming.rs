//! Bodies of any size, both ways, in constant memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::client::{Client, DEADLINE};
use super::front::{Front, Port, snapshot};
use super::upstream::{Upstream, plain, route};
use crate::table::{Policy, Protocol};

const MIB: u64 = 1 << 20;
/// What may be under way in the gateway and in four socket buffers.
const MOST_UNDER_WAY: u64 = 24 * MIB;

/// Reads the header of each request and gives this answer.
pub(super) fn answer(text: &'static str) -> impl Fn(TcpStream) -> BoxFuture<'static, ()> {
    move |mut tcp| {
        Box::pin(async move {
            while read_head(&mut tcp).await.is_some() {
                if tcp.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
            }
        })
    }
}

/// The header of a request, and what of the body came with it.
pub(super) async fn read_head(tcp: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Some((String::from_utf8(bytes).unwrap().to_lowercase(), rest));
        }
        let mut chunk = [0; 4096];
        match tcp.read(&mut chunk).await {
            Ok(read) if read > 0 => bytes.extend_from_slice(&chunk[..read]),
            _ => return None,
        }
    }
}

/// Waits until the counter has not moved for a while: whoever moves it is held up.
async fn stands_still(counter: &AtomicU64) -> u64 {
    let mut last = (counter.load(Ordering::Relaxed), 0);
    while last.1 < 20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let now = counter.load(Ordering::Relaxed);
        last = if now == last.0 && now > 0 { (now, last.1 + 1) } else { (now, 0) };
    }
    last.0
}

#[tokio::test]
async fn upload_waits_for_a_slow_upstream_and_then_arrives_whole() {
    const SIZE: u64 = 256 * MIB;
    let (go, received) = (Arc::new(Notify::new()), Arc::new(AtomicU64::new(0)));
    let (theirs, counted) = (Arc::clone(&go), Arc::clone(&received));
    let upstream = Upstream::raw(move |mut tcp| {
        let (go, received) = (Arc::clone(&theirs), Arc::clone(&counted));
        async move {
            let (_, first) = read_head(&mut tcp).await.unwrap();
            received.fetch_add(first.len() as u64, Ordering::Relaxed);
            go.notified().await;
            let mut chunk = vec![0; 256 << 10];
            while received.load(Ordering::Relaxed) < SIZE {
                received.fetch_add(tcp.read(&mut chunk).await.unwrap() as u64, Ordering::Relaxed);
            }
            tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        }
    })
    .await;
    let front =
        Front::start(Port::Https, snapshot(route("ns", Protocol::Http, Policy { body_limit: None, ..Policy::default() }, &[upstream.address]))).await;
    let client = Client::connect(front.address).await;
    let (mut read, mut write) = client.tcp.into_split();
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    let sending = tokio::spawn(async move {
        write.write_all(format!("PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes()).await.unwrap();
        let chunk = vec![b'x'; 64 << 10];
        while counted.load(Ordering::Relaxed) < SIZE {
            write.write_all(&chunk).await.unwrap();
            counted.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
        write
    });
    let held = stands_still(&sent).await;
    assert!(held < MOST_UNDER_WAY, "{held} bytes were taken from the client before the upstream read any");
    go.notify_one();
    let mut head = [0; 12];
    tokio::time::timeout(6 * DEADLINE, read.read_exact(&mut head)).await.unwrap().unwrap();
    assert_eq!((&head, received.load(Ordering::Relaxed)), (b"HTTP/1.1 200", SIZE));
    drop(sending.await.unwrap());
}

#[tokio::test]
async fn download_waits_for_a_slow_client_and_then_arrives_whole() {
    const SIZE: u64 = 256 * MIB;
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    let upstream = Upstream::raw(move |mut tcp| {
        let sent = Arc::clone(&counted);
        async move {
            read_head(&mut tcp).await.unwrap();
            tcp.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes()).await.unwrap();
            let chunk = vec![b'x'; 64 << 10];
            while sent.load(Ordering::Relaxed) < SIZE {
                tcp.write_all(&chunk).await.unwrap();
                sent.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            }
            let _ = tcp.read(&mut [0]).await;
        }
    })
    .await;
    let front = Front::start(Port::Https, snapshot(plain(&upstream))).await;
    let mut client = Client::connect(front.address).await;
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    let (status, _) = client.head().await;
    let held = stands_still(&sent).await;
    assert!(status == 200 && held < MOST_UNDER_WAY, "{held} bytes were taken from the upstream before the client read any");
    let mut left = SIZE;
    while left > 0 {
        let part = left.min(MIB);
        client.exactly(usize::try_from(part).unwrap()).await;
        left -= part;
    }
}

#[tokio::test]
async fn chunks_pass_both_ways_as_they_come() {
    let upstream = Upstream::raw(|mut tcp| async move {
        let (head, mut body) = read_head(&mut tcp).await.unwrap();
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        tcp.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n<<\r\n").await.unwrap();
        while !body.ends_with(b"0\r\n\r\n") {
            let mut chunk = [0; 100];
            let read = tcp.read(&mut chunk).await.unwrap();
            body.extend_from_slice(&chunk[..read]);
        }
        tcp.write_all(b"2\r\n>>\r\n0\r\n\r\n").await.unwrap();
    })
    .await;
    let front = Front::start(Port::Https, snapshot(plain(&upstream))).await;
    let mut client = Client::connect(front.address).await;
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n").await;
    // The answer begins while the request is still being sent.
    let (status, head) = client.head().await;
    assert!(status == 200 && head.to_lowercase().contains("transfer-encoding: chunked"), "{head}");
    assert_eq!(client.exactly(7).await, b"2\r\n<<\r\n");
    client.send("3\r\ntwo\r\n0\r\n\r\n").await;
    assert_eq!(client.exactly(12).await, b"2\r\n>>\r\n0\r\n\r\n");
}

#[tokio::test]
async fn interim_answers_are_passed_on() {
    let upstream = Upstream::raw(|mut tcp| async move {
        let (head, _) = read_head(&mut tcp).await.unwrap();
        assert!(head.contains("expect: 100-continue"), "{head}");
        tcp.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
        tcp.read_exact(&mut [0; 5]).await.unwrap();
        tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    })
    .await;
    let front = Front::start(Port::Https, snapshot(plain(&upstream))).await;
    let mut client = Client::connect(front.address).await;
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(client.head().await.0, 100);
    client.send("hello").await;
    assert_eq!(client.response(false).await.text(), "ok");
}

#[tokio::test]
async fn answer_before_the_end_of_an_upload_reaches_the_client() {
    let upstream = Upstream::raw(answer("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")).await;
    let front = Front::start(Port::Https, snapshot(plain(&upstream))).await;
    let mut client = Client::connect(front.address).await;
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000\r\n\r\nbegin").await;
    let response = client.response(false).await;
    assert_eq!((response.status, response.text().as_str()), (403, "no"));
}
