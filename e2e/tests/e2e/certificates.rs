//! Certificates: from a real ACME server, and through a kill.

use anyhow::Result;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use e2e::manifest::{App, acme_issuer};
use e2e::vrata::ZONE;
use e2e::{Backend, Client, Pebble, Setup, Vrata, eventually};
use futures::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_restarted_it_serves_the_same_certificate() -> Result<()> {
    let (backend, mut vrata) = (Backend::http().await?, Vrata::start(Setup::new()).await?);
    let host = format!("hello.{ZONE}");
    vrata.apply("hello.yaml", &App::new("hello", &host, backend.address()).manifest())?;
    let before = vrata.get_until(&host, "/", 200).await?.certificate;
    for _ in 0..3 {
        vrata.kill_and_restart().await?;
        assert_eq!(vrata.get(&host, "/").await?.certificate, before);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pebble_signs_the_zones_wildcard_and_foreign_hosts() -> Result<()> {
    let setup = Setup::new();
    let pebble = Pebble::start(setup.ports()).await?;
    let backend = Backend::http().await?;
    let vrata = Vrata::start(setup.issuer(acme_issuer(&pebble.directory(), &BASE64_STANDARD.encode(pebble.ca_pem())))).await?;
    let client = Client::trusting(vrata.ports().https, &pebble.root().await?)?;
    // The first by DNS-01 (the wildcard), the second by DNS-01 for itself, the third by HTTP-01 or TLS-ALPN-01.
    for (name, host) in [("near", format!("near.{ZONE}")), ("deep", format!("deep.near.{ZONE}")), ("foreign", "www.foreign.test".to_owned())] {
        vrata.apply(&format!("{name}.yaml"), &App::new(name, &host, backend.address()).manifest())?;
        let answer = eventually(&format!("{host} is trusted"), async || client.get(&host, "/").await, |answer| answer.status == 200).await?;
        assert_eq!(answer.text().lines().next(), Some("GET /"));
    }
    // Also where nobody asks for it: by DNS-01, kept where no tenant looks.
    for (name, host, asked) in [("bare", "bare.near", "bare.near"), ("any", "*.any.near", "one.any.near")] {
        let (host, asked) = (format!("{host}.{ZONE}"), format!("{asked}.{ZONE}"));
        vrata.apply(&format!("{name}.yaml"), &App::new(name, &host, backend.address()).without_tls_section().manifest())?;
        eventually(&format!("{asked} is trusted"), async || client.get(&asked, "/").await, |answer| answer.status == 200).await?;
        let status = vrata.status().await?;
        let told = status["hosts"].as_array().and_then(|hosts| hosts.iter().find(|told| told["host"] == *host)).map(|told| &told["tls"]);
        let secret = told.and_then(|tls| tls["secret"].as_str());
        assert!(secret.is_some_and(|secret| secret.starts_with("_platform/")) && told.is_some_and(|tls| tls["status"] == "own"), "{told:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_swaps_the_certificate_under_an_open_connection() -> Result<()> {
    let setup = Setup::new();
    let mut pebble = Pebble::prepare(setup.ports(), 20).await?;
    pebble.run().await?;
    let backend = Backend::websocket().await?;
    let vrata = Vrata::start(setup.issuer(acme_issuer(&pebble.directory(), &BASE64_STANDARD.encode(pebble.ca_pem())))).await?;
    let (client, host) = (Client::trusting(vrata.ports().https, &pebble.root().await?)?, format!("chat.{ZONE}"));
    vrata.apply("chat.yaml", &App::new("chat", &host, backend.address()).manifest())?;
    let mut socket = eventually("the WebSocket opens", async || client.websocket(&host, "/").await, |_| true).await?;
    let first = socket.get_ref().get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(|leaf| leaf.to_vec());
    assert!(first.is_some());
    // A connection that is opened during the whole of two lifetimes is always trusted.
    let mut seen = vec![first];
    while seen.len() < 3 {
        let look = async || Ok(client.get(&host, "/").await?.certificate);
        let next = eventually("another certificate is served", look, |certificate| !seen.contains(certificate)).await?;
        seen.push(next);
        socket.send(Message::text("still here")).await?;
        assert_eq!(socket.next().await.transpose()?, Some(Message::text("still here")));
    }
    assert_eq!(pebble.made().accounts, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_that_is_down_at_start_is_told_of_and_asked_again() -> Result<()> {
    let setup = Setup::new();
    let mut pebble = Pebble::prepare(setup.ports(), 7_776_000).await?;
    let backend = Backend::http().await?;
    let vrata = Vrata::start(setup.issuer(acme_issuer(&pebble.directory(), &BASE64_STANDARD.encode(pebble.ca_pem())))).await?;
    let host = format!("hello.{ZONE}");
    vrata.apply("hello.yaml", &App::new("hello", &host, backend.address()).manifest())?;
    let failing = |status: &serde_json::Value| {
        status["certificates"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|certificate| certificate["failure"].as_str().is_some_and(|said| said.contains("cannot reach")))
    };
    let status = eventually("the CA's absence is told", async || vrata.status().await, failing).await?;
    assert!(
        status["problems"].as_array().is_some_and(|problems| problems.iter().any(|problem| problem["message"].to_string().contains("cannot reach")))
    );
    pebble.run().await?;
    let client = Client::trusting(vrata.ports().https, &pebble.root().await?)?;
    eventually("HTTPS is trusted", async || client.get(&host, "/").await, |answer| answer.status == 200).await?;
    let status = eventually("nothing is failing", async || vrata.status().await, |status| !failing(status)).await?;
    assert_eq!(status["problems"], serde_json::json!([]));
    Ok(())
}
