//! What the chart renders, in a cluster: the API server takes every field, and the program that it installs becomes ready and serves.

use std::path::Path;

use anyhow::{Context, Result};
use e2e::lab::{app, install};
use e2e::{Client, Lab, eventually};
use serde_json::Value;

/// A file of `deploy/manifests/`, with the lab's image.
fn manifests(file: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/manifests").join(file);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.replace("registry.example.org/vrata:0.1.0", "registry.example/vrata:test"))
}

/// Applies manifests as strictly as an API server can.
async fn apply(lab: &Lab, text: &str, more: &[&str]) -> Result<String> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), text)?;
    let path = file.path().to_string_lossy();
    let args = ["apply", "--server-side", "--validate=strict", "--filename", &path];
    lab.kubectl().run(&[&args, more].concat()).await
}

#[test]
fn the_api_server_takes_every_field() -> Result<()> {
    Lab::start()?.run(async |lab| {
        lab.kubectl().run(&["create", "namespace", install::NAMESPACE]).await?;
        for file in ["vrata.yaml", "vrata-hostnetwork.yaml"] {
            apply(lab, &manifests(file)?, &["--dry-run=server"]).await?;
        }
        Ok(())
    })
}

#[test]
fn the_plain_manifests_install_a_program_that_serves() -> Result<()> {
    Lab::start()?.run(async |lab| {
        let kubectl = lab.kubectl();
        apply(lab, &manifests("vrata.yaml")?, &[]).await?;
        kubectl.run(&["-n", install::NAMESPACE, "rollout", "status", "deployment/vrata", "--timeout=60s"]).await?;
        let trusted = |configuration: &Value| configuration["webhooks"][0]["clientConfig"]["caBundle"].is_string();
        kubectl.get_until("API servers know whom to trust", "validatingwebhookconfiguration", install::NAMESPACE, "vrata-admission", trusted).await?;
        let host = "hello.dyn.example.org";
        kubectl.apply(&(app::echo("hello") + &app::ingress("hello", "web", host).replace("nginx", "vrata"))).await?;
        let pods = kubectl.list("pods", install::NAMESPACE).await?;
        for pod in pods {
            let address = pod["status"]["podIP"].as_str().context("the pod has no address")?.parse()?;
            let client = Client::plain(std::net::SocketAddr::new(address, 80));
            eventually("every replica serves", async || client.get(host, "/").await, |answer| [200, 308].contains(&answer.status)).await?;
        }
        Ok(())
    })
}
