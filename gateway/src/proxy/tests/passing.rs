//! What goes through, and what is changed on the way.

use std::sync::Arc;

use super::client::{Client, fetch, fetch_with};
use super::front::{Front, Port, of, snapshot};
use super::upstream::{Upstream, plain, route};
use crate::table::{HostPattern, PathMatch, Policy, Protocol, Rule};

#[tokio::test]
async fn upstream_sees_the_request_as_behind_ingress_nginx() {
    let upstream = Upstream::echo().await;
    let front = Front::start(Port::Https, snapshot(plain(&upstream))).await;
    let request = "POST /a//b%20c?x=1&y HTTP/1.1\nHost: a.test:8443\nAccept: */*\nX-Request-ID: abc\nX-Forwarded-For: 10.0.0.1\nX-Forwarded-Host: evil.test\n\
                   X-Forwarded-Prefix: /evil\nForwarded: for=10.0.0.1\nProxy: evil\nX_Real_Ip: 10.0.0.1\nX-Real-Ip: 10.0.0.1\n\
                   Connection: x-hop, keep-alive\nX-Hop: secret\nTE: trailers\nCookie: a=1; b=2";
    let response = fetch_with(front.address, request, b"hello").await;
    assert_eq!(
        response.text(),
        "POST /a//b%20c?x=1&y\naccept: */*\ncontent-length: 5\ncookie: a=1; b=2\nhost: a.test:8443\nx-forwarded-for: 192.0.2.7\n\
         x-forwarded-host: a.test:8443\nx-forwarded-port: 443\nx-forwarded-proto: https\nx-forwarded-scheme: https\n\
         x-original-forwarded-for: 10.0.0.1\nx-original-forwarded-host: evil.test\nx-real-ip: 192.0.2.7\nx-request-id: abc\nx-scheme: https\n\nhello"
    );
}

#[tokio::test]
async fn plain_http_says_so_and_a_missing_id_is_made() {
    let upstream = Upstream::echo().await;
    let front = Front::start(Port::Http, snapshot(plain(&upstream))).await;
    let text = fetch(front.address, "GET / HTTP/1.1\nHost: a.test").await.text();
    for line in ["x-forwarded-port: 80", "x-forwarded-proto: http", "x-scheme: http", "host: a.test"] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    let id = text.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap();
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
}

#[tokio::test]
async fn answer_loses_what_is_the_upstreams_own_and_https_gets_hsts() {
    let upstream = Upstream::echo().await;
    for (port, hsts) in [(Port::Https, "max-age=31536000; includeSubDomains"), (Port::Http, "max-age=1")] {
        let front = Front::start(port, snapshot(plain(&upstream))).await;
        let response = fetch(front.address, "GET / HTTP/1.1\nHost: a.test").await;
        assert_eq!((response.status, response.header("x-app"), response.header("strict-transport-security")), (200, Some("kept"), Some(hsts)));
        assert_eq!((response.header("server"), response.header("keep-alive")), (None, None));
    }
}

#[tokio::test]
async fn absolute_form_reaches_the_upstream_in_origin_form() {
    let upstream = Upstream::echo().await;
    let front = Front::start(Port::Http, snapshot(plain(&upstream))).await;
    for (target, expected) in [("http://a.test/x?y", "GET /x?y\n"), ("http://a.test", "GET /\n")] {
        let text = fetch(front.address, &format!("GET {target} HTTP/1.1\nHost: a.test")).await.text();
        assert!(text.starts_with(expected), "{text}");
    }
}

#[tokio::test]
async fn http_1_0_is_served() {
    let upstream = Upstream::echo().await;
    let front = Front::start(Port::Http, snapshot(plain(&upstream))).await;
    let mut client = Client::connect(front.address).await;
    client.send("GET /x HTTP/1.0\r\nHost: a.test\r\n\r\n").await;
    let response = client.response(false).await;
    assert!(response.status == 200 && response.text().starts_with("GET /x\n"), "{response:?}");
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let upstream = Upstream::echo().await;
    let front = Front::start(Port::Http, snapshot(plain(&upstream))).await;
    let mut client = Client::connect(front.address).await;
    for at in 0..20 {
        client.send(format!("GET /{at} HTTP/1.1\r\nHost: a.test\r\n\r\n")).await;
        assert!(client.response(false).await.text().starts_with(&format!("GET /{at}\n")));
    }
    assert_eq!(upstream.connections.load(std::sync::atomic::Ordering::Relaxed), 1, "the upstream connection is used again");
}

#[tokio::test]
async fn a_swap_changes_the_next_request_of_a_connection() {
    let (one, two) = (Upstream::echo().await, Upstream::raw(super::streaming::answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo")).await);
    let front = Front::start(Port::Http, snapshot(plain(&one))).await;
    let mut client = Client::connect(front.address).await;
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert!(client.response(false).await.text().starts_with("GET /"));
    front.snapshots.store(Arc::new(crate::Snapshot { generation: 1, ..snapshot(plain(&two)) }));
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert_eq!(client.response(false).await.text(), "two");
}

#[tokio::test]
async fn connections_to_one_address_are_never_shared_between_namespaces() {
    let upstream = Upstream::echo().await;
    let rule = |namespace: &str| {
        Rule::new(
            HostPattern::Exact(format!("{namespace}.test").into()),
            PathMatch::Prefix("/".into()),
            Arc::new(route(namespace, Protocol::Http, Policy::default(), &[upstream.address])),
        )
    };
    let front = Front::start(Port::Http, of(vec![rule("a"), rule("b")])).await;
    for host in ["a", "b", "a", "b"] {
        assert_eq!(fetch(front.address, &format!("GET / HTTP/1.1\nHost: {host}.test")).await.status, 200);
    }
    assert_eq!(upstream.connections.load(std::sync::atomic::Ordering::Relaxed), 2);
}
