//! Thousands of Ingresses and Services under steady change: how soon each change is served, what it asks of the API server, and what an idle replica costs.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use e2e::Client;
use e2e::lab::install::{Replica, ZONE};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use tokio::time::{interval, sleep};

use super::{Cluster, PATIENCE, milliseconds, process};
use crate::process::{cpu_of, resident};
use crate::table::Table;

const NAMESPACES: u32 = 200;
/// Ingresses, and as many Services, each with an EndpointSlice.
const SIZE: u32 = 5_000;
/// Objects that are created at the same time.
const AT_ONCE: usize = 16;
/// Changes a second.
const RATE: u32 = 50;
/// Changes in all.
const CHANGES: u32 = 1_000;
/// Between two questions whether a change is served: of dozens that wait, each is asked for, and that must not be what takes the cores.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// How long an idle cluster is watched.
const IDLE: Duration = Duration::from_secs(20);
/// Share of a core below which a replica counts as idle.
const AT_REST: f64 = 0.01;
/// How long it may take until it is: Events of thousands of new objects are written at a bounded rate.
const WORKED_OFF: Duration = Duration::from_secs(600);

pub(super) async fn run(cluster: &Cluster<'_>) -> Result<Table> {
    populate(cluster).await?;
    let replicas = cluster.replicas().await?;
    everywhere(&replicas, &host(SIZE - 1)).await?;
    let idle = idle(&replicas).await?;
    let (asked, spent, begun) = (requests(cluster)?, cpu(&replicas)?, Instant::now());
    let (answered, latencies): (Vec<f64>, Vec<f64>) = change(cluster, &replicas).await?.into_iter().unzip();
    let took = begun.elapsed();
    let spent = largest_share(&spent, &cpu(&replicas)?, took);
    let asked = requests(cluster)? - asked;
    let note = format!(
        "{SIZE} Ingresses and {SIZE} Services with an EndpointSlice each in {NAMESPACES} namespaces, three replicas. {RATE} Ingresses a second get another \
         host; a change is served when a replica, another one each time, knows the host, asked every {} ms. The two cores also run the API server, etcd and the client.",
        ASK_EVERY.as_millis()
    );
    let mut table = Table::new(&format!("In Kubernetes: {SIZE} Ingresses and Services"), &note, &["what", "value"]);
    for (until, times) in [("answered by the API server", &answered), ("served", &latencies)] {
        for (what, share) in [("p50", 0.5), ("p99", 0.99), ("longest", 1.0)] {
            table.row([format!("API request to {until}, {what} of {CHANGES}"), milliseconds(times, share)]);
        }
    }
    table.row(["requests of all replicas to the API server for each change".to_owned(), format!("{:.2}", f64::from(asked) / f64::from(CHANGES))]);
    table.row([
        "CPU of a replica during the changes, largest".to_owned(),
        format!("{:.0} % of a core, over {:.0} s", spent * 100.0, took.as_secs_f64()),
    ]);
    table.row(["memory of a replica (resident), largest".to_owned(), format!("{} MiB", memory(&replicas)?)]);
    table.row([format!("CPU of an idle replica, largest, over {} s", IDLE.as_secs()), format!("{:.2} % of a core", idle * 100.0)]);
    Ok(table)
}

async fn populate(cluster: &Cluster<'_>) -> Result<()> {
    let create = async |(path, object): (String, Value)| cluster.api.create(&path, &object).await;
    let namespaces = (0..NAMESPACES).map(|n| {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": format!("load-{n}")}});
        ("/api/v1/namespaces".to_owned(), object)
    });
    stream::iter(namespaces).map(create).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    let slices = |n| format!("/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices", namespace(n));
    let services = |n| format!("/api/v1/namespaces/{}/services", namespace(n));
    let objects = (0..SIZE).flat_map(|n| [(services(n), service(n)), (slices(n), endpoints(n)), (ingresses(n), ingress(n))]);
    stream::iter(objects).map(create).buffer_unordered(AT_ONCE).try_collect().await
}

fn namespace(n: u32) -> String {
    format!("load-{}", n % NAMESPACES)
}

fn ingresses(n: u32) -> String {
    format!("/apis/networking.k8s.io/v1/namespaces/{}/ingresses", namespace(n))
}

fn host(n: u32) -> String {
    format!("load-{n}.{ZONE}")
}

fn service(n: u32) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": format!("app-{n}")},
        "spec": {"ports": [{"port": 80, "targetPort": 8080}]},
    })
}

/// One ready endpoint of a Service, which has no selector: the cluster has no such pod.
fn endpoints(n: u32) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": format!("app-{n}"), "labels": {"kubernetes.io/service-name": format!("app-{n}")}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.20.0.1"], "conditions": {"ready": true}}],
        "ports": [{"port": 8080}],
    })
}

fn ingress(n: u32) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": format!("app-{n}"), "annotations": {"kubernetes.io/ingress.class": "nginx"}},
        "spec": {"rules": [rule(n, &host(n))]},
    })
}

fn rule(n: u32, host: &str) -> Value {
    let backend = json!({"service": {"name": format!("app-{n}"), "port": {"number": 80}}});
    json!({"host": host, "http": {"paths": [{"pathType": "ImplementationSpecific", "backend": backend}]}})
}

/// Milliseconds of each change until it is answered, and served; begun at the given rate whether the ones before are served or not.
async fn change(cluster: &Cluster<'_>, replicas: &[Replica]) -> Result<Vec<(f64, f64)>> {
    let ticks = interval(Duration::from_secs(1) / RATE);
    let begin = stream::unfold((ticks, 0..CHANGES), |(mut ticks, mut numbers)| async {
        let n = numbers.next()?;
        ticks.tick().await;
        Some((n, (ticks, numbers)))
    });
    let one = async |n: u32| -> Result<(f64, f64)> {
        let host = format!("changed-{n}.{ZONE}");
        let change = json!({"spec": {"rules": [rule(n, &host)]}});
        let (asked, answered) = cluster.api.patch(&format!("{}/app-{n}", ingresses(n)), &change).await?;
        let replica = &replicas[n as usize % replicas.len()];
        let since = |moment: Instant| (moment - asked).as_secs_f64() * 1e3;
        Ok((since(answered), since(known(replica, &host).await?)))
    };
    // Enough for all changes of ten seconds: the rate is kept also where changes are slow.
    begin.map(one).buffer_unordered(RATE as usize * 10).try_collect().await
}

/// When a replica knows a host: it is then to be asked over HTTPS.
async fn known(replica: &Replica, host: &str) -> Result<Instant> {
    let client = Client::plain(SocketAddr::new(replica.address, 80));
    let begun = Instant::now();
    while client.get(host, "/").await?.status == 404 {
        if begun.elapsed() > PATIENCE {
            bail!("{} does not know {host} within {} s", replica.name, PATIENCE.as_secs());
        }
        sleep(ASK_EVERY).await;
    }
    Ok(Instant::now())
}

async fn everywhere(replicas: &[Replica], host: &str) -> Result<()> {
    for replica in replicas {
        known(replica, host).await?;
    }
    Ok(())
}

/// What the ServiceAccount of the program has asked of the API server so far.
fn requests(cluster: &Cluster<'_>) -> Result<u32> {
    let audit = cluster.lab.audit()?;
    Ok(u32::try_from(audit.lines().filter(|line| line.contains("system:serviceaccount:vrata-system:vrata")).count())?)
}

/// Share of a core that the busiest replica uses while nothing changes, once what came before is worked off.
async fn idle(replicas: &[Replica]) -> Result<f64> {
    let begun = Instant::now();
    loop {
        let before = cpu(replicas)?;
        sleep(IDLE).await;
        let largest = largest_share(&before, &cpu(replicas)?, IDLE);
        if largest < AT_REST || begun.elapsed() > WORKED_OFF {
            return Ok(largest);
        }
    }
}

/// Microseconds that each replica has used so far.
fn cpu(replicas: &[Replica]) -> Result<Vec<f64>> {
    replicas.iter().map(|replica| Ok(cpu_of(process(replica)?)?.total())).collect()
}

/// Share of a core that the busiest used in between.
fn largest_share(before: &[f64], after: &[f64], time: Duration) -> f64 {
    after.iter().zip(before).map(|(after, before)| (after - before) / 1e6 / time.as_secs_f64()).fold(0.0, f64::max)
}

/// Of the largest replica, in MiB.
fn memory(replicas: &[Replica]) -> Result<u64> {
    let sizes = replicas.iter().map(|replica| -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", process(replica)?))?;
        Ok(resident(&status).context("no VmRSS in /proc/PID/status")? >> 10)
    });
    sizes.collect::<Result<Vec<u64>>>()?.into_iter().max().context("no replica")
}
