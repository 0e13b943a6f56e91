//! From `kubectl apply` of an Ingress to the first good answer over verified HTTPS.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use e2e::Client;
use e2e::lab::app;
use e2e::lab::install::ZONE;
use tokio::time::sleep;

use super::{Cluster, PATIENCE, TENANT, milliseconds};
use crate::table::Table;

/// Ingresses, one after the other.
const COUNT: u32 = 50;

/// Between two questions whether the host is served.
const ASK_EVERY: Duration = Duration::from_millis(2);

pub(super) async fn run(cluster: &Cluster<'_>) -> Result<Table> {
    let replicas = cluster.replicas().await?;
    // Each by its own address: a route over several would bring the resets of closed connections to the wrong one.
    let clients = replicas.iter().map(|replica| replica.https(cluster.vrata.ca_pem())).collect::<Result<Vec<Client>>>()?;
    // The first host is there once the zone's wildcard is, and the pod.
    for (n, client) in clients.iter().enumerate() {
        time(cluster, client, &format!("warm-{n}")).await?;
    }
    let (mut whole, mut taken) = (Vec::new(), Vec::new());
    for (n, client) in (0..COUNT).zip(clients.iter().cycle()) {
        let (from_start, from_end) = time(cluster, client, &format!("apply-{n}")).await?;
        whole.push(from_start);
        taken.push(from_end);
    }
    let note = format!(
        "{COUNT} hosts of the served zone, whose wildcard is there, one after the other; of three replicas another one is asked each time. `kubectl` itself \
         needs the time between the two rows."
    );
    let mut table = Table::new("In Kubernetes: from kubectl apply to trusted HTTPS", &note, &["from", "p50", "p99"]);
    table.row(["kubectl apply begun".to_owned(), milliseconds(&whole, 0.5), milliseconds(&whole, 0.99)]);
    table.row(["kubectl apply over (0 where it was served before)".to_owned(), milliseconds(&taken, 0.5), milliseconds(&taken, 0.99)]);
    Ok(table)
}

/// Milliseconds from the start and from the end of `kubectl apply` to the first good answer.
async fn time(cluster: &Cluster<'_>, client: &Client, name: &str) -> Result<(f64, f64)> {
    let host = format!("{name}.{ZONE}");
    let manifest = app::ingress(TENANT, name, &host);
    let begun = Instant::now();
    let kubectl = cluster.lab.kubectl();
    let applied = async { kubectl.apply(&manifest).await.map(|()| Instant::now()) };
    let (applied, served) = tokio::join!(applied, served(client, &host));
    let (applied, served) = (applied?, served?);
    let since = |from: Instant| served.saturating_duration_since(from).as_secs_f64() * 1e3;
    Ok((since(begun), since(applied)))
}

/// When the host gives its first good answer.
async fn served(client: &Client, host: &str) -> Result<Instant> {
    let begun = Instant::now();
    loop {
        if client.get(host, "/").await.is_ok_and(|answer| answer.status == 200) {
            return Ok(Instant::now());
        }
        if begun.elapsed() > PATIENCE {
            bail!("{host} is not served within {} s", PATIENCE.as_secs());
        }
        sleep(ASK_EVERY).await;
    }
}
