//! One Ingress, and everything that its user waits for.

use anyhow::Result;
use e2e::lab::app;
use e2e::lab::install::{PUBLIC, ZONE};
use e2e::{Lab, dns, eventually};
use hickory_proto::rr::RecordType;
use serde_json::Value;

/// Reasons of the Events about an object.
pub(super) async fn reasons(lab: &Lab, namespace: &str, name: &str) -> Result<Vec<String>> {
    let events = lab.kubectl().list("events", namespace).await?;
    let about = events.iter().filter(|event| event["involvedObject"]["name"] == name);
    Ok(about.filter_map(|event| event["reason"].as_str()).map(str::to_owned).collect())
}

#[test]
fn an_ingress_is_served_named_and_told_of() -> Result<()> {
    Lab::shared()?.run(async |lab| {
        let (vrata, kubectl, host) = (lab.vrata().await?, lab.kubectl(), format!("hello.{ZONE}"));
        kubectl.apply(&(app::echo("hello") + &app::ingress("hello", "web", &host))).await?;
        let client = vrata.https()?;
        let answer = eventually("HTTPS is trusted", async || client.get(&host, "/there").await, |answer| answer.status == 200).await?;
        assert!(answer.text().starts_with("GET /there\n"), "{}", answer.text());
        let plain = vrata.http().get(&host, "/").await?;
        assert_eq!(plain.status, 308);
        assert_eq!(dns::dig(vrata.dns(), &[&host, "A"]).await?, PUBLIC.to_string());
        assert_eq!(dns::answers(vrata.dns(), &format!("nobody.{ZONE}"), RecordType::A).await?, [""; 0]);

        let address = |ingress: &Value| ingress["status"]["loadBalancer"]["ingress"][0]["ip"] == PUBLIC.to_string();
        let ingress = kubectl.get_until("the status tells the address", "ingress", "hello", "web", address).await?;
        let told = async || reasons(lab, "hello", "web").await;
        eventually("Events tell", told, |reasons| reasons.iter().any(|reason| reason == "NameServed")).await?;

        // Another object makes another pass; it writes nothing about what has not changed.
        kubectl.apply(&app::ingress("hello", "second", &format!("second.{ZONE}"))).await?;
        kubectl.get_until("the second has its status", "ingress", "hello", "second", address).await?;
        let now = kubectl.get("ingress", "hello", "web").await?;
        assert_eq!(now["metadata"]["resourceVersion"], ingress["metadata"]["resourceVersion"]);

        kubectl.run(&["delete", "ingress", "web", "--namespace", "hello"]).await?;
        eventually("it is served no more", async || client.get(&host, "/").await, |answer| answer.status == 404).await?;
        Ok(())
    })
}
