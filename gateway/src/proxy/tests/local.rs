//! What is answered without an upstream.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::client::{Client, Response, fetch, fetch_with};
use super::front::{Front, Port, of, snapshot};
use super::upstream::{Upstream, plain, refused, route, route_to};
use crate::table::{Action, BasicAuth, Endpoint, HostPattern, PasswordHash, PathMatch, Policy, Protocol, Rule, TlsRedirect};
use crate::{Options, Snapshot};

async fn under(port: Port, policy: Policy, request: &str) -> Response {
    let upstream = Upstream::echo().await;
    let front = Front::start(port, snapshot(route("ns", Protocol::Http, policy, &[upstream.address]))).await;
    fetch(front.address, request).await
}

#[tokio::test]
async fn unknown_host_is_404_with_the_request_id_and_keeps_the_connection() {
    let upstream = Upstream::echo().await;
    let rule = Rule::new(HostPattern::Exact("a.test".into()), PathMatch::Prefix("/x".into()), Arc::new(plain(&upstream)));
    let front = Front::start(Port::Https, of(vec![rule])).await;
    let mut client = Client::connect(front.address).await;
    for (host, path) in [("b.test", "/x"), ("a.test", "/")] {
        client.send(format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nX-Request-ID: abc\r\nContent-Length: 5\r\n\r\nhello")).await;
        let response = client.response(false).await;
        assert_eq!((response.status, response.header("x-request-id"), response.header("cache-control")), (404, Some("abc"), Some("no-store")));
        assert_eq!(response.header("strict-transport-security"), Some("max-age=31536000; includeSubDomains"));
        assert_eq!(response.header("connection"), Some("keep-alive"));
        assert!(response.text().contains("abc"));
    }
    client.send("HEAD /none HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    let head = client.response(true).await;
    assert!(head.status == 404 && head.header("content-length").is_some_and(|length| length != "0"));
    client.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert_eq!(client.response(false).await.status, 200);
}

#[tokio::test]
async fn malformed_requests_are_refused() {
    let long = "y".repeat(20 << 10);
    let many = (0..101).map(|at| format!("X-{at}: y\n")).collect::<String>();
    for (request, status) in [
        ("GET / HTTP/1.0".to_owned(), 400),
        ("GET / HTTP/1.1\nHost: a b".to_owned(), 400),
        ("GET / HTTP/1.1\nHost: a<b>".to_owned(), 400),
        ("GET / HTTP/1.1\nHost: ".to_owned(), 400),
        ("GET /a/../b HTTP/1.1\nHost: a.test".to_owned(), 400),
        (format!("GET /{long} HTTP/1.1\nHost: a.test"), 414),
        (format!("GET / HTTP/1.1\nHost: a.test\nX-A: {long}\nX-B: {long}"), 431),
        (format!("GET / HTTP/1.1\nHost: a.test\n{many}"), 431),
    ] {
        let response = under(Port::Http, Policy::default(), &request).await;
        assert_eq!(response.status, status, "{} {}", &request[..40.min(request.len())], response.text());
    }
}

#[tokio::test]
async fn plain_http_is_redirected_but_never_a_challenge() {
    let upstream = Upstream::echo().await;
    let policy = Policy { tls_redirect: TlsRedirect::Always, ..Policy::default() };
    let mut snapshot = snapshot(route("ns", Protocol::Http, policy, &[upstream.address]));
    snapshot.challenges.http01.insert(("a.test".into(), "token".into()), "token.print".into());
    let front = Front::with(Port::Http, snapshot, Options { public_https_port: 8443, ..Options::default() }).await;
    let redirect = fetch(front.address, "GET /x/?y=1 HTTP/1.1\nHost: a.test:8080").await;
    assert_eq!((redirect.status, redirect.header("location")), (308, Some("https://a.test:8443/x/?y=1")));
    let challenge = fetch(front.address, "GET /.well-known/acme-challenge/token HTTP/1.1\nHost: A.test").await;
    assert_eq!((challenge.status, challenge.header("content-type"), challenge.text().as_str()), (200, Some("text/plain"), "token.print"));
    for (host, token) in [("a.test", "other"), ("b.test", "token")] {
        let passed = fetch(front.address, &format!("GET /.well-known/acme-challenge/{token} HTTP/1.1\nHost: {host}")).await;
        assert!(passed.text().starts_with("GET /.well-known/"), "{passed:?}");
    }
}

#[tokio::test]
async fn challenge_is_answered_before_any_route_or_restriction() {
    let mut snapshot = Snapshot::default();
    snapshot.challenges.http01.insert(("a.test".into(), "token".into()), "token.print".into());
    let front = Front::start(Port::Http, snapshot).await;
    assert_eq!(fetch(front.address, "GET /.well-known/acme-challenge/token HTTP/1.1\nHost: a.test").await.text(), "token.print");
}

#[tokio::test]
async fn clients_outside_the_allowed_networks_get_403() {
    for (network, status) in [("192.0.2.0/24", 200), ("198.51.100.0/24", 403)] {
        let policy = Policy { allowed_sources: Some(vec![network.parse().unwrap()]), ..Policy::default() };
        assert_eq!(under(Port::Https, policy, "GET / HTTP/1.1\nHost: a.test").await.status, status);
    }
}

#[tokio::test]
async fn basic_authentication_asks_and_keeps_the_password_from_the_upstream() {
    // htpasswd: jane / secret
    let hash = PasswordHash::parse("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=").unwrap();
    let auth = BasicAuth { realm: "Staff".into(), users: BTreeMap::from([("jane".into(), hash)]) };
    let policy = Policy { basic_auth: Some(Arc::new(auth)), ..Policy::default() };
    let upstream = Upstream::echo().await;
    let front = Front::start(Port::Https, snapshot(route("ns", Protocol::Http, policy, &[upstream.address]))).await;
    // jane:wrong, john:secret, a token, nothing.
    for header in ["Authorization: Basic amFuZTp3cm9uZw==", "Authorization: Basic am9objpzZWNyZXQ=", "Authorization: Bearer x", "Accept: */*"] {
        let response = fetch(front.address, &format!("GET / HTTP/1.1\nHost: a.test\n{header}")).await;
        assert_eq!((response.status, response.header("www-authenticate")), (401, Some("Basic realm=\"Staff\", charset=\"UTF-8\"")), "{header}");
    }
    for _ in 0..2 {
        let response = fetch(front.address, "GET / HTTP/1.1\nHost: a.test\nAuthorization: Basic amFuZTpzZWNyZXQ=").await;
        assert!(response.status == 200 && !response.text().contains("authorization"), "{response:?}");
    }
}

#[tokio::test]
async fn routes_that_fail_by_configuration_answer_their_status() {
    let upstream = Upstream::echo().await;
    let failing = crate::table::Route { action: Action::fail(503, "auth-url"), ..plain(&upstream) };
    let front = Front::start(Port::Https, snapshot(failing)).await;
    let response = fetch(front.address, "GET / HTTP/1.1\nHost: a.test").await;
    assert!(response.status == 503 && !response.text().contains("auth-url"), "{response:?}");
}

#[tokio::test]
async fn large_bodies_are_refused_by_their_declared_length_and_by_counting() {
    let upstream = Upstream::echo().await;
    let policy = Policy { body_limit: Some(1000), ..Policy::default() };
    let front = Front::start(Port::Https, snapshot(route("ns", Protocol::Http, policy, &[upstream.address]))).await;
    let chunk = format!("3e8\r\n{}\r\n", "x".repeat(1000));
    for (request, status) in [
        (format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000\r\n\r\n{}", "x".repeat(1000)), 200),
        (format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1001\r\n\r\n{}", "x".repeat(1001)), 413),
        ("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000000000\r\nExpect: 100-continue\r\n\r\n".to_owned(), 413),
        (format!("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}0\r\n\r\n"), 200),
        (format!("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk.repeat(100)), 413),
    ] {
        let mut client = Client::connect(front.address).await;
        client.send(&request).await;
        assert_eq!(client.response(false).await.status, status, "{}", &request[..70]);
    }
}

#[tokio::test]
async fn connection_with_a_large_body_left_on_it_ends_after_the_answer() {
    let upstream = Upstream::echo().await;
    let front = Front::start(Port::Https, snapshot(plain(&upstream))).await;
    let mut client = Client::connect(front.address).await;
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000000\r\n\r\n").await;
    let response = client.response(false).await;
    assert_eq!((response.status, response.header("connection")), (413, Some("close")));
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn upstream_failures_have_their_status() {
    let [silent, closing, garbage] = Upstream::useless().await;
    let policy = Policy { read_timeout: Duration::from_millis(50), ..Policy::default() };
    for (endpoints, status) in [
        (vec![], 503),
        (vec![refused().await], 502),
        (vec![refused().await, refused().await, refused().await, refused().await], 502),
        (vec![silent.address], 504),
        (vec![closing.address], 502),
        (vec![garbage.address], 502),
    ] {
        let front = Front::start(Port::Https, snapshot(route("ns", Protocol::Http, policy.clone(), &endpoints))).await;
        let response = fetch(front.address, "GET / HTTP/1.1\nHost: a.test\nAccept: application/json").await;
        assert_eq!((response.status, response.header("content-type")), (status, Some("application/problem+json")), "{endpoints:?}");
    }
}

#[tokio::test]
async fn external_names_reach_loopback_only_where_that_is_allowed() {
    let upstream = Upstream::echo().await;
    for (allow_loopback_external_names, status) in [(false, 503), (true, 200)] {
        let endpoint = Endpoint::Name("localhost".into(), upstream.address.port());
        let route = route_to("ns", Protocol::Http, Policy::default(), vec![endpoint]);
        let front = Front::with(Port::Https, snapshot(route), Options { allow_loopback_external_names, ..Options::default() }).await;
        assert_eq!(fetch_with(front.address, "GET / HTTP/1.1\nHost: a.test", b"").await.status, status);
    }
}
