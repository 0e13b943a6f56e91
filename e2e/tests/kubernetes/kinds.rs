//! Kinds whose definitions come and go while the program runs.

use anyhow::Result;
use e2e::lab::install::{self, Options, ZONE};
use e2e::lab::{Lab, app};
use e2e::{Client, eventually, manifest};
use serde_json::Value;

#[test]
fn kinds_are_picked_up_and_let_go_without_a_restart() -> Result<()> {
    Lab::start()?.run(async |lab| {
        let (kubectl, vrata) = (lab.kubectl(), install::vrata(lab, Options { kinds: false, ..Options::default() }).await?);
        let host = format!("web.{ZONE}");
        kubectl.apply(&(app::echo("apps") + &app::ingress("apps", "web", &host))).await?;
        let plain = Client::plain((install::PUBLIC, 80).into());
        eventually("it is known", async || plain.get(&host, "/").await, |answer| answer.status != 404).await?;
        let replica = vrata.ready(lab, 1).await?.remove(0);

        kubectl.apply(&install::crds()).await?;
        let objects = vrata.issuer() + "---\n" + &manifest::certificate("apps", "own", &host);
        eventually("the new kinds are taken", async || kubectl.apply(&objects).await, |()| true).await?;
        let client = vrata.https()?;
        eventually("HTTPS is trusted", async || client.get(&host, "/").await, |answer| answer.status == 200).await?;
        let ready = |certificate: &Value| certificate["status"]["conditions"][0]["status"] == "True";
        kubectl.get_until("the Certificate is ready", "certificate", "apps", "own", ready).await?;
        let secret = kubectl.get("secret", "apps", "own-tls").await?;
        assert_eq!(secret["type"], "kubernetes.io/tls");

        kubectl.run(&["delete", "crd", "certificates.cert-manager.io", "ipaddresspools.metallb.io"]).await?;
        let second = app::ingress("apps", "second", &format!("second.{ZONE}"));
        kubectl.apply(&second).await?;
        eventually("changes are still seen", async || client.get(&format!("second.{ZONE}"), "/").await, |answer| answer.status == 200).await?;
        assert_eq!(client.get(&host, "/").await?.status, 200);
        assert_eq!(vrata.ready(lab, 1).await?.remove(0), replica, "it is the same process");
        Ok(())
    })
}
