//! The steps of docs/migration.md: beside ingress-nginx on its Ingresses without a write, then the statuses of ingress-nginx and MetalLB handed over.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use e2e::lab::install::{NAMESPACE, Options, PUBLIC, Replica, ZONE};
use e2e::lab::{app, install};
use e2e::{Client, Lab, eventually};
use serde_json::{Value, json};

/// What ingress-nginx and MetalLB had written.
const OF_NGINX: &str = r#"{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.200"}]}}}"#;
const OF_METALLB: &str = r#"{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.70"}]}}}"#;

/// Writes a status as another controller does.
async fn status_of(lab: &Lab, manager: &str, (kind, name): (&str, &str), status: &str) -> Result<()> {
    let manager = format!("--field-manager={manager}");
    let patch = ["-n", "old", "patch", kind, name, "--subresource=status", "--type=merge", &manager, "-p", status];
    lab.kubectl().run(&patch).await.map(drop)
}

/// The program anew, with more of the configuration; a changed ConfigMap is read at the start only.
async fn install(lab: &Lab, configuration: &str) -> Result<Replica> {
    let options = Options { configuration: configuration.to_owned(), ..Options::default() };
    let vrata = install::vrata(lab, options).await?;
    let before = vrata.replicas(lab).await?;
    let rollout = async |verb: &str| lab.kubectl().run(&["-n", NAMESPACE, "rollout", verb, "deployment/vrata"]).await;
    rollout("restart").await?;
    rollout("status").await?;
    let fresh = async || Ok(vrata.ready(lab, 1).await?.into_iter().find(|replica| !before.contains(replica)));
    eventually("the pod is another", fresh, Option::is_some).await?.context("there is one")
}

fn addresses(object: &Value) -> &Value {
    &object["status"]["loadBalancer"]["ingress"]
}

fn conflicts(status: &Value) -> Vec<String> {
    let problems = status["problems"].as_array().into_iter().flatten();
    let found = problems.filter(|problem| problem["reason"] == "StatusConflict");
    found.filter_map(|problem| problem["object"]["kind"].as_str()).map(str::to_owned).collect()
}

#[test]
fn statuses_of_others_are_left_alone_until_they_are_handed_over() -> Result<()> {
    Lab::start()?.run(async |lab| {
        let (kubectl, host) = (lab.kubectl(), format!("old.{ZONE}"));
        kubectl.apply(&(app::echo("old") + &app::ingress("old", "web", &host) + &app::load_balancer("old", "db", &format!("db.{ZONE}")))).await?;
        status_of(lab, "nginx-ingress-controller", ("ingress", "web"), OF_NGINX).await?;
        status_of(lab, "controller", ("service", "db"), OF_METALLB).await?;

        // Beside the others: it serves what they serve, and writes nothing.
        let beside = install(lab, "role: gateway\n").await?;
        let client = Client::plain(SocketAddr::new(beside.address, 80));
        eventually("it serves", async || client.get(&host, "/").await, |answer| [200, 308].contains(&answer.status)).await?;
        assert_eq!(addresses(&kubectl.get("ingress", "old", "web").await?), &json!([{"ip": "192.0.2.200"}]));
        assert_eq!(kubectl.list("leases", NAMESPACE).await?, Vec::<Value>::new());

        // It leads: what others have written is told of, and stays.
        let alone = install(lab, "role: all\n").await?;
        let told = |status: &Value| conflicts(status).contains(&"Ingress".to_owned());
        eventually("the conflict is told", async || alone.status().await, told).await?;
        assert_eq!(addresses(&kubectl.get("ingress", "old", "web").await?), &json!([{"ip": "192.0.2.200"}]));
        let held = |service: &Value| addresses(service)[0]["ip"] == "192.0.2.70";
        assert!(held(&kubectl.get("service", "old", "db").await?));

        // Handed over, as the guide says.
        status_of(lab, "kubectl", ("ingress", "web"), r#"{"status":{"loadBalancer":null}}"#).await?;
        hand_over(lab, &kubectl.get("service", "old", "db").await?).await?;
        let ours = |ingress: &Value| addresses(ingress)[0]["ip"] == PUBLIC.to_string();
        kubectl.get_until("the status is ours", "ingress", "old", "web", ours).await?;
        let taken = |service: &Value| held(service) && addresses(service)[0]["ipMode"] == "Proxy";
        kubectl.get_until("the allocation is ours", "service", "old", "db", taken).await?;
        eventually("nothing is in conflict", async || alone.status().await, |status| conflicts(status).is_empty()).await?;
        Ok(())
    })
}

/// Applies the status that a Service has in the name of vrata, with its ports: what differs from what was there belongs to whoever applies it.
async fn hand_over(lab: &Lab, service: &Value) -> Result<()> {
    let ports: Vec<Value> =
        service["spec"]["ports"].as_array().into_iter().flatten().map(|port| json!({"port": port["port"], "protocol": port["protocol"]})).collect();
    let mut entries = addresses(service).clone();
    for entry in entries.as_array_mut().into_iter().flatten() {
        entry["ports"] = json!(ports);
    }
    let metadata = json!({"name": service["metadata"]["name"], "namespace": service["metadata"]["namespace"]});
    let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "status": {"loadBalancer": {"ingress": entries}}});
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), object.to_string())?;
    let (apply, path) = (["apply", "--server-side", "--subresource=status", "--field-manager=vrata", "--force-conflicts", "-f"], file.path());
    lab.kubectl().run(&[&apply[..], &[&*path.to_string_lossy()]].concat()).await.map(drop)
}
