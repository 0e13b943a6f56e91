//! The objects that the operator's users have today, applied as they are: everything is served.

use anyhow::{Context, Result};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use e2e::lab::install::Vrata;
use e2e::lab::{Lab, app};
use e2e::{dns, eventually};
use serde_json::Value;

use super::ingress::reasons;

/// Hosts, and what a client that comes from the pods' network gets.
const SITES: [(&str, u16); 6] = [
    ("portal.dyn.cloud.e-infra.cz", 200),
    ("desktop.lmi.dyn.cloud.e-infra.cz", 200),
    ("fenced.dyn.cloud.e-infra.cz", 403),
    ("notebook.dyn.cloud.e-infra.cz", 401),
    ("www.lab.example", 200),
    ("hub.dyn.cloud.e-infra.cz", 302),
];

/// Reasons of Events about what is not served as it was asked for.
const UNSERVED: [&str; 4] = ["NotSupportedYet", "Refused", "InvalidAnnotation", "MissingReference"];

/// From the app to the login service, back with a session, and in.
async fn logs_in(vrata: &Vrata, host: &str) -> Result<()> {
    let client = vrata.https()?;
    let sent = client.get(host, "/lab?x=1").await?;
    let page = format!("/oauth2/start?rd=https%3A%2F%2F{host}%2Flab%3Fx%3D1");
    assert_eq!((sent.status, sent.header("location")), (302, format!("https://{host}{page}").as_str()));
    let logged_in = eventually("the login service answers", async || client.get(host, &page).await, |answer| answer.status == 302).await?;
    assert_eq!(logged_in.header("location"), format!("https://{host}/lab?x=1"));
    let session = logged_in.header("set-cookie").split(';').next().unwrap_or_default();
    let answer = vrata.https()?.header("cookie", session).get(host, "/lab?x=1").await?;
    assert_eq!((answer.status, answer.text().lines().next()), (200, Some("GET /lab?x=1")));
    let other = vrata.https()?.header("cookie", "_oauth2_proxy=mallory@example.org").get(host, "/").await?;
    assert_eq!(other.status, 403);
    Ok(())
}

async fn address(lab: &Lab, service: &str) -> Result<String> {
    let ip = |service: &Value| service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str().map(str::to_owned);
    let service = lab.kubectl().get_until("it has an address", "service", "science", service, |service| ip(service).is_some()).await?;
    ip(&service).context("no address")
}

#[test]
fn the_objects_of_the_operators_users_are_served_as_they_are() -> Result<()> {
    Lab::shared()?.run(async |lab| {
        let (vrata, kubectl) = (lab.vrata().await?, lab.kubectl());
        let second_issuer = vrata.issuer().replace("letsencrypt-prod", "letsencrypt-prod-dns");
        kubectl
            .apply(&[&second_issuer, &app::echo("science"), include_str!("operator.yaml")].map(|text| text.trim_end_matches("---\n")).join("\n---\n"))
            .await?;

        let client = vrata.https()?;
        for (host, status) in SITES {
            eventually(&format!("{host} is served"), async || client.get(host, "/").await, |answer| answer.status == status).await?;
        }
        let known = vrata.https()?.header("authorization", &format!("Basic {}", BASE64_STANDARD.encode("alice:correct horse")));
        let answer = known.get("notebook.dyn.cloud.e-infra.cz", "/").await?;
        assert_eq!(answer.status, 200);

        logs_in(vrata, "hub.dyn.cloud.e-infra.cz").await?;
        for ingress in ["portal", "desktop", "fenced", "notebook", "own-domain", "hub", "hub-oauth2"] {
            let reasons = reasons(lab, "science", ingress).await?;
            assert!(!reasons.iter().any(|reason| UNSERVED.contains(&reason.as_str())), "{ingress}: {reasons:?}");
        }

        let (postgres, vnc, media) = (address(lab, "postgres").await?, address(lab, "vnc").await?, address(lab, "media").await?);
        assert_eq!(postgres, vnc, "they share an address");
        assert_ne!(postgres, media);
        for (name, address) in [("postgres", &postgres), ("vnc", &vnc), ("media", &media)] {
            let asked = async || dns::dig(vrata.dns(), &[&format!("{name}.dyn.cloud.e-infra.cz")]).await;
            eventually(&format!("{name} has its name"), asked, |answer| answer == address).await?;
        }

        let ready = |certificate: &Value| certificate["status"]["conditions"][0]["status"] == "True";
        kubectl.get_until("the Certificate is ready", "certificate", "science", "postgres", ready).await?;
        for secret in ["postgres-tls", "desktop-tls", "lab-example-tls"] {
            let secret = kubectl.get_until("its Secret is written", "secret", "science", secret, |_| true).await?;
            assert_eq!(secret["type"], "kubernetes.io/tls");
        }
        Ok(())
    })
}
