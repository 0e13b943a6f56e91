//! Certificates: from a real ACME server, and through a kill.

use anyhow::Result;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use e2e::manifest::{App, acme_issuer};
use e2e::vrata::ZONE;
use e2e::{Backend, Client, Pebble, Setup, Vrata, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_restarted_it_serves_the_same_certificate() -> Result<()> {
    let (backend, mut vrata) = (Backend::http().await?, Vrata::start(Setup::new()?).await?);
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
    let setup = Setup::new()?;
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
    Ok(())
}
