//! In a Kubernetes cluster (`e2e/kubelab`: etcd, kube-apiserver, controllers and three replicas on the two cores): from an applied Ingress to its first good
//! answer, thousands of objects under steady change, and how long nobody allocates after the leader is killed.

mod api;
mod apply;
mod hand_over;
mod steady;

use std::time::Duration;

use anyhow::{Context, Result};
use e2e::Lab;
use e2e::lab::install::{self, Options, Replica, Vrata};

use api::Api;

use crate::process;
use crate::setting::Setting;
use crate::table::{Table, quantile};

/// Replicas of the program.
const REPLICAS: usize = 3;

/// Namespace with a pod that answers.
const TENANT: &str = "tenant";

/// Longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster with the program installed.
struct Cluster<'a> {
    lab: &'a Lab,
    vrata: Vrata,
    api: Api,
}

/// Measures all of it. The cluster is on both cores.
pub(crate) fn run(setting: &Setting) -> Result<Vec<Table>> {
    process::use_all_cores()?;
    let lab = Lab::with(setting.vrata.clone())?;
    let tables = lab.run(async |lab| measure(lab).await);
    process::stay_on_client_core()?;
    tables
}

async fn measure(lab: &Lab) -> Result<Vec<Table>> {
    let vrata = install::vrata(lab, Options { replicas: REPLICAS, ..Options::default() }).await?;
    let cluster = Cluster { lab, vrata, api: Api::start(lab).await? };
    lab.kubectl().apply(&e2e::lab::app::echo(TENANT)).await?;
    Ok(vec![apply::run(&cluster).await?, hand_over::run(&cluster).await?, steady::run(&cluster).await?])
}

impl Cluster<'_> {
    async fn replicas(&self) -> Result<Vec<Replica>> {
        self.vrata.ready(self.lab, REPLICAS).await
    }
}

/// A process of a replica.
fn process(replica: &Replica) -> Result<u32> {
    let process = replica.process.with_context(|| format!("{} has no process here", replica.name))?;
    Ok(u32::try_from(process)?)
}

/// Values in milliseconds for a table.
fn milliseconds(values: &[f64], share: f64) -> String {
    format!("{:.0} ms", quantile(values, share))
}
