//! How long nobody allocates addresses after the leader is killed.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Cluster, PATIENCE, TENANT};
use crate::table::{Table, quantile};

/// Leaders that are killed, one after the other.
const ROUNDS: u32 = 5;

/// Between two looks at the Service.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(super) async fn run(cluster: &Cluster<'_>) -> Result<Table> {
    let usual = allocation(cluster, "usual").await?;
    let mut killed = Vec::new();
    for round in 0..ROUNDS {
        cluster.replicas().await?;
        let leader = cluster.vrata.leader(cluster.lab).await?;
        cluster.lab.signal(&leader, Signal::SIGKILL)?;
        killed.push(allocation(cluster, &format!("killed-{round}")).await?);
    }
    cluster.replicas().await?;
    let note = format!(
        "From a Service of type LoadBalancer created to the address in its status: with a leader, and created as soon as the leader is killed with SIGKILL \
         ({ROUNDS} times). The Lease decides: nobody may take it before it has run out."
    );
    let mut table = Table::new("In Kubernetes: leader killed to next allocation", &note, &["leader", "median", "longest"]);
    let seconds = |value: f64| format!("{value:.2} s");
    table.row(["is there".to_owned(), seconds(usual), seconds(usual)]);
    table.row(["killed".to_owned(), seconds(quantile(&killed, 0.5)), seconds(quantile(&killed, 1.0))]);
    Ok(table)
}

/// Seconds until a new Service has its address.
async fn allocation(cluster: &Cluster<'_>, name: &str) -> Result<f64> {
    let path = format!("/api/v1/namespaces/{TENANT}/services");
    let begun = Instant::now();
    cluster.api.create(&path, &service(name)).await?;
    loop {
        let service = cluster.api.get(&format!("{path}/{name}")).await?;
        if service["status"]["loadBalancer"]["ingress"][0]["ip"].is_string() {
            return Ok(begun.elapsed().as_secs_f64());
        }
        if begun.elapsed() > PATIENCE {
            bail!("{name} has no address within {} s", PATIENCE.as_secs());
        }
        sleep(LOOK_EVERY).await;
    }
}

fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": TENANT},
        "spec": {"type": "LoadBalancer", "selector": {"app": "echo"}, "ports": [{"port": 5432, "targetPort": 7000}]},
    })
}
