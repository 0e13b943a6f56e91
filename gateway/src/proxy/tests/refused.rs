//! What Pingora would refuse by itself is answered as everything else that is answered here.

use super::client::{Client, Response, eventually};
use super::upstream::{Upstream, plain};
use super::whole::Running;
use crate::Limits;
use crate::listen::tests::{connect, within};
use crate::proxy::tests::front::snapshot;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

async fn refused(client: &mut Client, request: &str) -> Response {
    client.send(request).await;
    let response = client.response(false).await;
    assert!(client.is_closed().await, "{request}");
    response
}

#[tokio::test]
async fn a_request_that_cannot_be_parsed_gets_an_answer_with_an_id_that_the_log_counts() {
    let upstream = Upstream::echo().await;
    let gateway = Running::start(snapshot(plain(&upstream)), Limits::default());
    let large = format!("GET / HTTP/1.1\r\nHost: a.test\r\nX: {}\r\n\r\n", "x".repeat(2 << 20));
    let malformed = [
        "GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n",
        "nonsense\r\n\r\n",
        &large,
    ];
    for request in malformed {
        let shown = &request[..request.len().min(100)];
        let response = refused(&mut gateway.http().await, request).await;
        assert_eq!((response.status, response.header("connection")), (400, Some("close")), "{shown}");
        assert_eq!((response.header("server"), response.header("content-type")), (None, Some("text/plain; charset=utf-8")), "{shown}");
        let id = response.header("x-request-id").unwrap();
        assert_eq!(response.text(), format!("400 Bad Request: The request is malformed or ambiguous.\nRequest id: {id}\n"), "{shown}");
        assert!(response.header("date").is_some_and(|date| date.ends_with(" GMT")), "{shown}");
    }
    let counted = r#"vrata_http_requests_total{host="",ingress="",method="other",namespace="",status="400"} 6"#;
    eventually("all are counted", || gateway.metrics().contains(counted)).await;
}

#[tokio::test]
async fn a_later_request_of_a_connection_is_refused_after_those_before_it() {
    let upstream = Upstream::echo().await;
    let gateway = Running::start(snapshot(plain(&upstream)), Limits::default());
    let (sane, malformed) = ("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", "GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n");
    let mut client = gateway.http().await;
    client.send(format!("{sane}{malformed}")).await;
    assert_eq!(client.response(false).await.status, 200);
    assert_eq!(client.response(false).await.status, 400);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn over_tls_the_answer_keeps_browsers_on_https() {
    let upstream = Upstream::echo().await;
    let gateway = Running::start(snapshot(plain(&upstream)), Limits::default());
    let mut tls = connect(gateway.addresses.https[0], "a.test", &["http/1.1"]).await.unwrap();
    tls.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    within(tls.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("strict-transport-security: max-age="), "{answer}");
}

#[tokio::test]
async fn connect_is_refused_in_the_format_that_is_asked_for_and_reaches_nobody() {
    let upstream = Upstream::echo().await;
    let gateway = Running::start(snapshot(plain(&upstream)), Limits::default());
    let request = "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nAccept: application/json\r\nX-Request-ID: abc\r\n\r\n";
    let response = refused(&mut gateway.http().await, request).await;
    assert_eq!((response.status, response.header("content-type")), (405, Some("application/problem+json")));
    assert_eq!((response.header("x-request-id"), response.header("server")), (Some("abc"), None));
    assert!(response.header("allow").is_some_and(|allowed| allowed.starts_with("GET, ")));

    let mut client = gateway.http2().await;
    let request = http::Request::builder().method("CONNECT").uri("a.test:443").body(()).unwrap();
    let response = within(client.send_request(request, true).unwrap().0).await.unwrap();
    assert_eq!(response.status(), 405);
    assert!(response.headers().contains_key("x-request-id"));
    assert_eq!(upstream.connections.load(std::sync::atomic::Ordering::Relaxed), 0);
    let counted = r#"method="CONNECT",namespace="",status="405"} 2"#;
    eventually("both are counted", || gateway.metrics().contains(counted)).await;
}
