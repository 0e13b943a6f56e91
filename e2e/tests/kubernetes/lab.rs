//! The lab itself.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;
use e2e::lab::app;
use e2e::{Client, Lab, eventually};

/// The pod of a namespace, as a client has it.
async fn pod(lab: &Lab, namespace: &str) -> Result<Client> {
    let address = async || {
        let pods = lab.kubectl().list("pods", namespace).await?;
        Ok(pods.first().and_then(|pod| pod["status"]["podIP"].as_str()).map(str::to_owned))
    };
    let address = eventually("the pod has an address", address, Option::is_some).await?.unwrap();
    Ok(Client::plain(SocketAddr::new(address.parse()?, 8080)))
}

#[test]
fn what_is_applied_runs_and_nothing_is_left_behind() -> Result<()> {
    let lab = Lab::start()?;
    lab.run(async |lab| {
        lab.kubectl().apply(&app::echo("apps")).await?;
        let client = pod(lab, "apps").await?;
        let answer = eventually("the pod answers", async || client.get("echo", "/hello").await, |answer| answer.status == 200).await?;
        assert!(answer.text().starts_with("GET /hello\n"), "{}", answer.text());
        let ready = |slices: &Vec<serde_json::Value>| slices.iter().any(|slice| slice["endpoints"][0]["conditions"]["ready"] == true);
        eventually("its endpoint is ready", async || lab.kubectl().list("endpointslices", "apps").await, ready).await?;
        lab.kubectl().run(&["delete", "namespace", "apps", "--wait=false"]).await?;
        eventually("it is gone", async || Ok(client.get("echo", "/").await.is_err()), |gone| *gone).await?;
        Ok(())
    })?;
    let (process, kubeconfig) = (format!("/proc/{}", lab.process()?), lab.kubeconfig());
    drop(lab);
    assert!(!Path::new(&process).exists() && !kubeconfig.exists());
    Ok(())
}

#[test]
fn the_api_server_can_be_killed_and_started_again() -> Result<()> {
    let lab = Lab::start()?;
    lab.run(async |lab| {
        let kubectl = lab.kubectl();
        kubectl.run(&["create", "namespace", "kept"]).await?;
        lab.kill_api_server()?;
        eventually("it is away", async || Ok(kubectl.run(&["get", "namespaces"]).await.is_err()), |away| *away).await?;
        lab.start_api_server()?;
        eventually("it is back", async || kubectl.run(&["get", "namespace", "kept"]).await, |_| true).await?;
        Ok(())
    })
}
