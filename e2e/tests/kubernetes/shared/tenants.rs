//! Tenants: what one of them cannot take from another.

use anyhow::Result;
use e2e::eventually;
use e2e::lab::install::ZONE;
use e2e::lab::{Lab, app};

use super::ingress::reasons;

#[test]
fn a_host_belongs_to_the_namespace_that_had_it_first() -> Result<()> {
    Lab::shared()?.run(async |lab| {
        let (vrata, kubectl, host) = (lab.vrata().await?, lab.kubectl(), format!("mine.{ZONE}"));
        kubectl.apply(&(app::echo("owner") + &app::ingress("owner", "web", &host))).await?;
        let client = vrata.https()?;
        eventually("it is served", async || client.get(&host, "/").await, |answer| answer.status == 200).await?;
        // Even in the same second, since the greater name counts as the older one then.
        kubectl.apply(&(app::echo("intruder") + &app::ingress("intruder", "squat", &host))).await?;
        let told = async || reasons(lab, "intruder", "squat").await;
        eventually("the other is told", told, |reasons| reasons.iter().any(|reason| reason == "HostOwnedByAnother")).await?;
        assert_eq!(client.get(&host, "/").await?.status, 200, "the first still has it");
        let refused = kubectl.get("ingress", "intruder", "squat").await?;
        assert!(refused["status"]["loadBalancer"]["ingress"].is_null(), "{}", refused["status"]);
        Ok(())
    })
}
