//! What an operator sees: the log and the metrics.

use super::client::{Client, eventually, fetch, fetch_with};
use super::front::{Front, Port, snapshot};
use super::upstream::{Upstream, plain, refused, route};
use crate::Options;
use crate::options::AccessLog;
use crate::table::{Policy, Protocol};

#[tokio::test]
async fn nginx_line_names_the_upstream_and_every_try() {
    let up = Upstream::echo().await;
    let dead = refused().await;
    let endpoints = [dead, up.address];
    let options = Options { access_log: AccessLog::Nginx, ..Options::default() };
    let front = Front::with(Port::Https, snapshot(route("ns", Protocol::Http, Policy::default(), &endpoints)), options).await;
    let response = fetch_with(front.address, "POST /x HTTP/1.1\nHost: a.test\nX-Request-ID: abc\nUser-Agent: t\"1\"", b"hello").await;
    eventually("a line", || front.log.text().ends_with('\n')).await;
    let line = front.log.text();
    assert!(
        line.starts_with("192.0.2.7 - - [") && line.contains(&format!("] \"POST /x HTTP/1.1\" 200 {} \"-\" \"t\\x221\\x22\" ", response.body.len()))
    );
    assert!(line.contains(&format!(" [ns-web-80] [] {dead}, {} 0, {} ", up.address, response.body.len())), "{line}");
    assert!(line.ends_with(" 502, 200 abc\n"), "{line}");
}

#[tokio::test]
async fn client_that_went_away_is_499() {
    let silent = Upstream::silent().await;
    let front = Front::start(Port::Https, snapshot(plain(&silent))).await;
    let mut client = Client::connect(front.address).await;
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    eventually("the request is in flight", || front.metrics().contains("vrata_http_requests_in_flight 1")).await;
    drop(client);
    eventually("it is over", || front.metrics().contains("vrata_http_requests_in_flight 0")).await;
    let counted = r#"vrata_http_requests_total{host="a.test",ingress="web",method="GET",namespace="ns",status="499"} 1"#;
    assert!(front.metrics().contains(counted), "{}", front.metrics());
    eventually("a line", || front.log.text().contains("\"status\":499")).await;
}

#[tokio::test]
async fn clients_cannot_add_series() {
    let front = Front::start(Port::Https, crate::Snapshot::default()).await;
    for at in 0..20 {
        assert_eq!(fetch(front.address, &format!("M{at} /{at} HTTP/1.1\nHost: host-{at}.test")).await.status, 404);
    }
    eventually("all are counted", || {
        let metrics = front.metrics();
        let series: Vec<_> = metrics.lines().filter(|line| line.starts_with("vrata_http_requests_total")).collect();
        series == [r#"vrata_http_requests_total{host="",ingress="",method="other",namespace="",status="404"} 20"#]
    })
    .await;
}

#[tokio::test]
async fn series_of_routes_that_are_gone_end() {
    let up = Upstream::echo().await;
    let front = Front::start(Port::Https, snapshot(plain(&up))).await;
    assert_eq!(fetch(front.address, "GET / HTTP/1.1\nHost: a.test").await.status, 200);
    eventually("it is counted", || front.metrics().contains("ingress=\"web\"")).await;
    front.snapshots.store(std::sync::Arc::new(crate::Snapshot { generation: 1, ..crate::Snapshot::default() }));
    // No further request has to come.
    eventually("its series are gone", || !front.metrics().contains("ingress=\"web\"")).await;
}

#[tokio::test]
async fn a_request_under_way_keeps_its_route_with_its_series_and_no_configuration() {
    let silent = Upstream::silent().await;
    let front = Front::start(Port::Https, snapshot(plain(&silent))).await;
    let before = std::sync::Arc::downgrade(&front.snapshots.load());
    let mut client = Client::connect(front.address).await;
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    eventually("the upstream is asked", || silent.connections.load(std::sync::atomic::Ordering::Relaxed) == 1).await;
    front.snapshots.store(std::sync::Arc::default());
    eventually("the configuration is dropped", || before.strong_count() == 0).await;
    assert!(front.metrics().contains("ingress=\"web\""));
    drop(client);
    eventually("its series are gone", || !front.metrics().contains("ingress=\"web\"")).await;
}

#[tokio::test]
async fn no_log_is_written_where_none_is_wanted() {
    let up = Upstream::echo().await;
    let options = Options { access_log: AccessLog::Off, ..Options::default() };
    let front = Front::with(Port::Https, snapshot(plain(&up)), options).await;
    assert_eq!(fetch(front.address, "GET / HTTP/1.1\nHost: a.test").await.status, 200);
    eventually("it is counted", || front.metrics().contains("status=\"200\"} 1")).await;
    assert_eq!(front.log.text(), "");
}
