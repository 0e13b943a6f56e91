//! The objects that the operator's users have today, applied as they are: everything is served.

use anyhow::{Context, Result};
use base64::prelude::{BASE64_STANDARD, Engine as _};
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
    // Authentication by subrequest is not supported yet: closed, and told.
    ("hub.dyn.cloud.e-infra.cz", 503),
];

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

        let told = async || reasons(lab, "science", "hub").await;
        eventually("what is not supported is told", told, |reasons| reasons.iter().any(|reason| reason == "NotSupportedYet")).await?;

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
