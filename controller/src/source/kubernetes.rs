//! Objects from a Kubernetes cluster: the same values as from manifests, through the same reading and checking.
//!
//! ```text
//! API server ── follow (one a kind: list, then watch) ──► worker ── mirror (last good version of every object) ──► Read
//! ```
//! `follow` is the only part that speaks to the API server about whole kinds; what an answer means for what is read is decided in `mirror`, when to try again
//! in `fault`. Whatever the API server does, the objects that were read last stay.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::Client;
use prometheus::Registry;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Read;

mod connect;
mod fault;
mod follow;
mod metrics;
mod mirror;
mod outage;
mod subject;
mod worker;

pub use connect::{ConnectError, connect};
use follow::Follower;
use metrics::Metrics;
use subject::Subject;
use worker::Worker;

/// How many changes may wait for the worker before reading pauses.
const QUEUE: usize = 1024;

/// A cluster that is watched; dropping it ends the watch.
#[derive(Debug)]
pub struct Watched {
    /// The latest read; the first is there from the start.
    pub reads: watch::Receiver<Arc<Read>>,
    _stop: DropGuard,
}

/// Lists every kind, then keeps watching. Ends with the first read, which is there once every kind has been listed.
///
/// # Errors
/// When the registry has the metrics already.
pub async fn watch(client: Client, registry: &Registry) -> Result<Watched, prometheus::Error> {
    let metrics = Metrics::new(registry)?;
    let stop = CancellationToken::new();
    let guard = stop.clone().drop_guard();
    let (sender, events) = mpsc::channel(QUEUE);
    let mut wakes = BTreeMap::new();
    for subject in Subject::all() {
        let wake = Arc::new(Notify::new());
        wakes.insert(subject, wake.clone());
        let follower = Follower::new(client.clone(), subject, sender.clone(), wake, metrics.of(subject));
        let stop = stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(follower.run()).await });
    }
    drop(sender);
    let (first, reads) = oneshot::channel();
    let worker = Worker::new(events, wakes, first);
    tokio::spawn(async move { stop.run_until_cancelled(worker.run()).await });
    match reads.await {
        Ok(reads) => Ok(Watched { reads, _stop: guard }),
        // The worker ends only with the guard, which is held here.
        Err(_) => std::future::pending().await,
    }
}

/// What a cluster that has these objects is read as.
#[cfg(test)]
pub(crate) fn mirrored(objects: impl IntoIterator<Item = serde_json::Value>) -> Read {
    let mut mirror = mirror::Mirror::default();
    for object in objects {
        if let Some(kind) = object["kind"].as_str().and_then(super::object::Kind::named) {
            mirror.apply(kind, object);
        }
    }
    mirror.read()
}
