//! The alerts and the dashboard of `deploy/` ask for metrics and labels that the program has.

use std::collections::BTreeSet;

use anyhow::Result;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use e2e::manifest::{App, Service, acme_issuer};
use e2e::metrics::{asks_for_cluster, faults, queries, scrape};
use e2e::vrata::ZONE;
use e2e::{Backend, Client, Pebble, Setup, Vrata, dns, eventually};
use hickory_proto::rr::RecordType;

#[tokio::test(flavor = "multi_thread")]
async fn alerts_and_dashboard_ask_for_metrics_that_are_there() -> Result<()> {
    let queries: Vec<String> = queries()?.into_iter().filter(|query| !asks_for_cluster(query)).collect();
    assert!(queries.len() > 40, "{queries:?}");
    let setup = Setup::new();
    let ports = setup.ports();
    // A CA that is away first makes an order fail.
    let mut pebble = Pebble::prepare(ports, 7_776_000).await?;
    let issuer = acme_issuer(&pebble.directory(), &BASE64_STANDARD.encode(pebble.ca_pem()));
    let (backend, echo) = (Backend::http().await?, Backend::tcp().await?);
    let vrata = Vrata::start(setup.issuer(issuer)).await?;
    let host = format!("hello.{ZONE}");
    vrata.apply("hello.yaml", &App::new("hello", &host, backend.address()).manifest())?;
    vrata.apply("echo.yaml", &Service::new("echo", "lab").load_balancer().port(7, "TCP", echo.address()).manifest())?;
    let admin = Client::plain(ports.admin);
    let failed = async || scrape(&admin).await;
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
        let metrics = scrape(&admin).await?;
        Ok(queries.iter().flat_map(|query| faults(query, &metrics)).collect::<BTreeSet<String>>())
    };
    eventually("every query has its metrics", look, BTreeSet::is_empty).await?;
    Ok(())
}
