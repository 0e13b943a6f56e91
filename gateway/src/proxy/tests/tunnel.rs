//! WebSockets.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::client::Client;
use super::front::{Front, Port, snapshot};
use super::streaming::read_head;
use super::upstream::{Upstream, route};
use crate::table::{Policy, Protocol};

pub(super) const UPGRADE: &str =
    "GET /ws HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// Switches protocols, says hello at once, and echoes.
pub(super) async fn echo() -> Upstream {
    Upstream::raw(|mut tcp| async move {
        let (head, _) = read_head(&mut tcp).await.unwrap();
        assert!(head.contains("upgrade: websocket") && head.contains("connection: upgrade") && head.contains("sec-websocket-key: x"), "{head}");
        tcp.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello").await.unwrap();
        let mut chunk = vec![0; 16 << 10];
        while let Ok(read) = tcp.read(&mut chunk).await {
            if read == 0 || tcp.write_all(&chunk[..read]).await.is_err() {
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn frames_pass_both_ways_without_a_body_limit() {
    let upstream = echo().await;
    let policy = Policy { body_limit: Some(100), ..Policy::default() };
    let front = Front::start(Port::Https, snapshot(route("ns", Protocol::Http, policy, &[upstream.address]))).await;
    let mut client = Client::connect(front.address).await;
    client.send(UPGRADE).await;
    let (status, head) = client.head().await;
    assert!(status == 101 && head.to_lowercase().contains("upgrade: websocket"), "{head}");
    assert_eq!(client.exactly(5).await, b"hello");
    for at in 0..50_u8 {
        client.send([at; 1000]).await;
        assert_eq!(client.exactly(1000).await, [at; 1000]);
    }
}

#[tokio::test]
async fn tunnel_ends_with_the_client_and_is_logged() {
    let upstream = echo().await;
    let front = Front::start(Port::Https, snapshot(route("ns", Protocol::Http, Policy::default(), &[upstream.address]))).await;
    let mut client = Client::connect(front.address).await;
    client.send(UPGRADE).await;
    assert_eq!(client.head().await.0, 101);
    drop(client);
    super::client::eventually("a line", || front.log.text().contains("\"status\":101")).await;
}

#[tokio::test]
async fn tunnel_survives_a_configuration_swap() {
    let upstream = echo().await;
    let front = Front::start(Port::Https, snapshot(route("ns", Protocol::Http, Policy::default(), &[upstream.address]))).await;
    let mut client = Client::connect(front.address).await;
    client.send(UPGRADE).await;
    assert_eq!(client.head().await.0, 101);
    assert_eq!(client.exactly(5).await, b"hello");
    front.snapshots.store(std::sync::Arc::default());
    client.send("still here").await;
    assert_eq!(client.exactly(10).await, b"still here");
}

#[tokio::test]
async fn idle_tunnel_ends_with_the_read_timeout() {
    let upstream = Upstream::raw(|mut tcp| async move {
        read_head(&mut tcp).await.unwrap();
        tcp.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n").await.unwrap();
        // Takes everything, says nothing.
        let mut chunk = vec![0; 1024];
        while tcp.read(&mut chunk).await.is_ok_and(|read| read > 0) {}
    })
    .await;
    let policy = Policy { read_timeout: std::time::Duration::from_millis(100), ..Policy::default() };
    let front = Front::start(Port::Https, snapshot(route("ns", Protocol::Http, policy, &[upstream.address]))).await;
    let mut client = Client::connect(front.address).await;
    client.send(UPGRADE).await;
    assert_eq!(client.head().await.0, 101);
    client.send("x").await;
    assert!(client.is_closed().await);
}
