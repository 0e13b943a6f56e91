//! The alerts and the dashboard of `deploy/` ask for metrics and labels that the program has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use anyhow::{Context, Result};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use e2e::manifest::{App, Service, acme_issuer};
use e2e::vrata::ZONE;
use e2e::{Backend, Client, Pebble, Setup, Vrata, dns, eventually};
use hickory_proto::rr::RecordType;
use serde_json::Value;

const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/helm/vrata/files/");

/// Labels that Prometheus adds.
const OF_PROMETHEUS: [&str; 2] = ["pod", "instance"];

/// Each metric that is there, with its labels.
type Metrics = BTreeMap<String, BTreeSet<String>>;

#[tokio::test(flavor = "multi_thread")]
async fn alerts_and_dashboard_ask_for_metrics_that_are_there() -> Result<()> {
    let queries = queries()?;
    assert!(queries.len() > 40, "{queries:?}");
    let setup = Setup::new()?;
    let ports = setup.ports();
    // A CA that is away first makes an order fail.
    let mut pebble = Pebble::prepare(ports, 7_776_000).await?;
    let issuer = acme_issuer(&pebble.directory(), &BASE64_STANDARD.encode(pebble.ca_pem()));
    let (backend, echo) = (Backend::http().await?, Backend::tcp().await?);
    let vrata = Vrata::start(setup.issuer(issuer)).await?;
    let host = format!("hello.{ZONE}");
    vrata.apply("hello.yaml", &App::new("hello", &host, backend.address()).manifest())?;
    vrata.apply("echo.yaml", &Service::new("echo", "lab").load_balancer().port(7, "TCP", echo.address()).manifest())?;
    let failed = async || scrape(ports.admin).await;
    eventually("an order fails", failed, |metrics| metrics.contains_key("vrata_acme_failures_total")).await?;
    pebble.run().await?;
    let client = Client::trusting(ports.https, &pebble.root().await?)?;
    eventually("HTTPS is trusted", async || client.get(&host, "/").await, |answer| answer.status == 200).await?;
    dns::query(ports.dns, &host, RecordType::A).await?;
    // Speaking plain HTTP to the HTTPS port is a handshake that comes to nothing.
    let _ = Client::plain(ports.https).get(&host, "/").await;
    // A problem of a tenant's.
    vrata.apply("broken.yaml", &App::new("broken", &format!("broken.{ZONE}"), backend.address()).nginx("proxy-body-size", "much").manifest())?;

    let look = async || {
        let metrics = scrape(ports.admin).await?;
        Ok(queries.iter().flat_map(|query| faults(query, &metrics)).collect::<BTreeSet<String>>())
    };
    eventually("every query has its metrics", look, BTreeSet::is_empty).await?;
    Ok(())
}

/// Every query of the alerts, the dashboard's panels and its variables.
fn queries() -> Result<Vec<String>> {
    let read = |name: &str| std::fs::read_to_string(format!("{FILES}{name}")).with_context(|| format!("{FILES}{name}"));
    let alerts: Value = serde_saphyr::from_str(&read("alerts.yaml")?)?;
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")?)?;
    let items = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let rules = items(&alerts, "groups").into_iter().flat_map(|group| items(&group, "rules"));
    let targets = items(&dashboard, "panels").into_iter().flat_map(|panel| items(&panel, "targets"));
    let variables = items(&dashboard["templating"], "list").into_iter().map(|variable| variable["definition"].clone());
    let all = rules.chain(targets).map(|item| item["expr"].clone()).chain(variables);
    Ok(all.filter_map(|query| query.as_str().map(str::to_owned)).collect())
}

async fn scrape(admin: SocketAddr) -> Result<Metrics> {
    Ok(metrics(&Client::plain(admin).get("localhost", "/metrics").await?.text()))
}

/// The series of a text that Prometheus would scrape.
fn metrics(text: &str) -> Metrics {
    let mut metrics = Metrics::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        metrics.entry(name.to_owned()).or_default().extend(matched(&line[name.len()..]));
    }
    metrics
}

/// What a query asks for that is not there.
fn faults(query: &str, metrics: &Metrics) -> Vec<String> {
    let (mut faults, mut labels) = (Vec::new(), BTreeSet::from(OF_PROMETHEUS.map(str::to_owned)));
    for (start, _) in query.match_indices("vrata_") {
        let name = word(&query[start..]);
        let Some(known) = metrics.get(name) else {
            faults.push(format!("there is no metric {name}: {query}"));
            continue;
        };
        labels.extend(known.iter().cloned());
        let selector = query[start + name.len()..].strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(selector, _)| selector);
        let wrong = matched(selector).into_iter().filter(|label| !known.contains(label));
        faults.extend(wrong.map(|label| format!("{name} has no label {label}: {query}")));
    }
    let lists = query.split(" by (").skip(1).filter_map(|rest| rest.split_once(')'));
    let grouped = lists.flat_map(|(list, _)| list.split(", ")).filter(|label| !labels.contains(*label));
    faults.extend(grouped.map(|label| format!("nothing has the label {label}: {query}")));
    faults
}

/// Labels that are followed by `=`, `!=`, `=~` or `!~` and a quoted value.
fn matched(text: &str) -> BTreeSet<String> {
    let pieces: Vec<&str> = text.split('"').collect();
    // What stands between quotes is a value.
    let outside = pieces.iter().step_by(2).map(|piece| piece.trim_end_matches(['=', '~', '!']));
    let labels = outside.map(|piece| piece.rsplit(|c: char| !is_word(c)).next().unwrap_or_default());
    labels.filter(|label| label.starts_with(|c: char| c.is_ascii_lowercase())).map(str::to_owned).collect()
}

fn word(text: &str) -> &str {
    text.split(|c: char| !is_word(c)).next().unwrap_or_default()
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[test]
fn what_a_query_asks_for_in_vain_is_found() {
    let metrics = metrics("# TYPE vrata_a counter\nvrata_a{host=\"x=y\",namespace=\"n\"} 1\nvrata_b 2\n");
    assert_eq!(faults(r#"sum by (host, pod) (rate(vrata_a{namespace=~"$namespace", host!="a"}[5m])) - vrata_b"#, &metrics), Vec::<String>::new());
    let query = r#"sum by (colour) (vrata_a{size="1"}) + vrata_c"#;
    let expected =
        ["vrata_a has no label size: ", "there is no metric vrata_c: ", "nothing has the label colour: "].map(|fault| fault.to_owned() + query);
    assert_eq!(faults(query, &metrics), expected);
}
