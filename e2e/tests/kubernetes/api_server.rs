//! An API server that is away, or never answers: what is served goes on, even after a restart.

use anyhow::{Context, Result};
use e2e::lab::install::{self, Options, ZONE};
use e2e::lab::{Lab, app};
use e2e::{dns, eventually};
use nix::sys::signal::Signal;

#[test]
fn what_is_served_goes_on_without_the_api_server() -> Result<()> {
    Lab::start()?.run(async |lab| {
        let (kubectl, vrata) = (lab.kubectl(), install::vrata(lab, Options::default()).await?);
        let (host, later) = (format!("web.{ZONE}"), format!("later.{ZONE}"));
        kubectl.apply(&(app::echo("apps") + &app::ingress("apps", "web", &host))).await?;
        let client = vrata.https()?;
        let served = async || client.get(&host, "/").await;
        eventually("it is served", served, |answer| answer.status == 200).await?;
        let replica = vrata.ready(lab, 1).await?.remove(0);
        let pods = kubectl.list("pods", "apps").await?;
        let address = pods.iter().find_map(|pod| pod["status"]["podIP"].as_str()).context("the pod has no address")?;
        let endpoint = format!(r#""addresses":["{address}"],"conditions":{{"ready":true"#);
        let last = async || lab.file("state", "cluster/last.json");
        let is_whole = |last: &String| [&host, "wildcard-", &endpoint].iter().all(|part| last.contains(*part));
        eventually("it is kept on disk", last, is_whole).await?;

        lab.signal_api_server(Signal::SIGSTOP)?;
        assert_eq!(served().await?.status, 200);
        lab.signal_api_server(Signal::SIGCONT)?;
        lab.kill_api_server()?;
        eventually("it is away", async || Ok(kubectl.run(&["get", "nodes"]).await.is_err()), |away| *away).await?;
        assert_eq!(served().await?.status, 200);

        // Nothing but what lies on disk is there for it now.
        lab.signal(&replica, Signal::SIGKILL)?;
        eventually("it has ended", async || Ok(served().await.is_err()), |ended| *ended).await?;
        eventually("it serves from disk", served, |answer| answer.status == 200).await?;
        assert_eq!(dns::dig(vrata.dns(), &[&host]).await?, install::PUBLIC.to_string());

        lab.start_api_server()?;
        let web = app::ingress("apps", "later", &later);
        eventually("the API server is back", async || kubectl.apply(&web).await, |()| true).await?;
        eventually("what is new is served", async || client.get(&later, "/").await, |answer| answer.status == 200).await?;
        Ok(())
    })
}
