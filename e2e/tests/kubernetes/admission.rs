//! The ValidatingWebhook of an installation by the chart: the API server asks it, hears the words of the runtime, and goes on to while certificates are renewed.

mod certificates;

use anyhow::{Context, Result, ensure};
use e2e::lab::install::{NAMESPACE, ZONE};
use e2e::lab::{Lab, app, commands};
use e2e::shell::Printed;
use e2e::{Kubectl, eventually};
use serde_json::Value;

const CONFIGURATION: &str = "vrata-admission";

/// What kubectl says before the program's words.
const DENIED: &str = "admission webhook \"vrata-admission.vrata-system.svc\" denied the request: ";

/// The API server's own warning about the annotation of the class.
const DEPRECATED: &str = "kubernetes.io/ingress.class";

/// Nobody has it: an Ingress of another tenant for the host `mine`.
fn squatter(name: &str) -> String {
    app::ingress("intruder", name, &format!("mine.{ZONE}"))
}

/// Two tenants, and a host that the first has.
async fn tenants(kubectl: &Kubectl) -> Result<()> {
    kubectl.apply(&(app::echo("owner") + &app::ingress("owner", "web", &format!("mine.{ZONE}")))).await?;
    kubectl.apply(&app::echo("intruder")).await
}

/// What is said to whoever tries to store something; nothing is stored.
async fn tried(kubectl: &Kubectl, manifest: &str) -> Result<Printed> {
    kubectl.says(&["create", "--dry-run=server", "-f", "-"], manifest).await
}

/// Waits until the API server asks the webhook.
async fn asked(kubectl: &Kubectl) -> Result<Printed> {
    eventually("the webhook is asked", async || tried(kubectl, &squatter("again")).await, |said| said.err.contains(DENIED)).await
}

fn warnings(said: &Printed) -> Vec<&str> {
    said.err.lines().filter_map(|line| line.strip_prefix("Warning: ")).filter(|line| !line.contains(DEPRECATED)).collect()
}

/// `FIELD: MESSAGE` of what the runtime says about an Ingress.
async fn problem(status: impl AsyncFn() -> Result<Value>, name: &str) -> Result<String> {
    let of = |status: &Value| {
        let problems = status["problems"].as_array()?;
        let problem = problems.iter().find(|problem| problem["object"]["name"] == name && problem["severity"] != "hint")?;
        Some(format!("{}: {}", problem["field"].as_str()?, problem["message"].as_str()?))
    };
    let status = eventually("the runtime tells", async || status().await, |status| of(status).is_some()).await?;
    of(&status).context("a problem")
}

#[test]
fn the_api_server_is_told_what_the_runtime_would_say() -> Result<()> {
    Lab::start()?.run(async |lab| {
        let kubectl = lab.kubectl();
        tenants(&kubectl).await?;
        // Stored before there is a webhook: the runtime itself has to refuse it.
        kubectl.apply(&squatter("squat")).await?;
        let vrata = commands::install(lab).await?;
        let replica = vrata.leader(lab).await?;
        let runtime = problem(async || replica.status().await, "squat").await?;
        let said = asked(&kubectl).await?;
        // The API server asks any of them, and goes on where one cannot be asked yet.
        certificates::leaves(lab, &vrata).await?;
        ensure!(said.err.contains(&format!("{DENIED}{runtime}\n")), "{runtime:?} is not in {:?}", said.err);
        let stored = kubectl.says(&["create", "-f", "-"], &squatter("again")).await?;
        ensure!(stored.code != Some(0) && stored.err.contains(&runtime), "{stored:?}");

        let good = app::ingress("intruder", "good", &format!("good.{ZONE}"));
        let said = tried(&kubectl, &good).await?;
        ensure!(said.code == Some(0) && warnings(&said).is_empty(), "{said:?}");
        ensure!(kubectl.get("ingress", "intruder", "good").await.is_err(), "a dry run stores nothing");
        let said = kubectl.says(&["create", "-f", "-"], &good).await?;
        ensure!(said.code == Some(0) && warnings(&said).is_empty(), "{said:?}");
        let client = vrata.https()?;
        eventually("it is served", async || client.get(&format!("good.{ZONE}"), "/").await, |answer| answer.status == 200).await?;

        let unknown = [("nginx.ingress.kubernetes.io/mirror-target", "https://mirror.example.org")];
        let said = kubectl.says(&["create", "-f", "-"], &app::ingress_with("intruder", "warned", &format!("warned.{ZONE}"), &unknown)).await?;
        let runtime = problem(async || replica.status().await, "warned").await?;
        ensure!(said.code == Some(0) && warnings(&said) == [runtime.as_str()], "{runtime:?}: {said:?}");

        // A Service is judged as well, and an update that mends nothing is let through.
        let asks_too_much = app::load_balancer("intruder", "db", &format!("db.{ZONE}")).replace("privmuni", "nobodys");
        let said = tried(&kubectl, &asks_too_much).await?;
        ensure!(said.err.contains(DENIED) && said.err.contains("nobodys"), "{said:?}");
        address_of_another(&kubectl).await?;
        kubectl.run(&["--namespace", "intruder", "annotate", "ingress", "squat", "note=still-wrong"]).await?;
        Ok(())
    })
}

/// Who asks for an address that another tenant has is warned, and its Service is stored and waits.
async fn address_of_another(kubectl: &Kubectl) -> Result<()> {
    let (pool, ip) = ("metallb.universe.tf/address-pool: privmuni", "/status/loadBalancer/ingress/0/ip");
    kubectl.apply(&app::load_balancer("owner", "db", &format!("db.{ZONE}")).replace(pool, "note: any")).await?;
    let held = kubectl.get_until("it has an address", "service", "owner", "db", |service| service.pointer(ip).is_some()).await?;
    let address = held.pointer(ip).and_then(Value::as_str).context("an address")?;
    let asks = app::load_balancer("intruder", "db", &format!("db-2.{ZONE}")).replace(pool, &format!("metallb.io/loadBalancerIPs: {address}"));
    let taken = format!("metadata.annotations[metallb.io/loadBalancerIPs]: the address {address} is held by Service owner/db");
    let told = |said: &Printed| said.code == Some(0) && warnings(said) == [taken.as_str()];
    eventually("a dry run is warned", async || tried(kubectl, &asks).await, told).await?;
    let said = kubectl.says(&["create", "-f", "-"], &asks).await?;
    ensure!(told(&said), "{said:?}");
    let waits = |service: &Value| service.pointer("/status/conditions/0/message").is_some_and(|message| *message == taken.as_str());
    kubectl.get_until("the runtime says the same", "service", "intruder", "db", waits).await.map(drop)
}

#[test]
fn without_a_replica_objects_are_stored_or_refused_as_the_failure_policy_says() -> Result<()> {
    Lab::start()?.run(async |lab| {
        let kubectl = lab.kubectl();
        tenants(&kubectl).await?;
        let vrata = commands::install(lab).await?;
        asked(&kubectl).await?;

        upgrade(lab, 0, "Ignore").await?;
        eventually("nobody is there", async || vrata.replicas(lab).await, Vec::is_empty).await?;
        let kept = squatter("unseen");
        eventually("it is stored unseen", async || kubectl.says(&["create", "-f", "-"], &kept).await, |said| said.code == Some(0)).await?;

        upgrade(lab, 0, "Fail").await?;
        let refused = |said: &Printed| said.err.contains("failed calling webhook");
        eventually("nobody may store anything", async || tried(&kubectl, &squatter("again")).await, refused).await?;
        // The way out is open: the objects of the installation itself are not asked about.
        upgrade(lab, 1, "Fail").await?;
        let replica = vrata.ready(lab, 1).await?.remove(0);
        asked(&kubectl).await?;
        let told = problem(async || replica.status().await, "unseen").await?;
        ensure!(told.contains("mine."), "what was stored unseen is not served: {told}");
        let client = vrata.https()?;
        let host = format!("mine.{ZONE}");
        eventually("the first still has it", async || client.get(&host, "/").await, |answer| answer.status == 200).await?;
        Ok(())
    })
}

/// Changes the installation, as an operator does.
async fn upgrade(lab: &Lab, replicas: usize, policy: &str) -> Result<()> {
    let set = format!("controller.replicaCount={replicas},controller.admissionWebhooks.failurePolicy={policy}");
    let line = format!("helm upgrade vrata deploy/helm/vrata --namespace {NAMESPACE} --values my-values.yaml --set {set}");
    commands::typed(lab, &line).await.map(drop)
}
