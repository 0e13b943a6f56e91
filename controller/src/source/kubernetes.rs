//! Objects from a Kubernetes cluster: the same values as from manifests, through the same reading and checking.
//!
//! ```text
//! API server ── follow (one a kind: list, then watch) ──► worker ── mirror (last good version of every object) ──┬─► Read ──► keep ──► disk
//!            ── fetch (contents of Secrets) ─────────────►        └─ vault (which Secrets' contents are wanted) ─┘
//! ```
//! Only `list`, `follow` and `fetch` speak to the API server (`once` by means of them, and no more than once); what an answer means is decided in `mirror` and `vault`, when to try again in `fault`, when to publish in
//! `burst`. Whatever the API server does, the objects that were read last stay.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::Client;
use prometheus::Registry;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Read;
use super::object::Kind;
use crate::compile::{NamedSecrets, Settings};
use crate::state::StateDir;

mod burst;
mod connect;
mod fault;
mod fetch;
mod follow;
mod keep;
mod last;
mod list;
mod metrics;
mod mirror;
pub mod once;
mod outage;
mod subject;
mod vault;
mod worker;

pub use connect::{ConnectError, connect};
use fetch::Fetches;
use follow::{Change, Follower};
use metrics::Metrics;
use subject::{Scope, Subject};
use vault::Vault;
use worker::{Outlet, Seen, Worker};

/// How many changes may wait for the worker before reading pauses.
const QUEUE: usize = 1024;

/// A cluster that is watched; dropping it ends the watch.
#[derive(Debug)]
pub struct Watched {
    /// The latest read; the first is there from the start.
    pub reads: watch::Receiver<Arc<Read>>,
    _stop: DropGuard,
}

/// Lists every kind, then keeps watching. Ends with the first read: that is there once every kind has been listed, or, when this takes long, with what an
/// earlier run kept in the state directory.
///
/// # Errors
/// When the registry has the metrics already.
pub async fn watch(client: Client, settings: Settings, state: StateDir, registry: &Registry) -> Result<Watched, prometheus::Error> {
    let metrics = Metrics::new(registry)?;
    let stop = CancellationToken::new();
    let guard = stop.clone().drop_guard();
    let followed: Vec<_> = subject::followed(settings.policy_map.as_ref()).collect();
    let awaited = followed.iter().filter_map(|(subject, _)| subject.kind()).collect();
    let (wakes, changes) = follow_all(followed, &client, &metrics, &stop);
    let (fetched, answers) = mpsc::channel(QUEUE);
    let (first, reads) = oneshot::channel();
    let worker = Worker {
        changes,
        answers,
        wakes,
        fetches: Fetches::new(client, fetched, metrics.of(Subject::Kind(Kind::Secret))),
        vault: Vault::new(settings.own_namespace.clone()),
        named: NamedSecrets::default(),
        settings,
        outlet: Outlet::First(first),
        last: keep::load(&state),
        metrics,
        seen: Seen::awaiting(awaited),
    };
    spawn(&stop, worker.run());
    let Ok(reads) = reads.await else {
        // The worker ends only with the guard, which is held here.
        return std::future::pending().await;
    };
    spawn(&stop, keep::keep(reads.clone(), state));
    Ok(Watched { reads, _stop: guard })
}

type Wakes = BTreeMap<Subject, Arc<Notify>>;

/// Starts a follower for each kind.
fn follow_all(
    followed: Vec<(Subject, Scope)>,
    client: &Client,
    metrics: &Metrics,
    stop: &CancellationToken,
) -> (Wakes, mpsc::Receiver<(Subject, Change)>) {
    let (sender, changes) = mpsc::channel(QUEUE);
    let mut wakes = Wakes::new();
    for (subject, scope) in followed {
        let wake = Arc::new(Notify::new());
        wakes.insert(subject, wake.clone());
        spawn(stop, Follower::new(client.clone(), (subject, scope), sender.clone(), wake, metrics.of(subject)).run());
    }
    (wakes, changes)
}

fn spawn(stop: &CancellationToken, task: impl Future<Output = ()> + Send + 'static) {
    let stop = stop.clone();
    tokio::spawn(async move { stop.run_until_cancelled(task).await });
}

/// What a cluster that has these objects is read as.
#[cfg(test)]
pub(crate) fn mirrored(objects: impl IntoIterator<Item = serde_json::Value>) -> Read {
    let mut mirror = mirror::Mirror::default();
    for object in objects {
        if let Some(kind) = object["kind"].as_str().and_then(Kind::named) {
            mirror.apply(kind, object);
        }
    }
    mirror.read()
}

#[cfg(test)]
mod tests;
