//! Which endpoint gets a request, and when a request is tried again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::client::{fetch, fetch_with};
use super::front::{Front, Port, snapshot};
use super::streaming::answer;
use super::upstream::{Upstream, refused, route};
use crate::Snapshot;
use crate::table::{Policy, Protocol};

#[tokio::test]
async fn endpoints_take_turns_across_swaps() {
    let one = Upstream::raw(answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1")).await;
    let two = Upstream::raw(answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2")).await;
    let endpoints = [one.address, two.address];
    let front = Front::start(Port::Http, snapshot(route("ns", Protocol::Http, Policy::default(), &endpoints))).await;
    let mut seen = String::new();
    for generation in 1..=6 {
        seen += &fetch(front.address, "GET / HTTP/1.1\nHost: a.test").await.text();
        let next = snapshot(route("ns", Protocol::Http, Policy::default(), &endpoints));
        front.snapshots.store(Arc::new(Snapshot { generation, ..next }));
    }
    assert_eq!(seen, "121212");
}

#[tokio::test]
async fn refused_connection_tries_another_endpoint_whatever_the_method() {
    let up = Upstream::echo().await;
    let endpoints = [refused().await, refused().await, up.address];
    let front = Front::start(Port::Http, snapshot(route("ns", Protocol::Http, Policy::default(), &endpoints))).await;
    for at in 0..6 {
        let response = fetch_with(front.address, "POST / HTTP/1.1\nHost: a.test", b"once").await;
        assert!(response.status == 200 && response.text().ends_with("\n\nonce"), "{at} {response:?}");
    }
    let metrics = front.metrics();
    let retries =
        metrics.lines().find_map(|line| line.strip_prefix(r#"vrata_http_upstream_retries_total{host="a.test",ingress="web",namespace="ns"} "#));
    assert!(retries.is_some_and(|retries| retries != "0"), "{metrics}");
}

/// Answers the first request of each connection; takes the second one and closes. Counts what it saw.
async fn dies_on_reuse(seen: Arc<AtomicUsize>) -> Upstream {
    Upstream::raw(move |mut tcp| {
        let seen = Arc::clone(&seen);
        async move {
            let mut buffer = [0; 4096];
            for at in 0..2 {
                if tcp.read(&mut buffer).await.unwrap_or(0) == 0 {
                    return;
                }
                seen.fetch_add(1, Ordering::Relaxed);
                if at == 0 {
                    tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn request_that_was_sent_is_repeated_only_when_idempotent() {
    for (method, status, total) in [("GET", 200, 3), ("DELETE", 200, 3), ("POST", 502, 2), ("PATCH", 502, 2)] {
        let seen = Arc::new(AtomicUsize::new(0));
        let upstream = dies_on_reuse(Arc::clone(&seen)).await;
        let front = Front::start(Port::Http, snapshot(route("ns", Protocol::Http, Policy::default(), &[upstream.address]))).await;
        assert_eq!(fetch(front.address, "GET / HTTP/1.1\nHost: a.test").await.status, 200);
        let second = fetch(front.address, &format!("{method} / HTTP/1.1\nHost: a.test")).await;
        assert_eq!((second.status, seen.load(Ordering::Relaxed)), (status, total), "{method}");
    }
}

#[tokio::test]
async fn request_is_not_repeated_on_a_connection_that_was_new() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let upstream = Upstream::raw(move |mut tcp| {
        let counted = Arc::clone(&counted);
        async move {
            let _ = tcp.read(&mut [0; 4096]).await;
            counted.fetch_add(1, Ordering::Relaxed);
        }
    })
    .await;
    let front = Front::start(Port::Http, snapshot(route("ns", Protocol::Http, Policy::default(), &[upstream.address]))).await;
    assert_eq!(fetch(front.address, "GET / HTTP/1.1\nHost: a.test").await.status, 502);
    assert_eq!(seen.load(Ordering::Relaxed), 1);
}
