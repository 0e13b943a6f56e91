//! Authentication by subrequest, against authentication servers on loopback.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderName, Method};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::client::{Client, fetch, fetch_with};
use super::front::{Front, Port, of};
use super::upstream::{Upstream, refused, route};
use crate::table::{AuthUrl, BasicAuth, ExternalAuth, HostPattern, PasswordHash, PathMatch, Policy, Protocol, Rule, sign_in};
use crate::{Options, Snapshot};

/// What the operator's users write.
const URL: &str = "https://$host/oauth2/auth?allowed_emails=jane@example.org";
const SIGN_IN: &str = "https://$host/oauth2/start?rd=$scheme%3A%2F%2F$host$escaped_request_uri";

fn auth(url: &str) -> ExternalAuth {
    ExternalAuth {
        url: AuthUrl::parse(url).unwrap(),
        method: None,
        sign_in: None,
        request_redirect: None,
        response_headers: vec![HeaderName::from_static("x-auth-request-user")],
        always_set_cookie: false,
    }
}

fn with_sign_in() -> ExternalAuth {
    ExternalAuth { sign_in: Some(sign_in(SIGN_IN, "rd").unwrap()), ..auth(URL) }
}

fn policy(auth: ExternalAuth) -> Policy {
    Policy { external_auth: Some(Arc::new(auth)), read_timeout: Duration::from_millis(500), ..Policy::default() }
}

/// `a.test`: everything is protected, and below `/oauth2` is the server that is asked.
fn protected(policy: Policy, app: SocketAddr, server: SocketAddr) -> Snapshot {
    let rule = |path: &str, route| Rule::new(HostPattern::Exact("a.test".into()), PathMatch::Prefix(path.into()), Arc::new(route));
    let own = Policy { read_timeout: policy.read_timeout, ..Policy::default() };
    of(vec![rule("/", route("ns", Protocol::Http, policy, &[app])), rule("/oauth2", route("ns", Protocol::Http, own, &[server]))])
}

/// Knows who has the cookie `session=jane`, keeps out `session=eve`, and fails for `session=broken`.
async fn login_server() -> Upstream {
    Upstream::answering(|request| {
        let cookie = request.headers.get("cookie").map(|value| value.to_str().unwrap()).unwrap_or_default();
        match cookie {
            "session=jane" => {
                (202, vec![("x-auth-request-user", "jane".into()), ("set-cookie", "session=jane2".into()), ("set-cookie", "seen=1".into())])
            }
            "session=eve" => (403, vec![("set-cookie", "gone=1".into())]),
            "session=broken" => (502, vec![]),
            "session=moved" => (302, vec![("location", "https://a.test/oauth2/elsewhere".into())]),
            _ => (401, vec![("www-authenticate", "Bearer".into()), ("set-cookie", "csrf=1".into())]),
        }
    })
    .await
}

fn cookies(head: &str) -> Vec<&str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
        .map(|(_, value)| value)
        .collect()
}

#[tokio::test]
async fn who_is_known_passes_with_what_the_server_says_of_them() {
    let (app, server) = (Upstream::echo().await, login_server().await);
    let front = Front::start(Port::Https, protected(policy(with_sign_in()), app.address, server.address)).await;
    for _ in 0..3 {
        let request = "POST /page?x=1 HTTP/1.1\nHost: a.test\nCookie: session=jane\nX-Auth-Request-User: root";
        let response = fetch_with(front.address, request, b"hello").await;
        assert_eq!(response.status, 200, "{response:?}");
        let text = response.text();
        assert!(text.starts_with("POST /page?x=1\n") && text.ends_with("\n\nhello"), "{text}");
        assert!(text.contains("\nx-auth-request-user: jane\n") && !text.contains("root") && !text.contains("cdn-loop"), "{text}");
        assert_eq!(cookies(&response.head), ["session=jane2", "seen=1"]);
    }
    assert_eq!(server.connections.load(Ordering::Relaxed), 1, "the connection is used again");
    let metrics = front.metrics();
    assert!(metrics.contains(r#"vrata_http_external_auth_total{host="a.test",ingress="web",namespace="ns",verdict="granted"} 3"#), "{metrics}");
}

#[tokio::test]
async fn who_is_not_known_is_sent_to_sign_in_and_who_may_not_is_refused() {
    let (app, server) = (Upstream::echo().await, login_server().await);
    let front = Front::start(Port::Https, protected(policy(with_sign_in()), app.address, server.address)).await;
    let page = "https://a.test/oauth2/start?rd=https%3A%2F%2Fa.test%2Fpage%3Fx%3D1";
    for (cookie, status, location, given) in [
        ("other=1", 302, Some(page), vec!["csrf=1"]),
        ("session=eve", 403, None, vec![]),
        ("session=broken", 500, None, vec![]),
        ("session=moved", 500, None, vec![]),
    ] {
        let response = fetch(front.address, &format!("GET /page?x=1 HTTP/1.1\nHost: A.test:8443\nCookie: {cookie}")).await;
        assert_eq!((response.status, response.header("location")), (status, location), "{cookie}");
        assert_eq!(cookies(&response.head), given, "{cookie}");
    }
    assert_eq!(app.connections.load(Ordering::Relaxed), 0, "the app sees nothing of it");
    let metrics = front.metrics();
    for (verdict, count) in [("refused", 2), ("failed", 2)] {
        let line = format!(r#"vrata_http_external_auth_total{{host="a.test",ingress="web",namespace="ns",verdict="{verdict}"}} {count}"#);
        assert!(metrics.contains(&line), "{metrics}");
    }
}

#[tokio::test]
async fn without_a_page_to_sign_in_the_servers_challenge_reaches_the_client() {
    let (app, server) = (Upstream::echo().await, login_server().await);
    for (always_set_cookie, given) in [(false, vec![]), (true, vec!["csrf=1"])] {
        let auth = ExternalAuth { always_set_cookie, ..auth(URL) };
        let front = Front::start(Port::Https, protected(policy(auth), app.address, server.address)).await;
        let response = fetch(front.address, "GET / HTTP/1.1\nHost: a.test").await;
        assert_eq!((response.status, response.header("www-authenticate")), (401, Some("Bearer")));
        assert_eq!(cookies(&response.head), given);
    }
}

#[tokio::test]
async fn cookies_come_with_failures_only_when_they_always_do() {
    let server = login_server().await;
    for (always_set_cookie, count) in [(false, 0), (true, 2)] {
        let auth = ExternalAuth { always_set_cookie, ..auth(URL) };
        let front = Front::start(Port::Https, protected(policy(auth), refused().await, server.address)).await;
        let response = fetch(front.address, "GET / HTTP/1.1\nHost: a.test\nCookie: session=jane").await;
        assert_eq!((response.status, cookies(&response.head).len()), (502, count));
    }
}

#[tokio::test]
async fn a_server_that_gives_no_verdict_closes_the_route() {
    let app = Upstream::echo().await;
    let [silent, closing, garbage] = Upstream::useless().await;
    let huge = Upstream::answering(|_| (200, vec![("x-auth-request-user", "x".repeat(40 << 10))])).await;
    let policy = Policy { read_timeout: Duration::from_millis(50), ..policy(auth(URL)) };
    for server in [silent.address, closing.address, garbage.address, huge.address, refused().await] {
        let front = Front::start(Port::Https, protected(policy.clone(), app.address, server)).await;
        assert_eq!(fetch(front.address, "GET / HTTP/1.1\nHost: a.test").await.status, 500);
    }
    for url in ["https://$host/oauth2/../x", "https://$host/%6fauth2/auth", "https://a.invalid/", "http://169.254.169.254/latest/meta-data"] {
        let snapshot = protected(Policy { external_auth: Some(Arc::new(auth(url))), ..policy.clone() }, app.address, app.address);
        let front = Front::start(Port::Https, snapshot).await;
        assert_eq!(fetch(front.address, "GET /app HTTP/1.1\nHost: a.test").await.status, 500, "{url}");
    }
    assert_eq!(app.connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_server_elsewhere_is_found_by_its_name_but_never_on_the_node_itself() {
    let (app, server) = (Upstream::echo().await, login_server().await);
    let port = server.address.port();
    for (allow_loopback_external_names, status) in [(false, 500), (true, 200)] {
        let auth = auth(&format!("http://localhost:{port}/auth"));
        let options = Options { allow_loopback_external_names, ..Options::default() };
        let front = Front::with(Port::Https, protected(policy(auth), app.address, app.address), options).await;
        for _ in 0..2 {
            assert_eq!(fetch(front.address, "GET / HTTP/1.1\nHost: a.test\nCookie: session=jane").await.status, status);
        }
    }
    assert_eq!(server.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_route_that_would_have_to_ask_itself_is_closed() {
    let app = Upstream::echo().await;
    for url in ["https://$host/app/auth", "http://$host/"] {
        let front = Front::start(Port::Https, protected(policy(auth(url)), app.address, app.address)).await;
        assert_eq!(fetch(front.address, "GET / HTTP/1.1\nHost: a.test").await.status, 500);
    }
    // A loop over the network is seen by its mark.
    let server = login_server().await;
    let front = Front::start(Port::Https, protected(policy(auth(URL)), app.address, server.address)).await;
    let looped = "GET / HTTP/1.1\nHost: a.test\nCookie: session=jane\nCDN-Loop: vrata-auth-url";
    assert_eq!(fetch(front.address, looped).await.status, 500);
    assert_eq!((app.connections.load(Ordering::Relaxed), server.connections.load(Ordering::Relaxed)), (0, 0));
}

#[tokio::test]
async fn the_server_is_asked_about_the_request_and_not_given_its_body() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let server = Upstream::answering(move |request| {
        let fields = request.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        seen.lock().unwrap().push((format!("{} {}", request.method, request.uri), fields.collect::<Vec<_>>()));
        (204, vec![])
    })
    .await;
    let app = Upstream::echo().await;
    let auth = ExternalAuth { method: Some(Method::HEAD), ..auth(URL) };
    let front = Front::start(Port::Https, protected(policy(auth), app.address, server.address)).await;
    let mut client = Client::connect(front.address).await;
    for _ in 0..2 {
        client
            .send("PUT /file HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nX-Forwarded-Host: evil\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
            .await;
        assert!(client.response(false).await.text().ends_with("hello"));
    }
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 2);
    let (line, fields) = &asked[0];
    assert_eq!(line, "HEAD /oauth2/auth?allowed_emails=jane@example.org");
    for field in [
        "host: a.test",
        "x-original-url: https://a.test/file",
        "x-original-method: PUT",
        "x-original-uri: /file",
        "x-auth-request-redirect: /file",
        "x-sent-from: nginx-ingress-controller",
        "x-real-ip: 192.0.2.7",
        "x-forwarded-proto: https",
        "x-forwarded-host: a.test",
    ] {
        assert!(fields.iter().any(|found| found == field), "{field} {fields:?}");
    }
    assert!(
        !fields.iter().any(|found| found.contains("transfer-encoding") || found.contains("content-length") || found.contains("evil")),
        "{fields:?}"
    );
}

#[tokio::test]
async fn one_of_several_restrictions_is_enough_where_any_satisfies() {
    // htpasswd: jane / secret
    let hash = PasswordHash::parse("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=").unwrap();
    let basic = Arc::new(BasicAuth { realm: "Staff".into(), users: BTreeMap::from([("jane".into(), hash)]) });
    let (app, server) = (Upstream::echo().await, login_server().await);
    const PASSWORD: &str = "Authorization: Basic amFuZTpzZWNyZXQ=";
    for (satisfy_any, network, header, status) in [
        (true, "192.0.2.0/24", "X: y", 200),
        (true, "198.51.100.0/24", "X: y", 302),
        (true, "198.51.100.0/24", PASSWORD, 200),
        (true, "198.51.100.0/24", "Cookie: session=jane", 200),
        (true, "198.51.100.0/24", "Cookie: session=eve", 302),
        (true, "198.51.100.0/24", "Cookie: session=broken", 500),
        (false, "192.0.2.0/24", "X: y", 302),
        (false, "192.0.2.0/24", PASSWORD, 302),
        (false, "192.0.2.0/24", &format!("{PASSWORD}\nCookie: session=eve"), 403),
        (false, "192.0.2.0/24", &format!("{PASSWORD}\nCookie: session=jane"), 200),
        (false, "198.51.100.0/24", &format!("{PASSWORD}\nCookie: session=jane"), 403),
    ] {
        let policy = Policy {
            satisfy_any,
            allowed_sources: Some(vec![network.parse().unwrap()]),
            basic_auth: Some(Arc::clone(&basic)),
            ..policy(with_sign_in())
        };
        let front = Front::start(Port::Https, protected(policy, app.address, server.address)).await;
        let response = fetch(front.address, &format!("GET / HTTP/1.1\nHost: a.test\nX-Auth-Request-User: root\n{header}")).await;
        assert_eq!(response.status, status, "{satisfy_any} {network} {header}");
        assert!(!response.text().contains("root"), "{response:?}");
    }
}

#[tokio::test]
async fn a_connection_that_the_server_closed_or_filled_is_not_used_again() {
    let app = Upstream::echo().await;
    let once = |body: usize| {
        move |mut tcp: TcpStream| async move {
            super::streaming::read_head(&mut tcp).await;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {body}\r\n\r\n");
            let _ = tcp.write_all(&[head.into_bytes(), vec![b'x'; body]].concat()).await;
        }
    };
    let (closes, fills) = (Upstream::raw(once(0)).await, Upstream::raw(once(1 << 20)).await);
    for server in [&closes, &fills] {
        let front = Front::start(Port::Https, protected(policy(auth(URL)), app.address, server.address)).await;
        for _ in 0..3 {
            assert_eq!(fetch(front.address, "GET / HTTP/1.1\nHost: a.test").await.status, 200);
        }
        assert_eq!(server.connections.load(Ordering::Relaxed), 3);
    }
}

#[tokio::test]
async fn a_websocket_is_asked_about_once_and_then_left_alone() {
    let (app, server) = (super::tunnel::echo().await, login_server().await);
    let front = Front::start(Port::Https, protected(policy(with_sign_in()), app.address, server.address)).await;
    let mut stranger = Client::connect(front.address).await;
    stranger.send(super::tunnel::UPGRADE).await;
    assert_eq!(stranger.head().await.0, 302);
    let mut client = Client::connect(front.address).await;
    client.send(super::tunnel::UPGRADE.replace("Host:", "Cookie: session=jane\r\nHost:")).await;
    assert_eq!(client.head().await.0, 101);
    assert_eq!(client.exactly(5).await, b"hello");
    client.send([7; 1000]).await;
    assert_eq!(client.exactly(1000).await, [7; 1000]);
    assert!(front.metrics().contains(r#"verdict="granted"} 1"#));
}
