//! Where objects come from, and who leads: a directory, where this process is alone, or a cluster, where it is one of several replicas.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use prometheus::Registry;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Addresses, RunError, asked_to_stop, options, spawned};
use crate::compile::Settings;
use crate::config::{self, Config};
use crate::effects::{Effects, EffectsError};
use crate::lease::{Candidate, Grants, Leadership, Timing};
use crate::replicas::watch::Watching;
use crate::source::{self, kubernetes};
use crate::state::StateDir;

/// Name of the Lease.
const LEASE: &str = "vrata-leader";
/// How long the first pass waits for what replicas share, should the API server be away.
const SHARED_PATIENCE: Duration = Duration::from_secs(10);

/// Where objects are read from.
pub(super) enum Source {
    /// Manifests, whose first read is done, and the store beside them.
    Manifests(source::Watched, Arc<acme::FileStore>),
    /// A cluster, which nobody has asked yet, and where to keep what is read.
    Cluster(config::Kubernetes, StateDir),
}

impl Source {
    /// Reads the manifests, where there are any.
    ///
    /// # Errors
    /// When they cannot be read, or the store beside them cannot be used.
    pub(super) fn open(config: &Config, state: &StateDir) -> Result<Self, RunError> {
        match &config.source.kubernetes {
            Some(cluster) => Ok(Self::Cluster(cluster.clone(), state.clone())),
            None => {
                let store = acme::FileStore::open(state.path())?;
                Ok(Self::Manifests(source::watch(&config.source.manifests)?, Arc::new(store)))
            }
        }
    }

    /// What is kept in the state directory.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn effects(&self, state: Arc<StateDir>) -> Result<Effects, EffectsError> {
        match self {
            Self::Manifests(..) => Effects::open(state),
            Self::Cluster(..) => Effects::in_cluster(state),
        }
    }
}

/// Where objects come from, once they do.
pub(super) enum Origin {
    /// A directory.
    Alone { watched: source::Watched, store: Arc<acme::FileStore>, leadership: Leadership },
    /// A cluster.
    Cluster(Box<Cluster>),
}

/// A cluster that is watched.
pub(super) struct Cluster {
    pub(super) client: Client,
    pub(super) namespace: String,
    pub(super) watching: Watching,
    watched: kubernetes::Watched,
    leadership: Leadership,
    candidacy: Candidacy,
}

/// Whether this process wants to lead.
enum Candidacy {
    Candidate(CancellationToken, JoinHandle<()>),
    /// What could make it lead, kept and never used.
    None {
        _grants: Grants,
    },
}

impl Origin {
    /// Waits for the first read; `None` when a stop is asked for before.
    ///
    /// # Errors
    /// When it is not known how to reach the cluster.
    pub(super) async fn new(
        source: Source,
        (config, settings): (&Config, &Settings),
        addresses: &Addresses,
        registry: &Registry,
    ) -> Result<Option<Self>, RunError> {
        let (cluster, state) = match source {
            Source::Manifests(watched, store) => return Ok(Some(Self::Alone { watched, store, leadership: Leadership::always("alone") })),
            Source::Cluster(cluster, state) => (cluster, state),
        };
        let client = kubernetes::connect(&cluster).await?;
        let stopped = asked_to_stop()?;
        tokio::pin!(stopped);
        let watched = tokio::select! {
            watched = kubernetes::watch(client.clone(), settings.clone(), state, registry) => watched?,
            () = &mut stopped => return Ok(None),
        };
        let namespace = cluster.namespace.clone();
        let mut watching = crate::replicas::watch::start(&client, &namespace, &cluster.peers_service, options::listeners(addresses));
        // What an earlier run read last is served because the API server is away: there is no use in waiting.
        let patience = if watched.reads.borrow().stale { Duration::ZERO } else { SHARED_PATIENCE };
        tokio::select! {
            shared = tokio::time::timeout(patience, watching.shared.wait_for(Option::is_some)) => if shared.is_err() {
                tracing::warn!(namespace, "what replicas share cannot be read yet; serving without it");
            },
            () = &mut stopped => return Ok(None),
        }
        let (candidacy, leadership) = Candidacy::new(config.role.controls(), client.clone(), &namespace, watched.reads.clone());
        Ok(Some(Self::Cluster(Box::new(Cluster { client, namespace, watching, watched, leadership, candidacy }))))
    }

    /// What is read.
    pub(super) fn reads(&self) -> watch::Receiver<Arc<source::Read>> {
        match self {
            Self::Alone { watched, .. } => watched.reads.clone(),
            Self::Cluster(cluster) => cluster.watched.reads.clone(),
        }
    }

    /// Whether this process leads.
    pub(super) const fn leadership(&self) -> &Leadership {
        match self {
            Self::Alone { leadership, .. } => leadership,
            Self::Cluster(cluster) => &cluster.leadership,
        }
    }

    /// Gives leadership back.
    pub(super) async fn stop(self) {
        if let Self::Cluster(cluster) = self
            && let Candidacy::Candidate(stop, task) = cluster.candidacy
        {
            stop.cancel();
            // It ends by itself, or has ended.
            let _ = task.await;
        }
    }
}

impl Candidacy {
    fn new(controls: bool, client: Client, namespace: &str, reads: watch::Receiver<Arc<source::Read>>) -> (Self, Leadership) {
        let identity = identity();
        if !controls {
            let (leadership, grants) = Leadership::contended(&identity);
            return (Self::None { _grants: grants }, leadership);
        }
        let (candidate, leadership) = Candidate::new(client, namespace, LEASE, &identity, Timing::default());
        let (stop, task) = spawned(|stop| async move {
            // What an earlier run of this process had read is good enough to be served, not to be decided on.
            let mut reads = reads;
            let fresh = async { reads.wait_for(|read| !read.stale).await.is_ok() };
            if stop.run_until_cancelled(fresh).await == Some(true) {
                candidate.run(stop).await;
            }
        });
        (Self::Candidate(stop, task), leadership)
    }
}

/// The pod's name, and something that no other process of this name ever had.
fn identity() -> String {
    let name = ["POD_NAME", "HOSTNAME"].into_iter().find_map(|variable| std::env::var(variable).ok()).filter(|name| !name.is_empty());
    format!("{}_{:08x}", name.as_deref().unwrap_or("vrata"), rand::random::<u32>())
}
