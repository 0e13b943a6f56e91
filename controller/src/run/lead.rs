//! What only the leader does: orders certificates, publishes challenges, reserves serials, writes statuses. It starts with each term of leadership and ends
//! with it; what a term knew is not used in the next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use acme::{Engine, Held, SecretName, Store, WantedSet};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use prometheus::{IntGauge, Registry};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::origin::Origin;
use super::{Addresses, RunError, options};
use crate::admission::shared;
use crate::cluster;
use crate::cluster_store::ClusterStore;
use crate::config::{Config, Role};
use crate::lease::Leadership;
use crate::pass::Outlets;
use crate::replicas::conditional::Conditional;
use crate::replicas::held::deleted;
use crate::replicas::publish;
use crate::source;

/// Pause before the store is read again after it could not be.
const PAUSE: Duration = Duration::from_secs(2);
/// Orders at once with one issuer.
const ORDERS: usize = 8;

/// What the leader does.
pub(super) struct Lead {
    leadership: Leadership,
    engine: Option<EngineParts>,
    /// What the engine holds; `None` until it has started for the first time, nothing while another leads.
    held: watch::Sender<Option<Arc<Held>>>,
    cluster: Option<ClusterParts>,
}

/// What an engine is started with.
struct EngineParts {
    store: Stores,
    wanted: watch::Receiver<Arc<WantedSet>>,
    options: acme::Options,
    metrics: acme::Metrics,
}

/// Where certificates are kept.
enum Stores {
    Files(Arc<acme::FileStore>),
    Cluster(Client, String),
}

/// What is written to a cluster.
struct ClusterParts {
    client: Client,
    namespace: String,
    serials: watch::Receiver<Arc<BTreeMap<String, u32>>>,
    /// Names of the webhook and its configuration, where there is a webhook.
    admission: Option<(Vec<String>, String)>,
    /// 1 while this process leads.
    leads: IntGauge,
    reads: watch::Receiver<Arc<source::Read>>,
    writer: cluster::Writer,
    passes: watch::Receiver<Option<Arc<cluster::Pass>>>,
}

/// What passes are told by whoever leads.
pub(super) struct Told {
    /// What the engine holds; `None` as long as that has to be waited for.
    pub(super) held: watch::Receiver<Option<Arc<Held>>>,
    /// Statuses that other controllers write.
    pub(super) conflicts: watch::Receiver<Vec<crate::problem::Problem>>,
}

impl Lead {
    /// Ready for the first term.
    ///
    /// # Errors
    /// When metrics clash.
    pub(super) fn new(
        origin: &Origin,
        (config, addresses): (&Config, &Addresses),
        outlets: &Outlets,
        registry: &Registry,
    ) -> Result<(Self, Told), RunError> {
        let leadership = origin.leadership().clone();
        let cluster = match origin {
            Origin::Alone { .. } => None,
            Origin::Cluster(cluster) => {
                let settings = cluster::Settings { traffic: config.addresses.traffic, instance: leadership.identity().to_owned() };
                let leads = IntGauge::new("vrata_leader", "1 while this replica orders certificates, allocates addresses and writes statuses")?;
                registry.register(Box::new(leads.clone()))?;
                Some(ClusterParts {
                    leads,
                    reads: origin.reads(),
                    client: cluster.client.clone(),
                    namespace: cluster.namespace.clone(),
                    serials: outlets.serials.subscribe(),
                    admission: config.admission.listen.map(|_| (config.admission.names(), config.admission.configuration())),
                    writer: cluster::Writer::new(cluster.client.clone(), settings, cluster::Metrics::new(registry)?),
                    passes: outlets.cluster.subscribe(),
                })
            }
        };
        // Where only names are served nobody needs a certificate.
        let engine = (config.role != Role::Dns).then(|| EngineParts::new(origin, addresses, outlets, registry)).transpose()?;
        let is_awaited = engine.is_some() && cluster.is_none();
        let held = watch::Sender::new((!is_awaited).then(Arc::default));
        let conflicts = cluster.as_ref().map_or_else(|| watch::Sender::default().subscribe(), |cluster| cluster.writer.conflicts());
        let told = Told { held: held.subscribe(), conflicts };
        Ok((Self { leadership, engine, held, cluster }, told))
    }

    /// Leads whenever this process is to, until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut terms = self.leadership.terms();
        while !stop.is_cancelled() {
            let term = *terms.borrow_and_update();
            if let Some(cluster) = &self.cluster {
                cluster.leads.set(term.is_some().into());
            }
            let over = CancellationToken::new();
            let led = async {
                match term {
                    Some(term) => self.lead(&self.leadership.in_term(term), &over).await,
                    None => over.cancelled().await,
                }
            };
            let ends = async {
                tokio::select! {
                    () = stop.cancelled() => {},
                    changed = terms.changed() => if changed.is_err() {
                        stop.cancelled().await;
                    },
                }
                over.cancel();
            };
            tokio::join!(led, ends);
        }
    }

    /// One term; returns once everything that it started has ended.
    async fn lead(&self, leadership: &Leadership, over: &CancellationToken) {
        tokio::join!(
            self.hold_certificates(leadership, over),
            self.write(leadership, over),
            self.reserve(leadership, over),
            self.vouch(leadership, over)
        );
    }

    async fn hold_certificates(&self, leadership: &Leadership, over: &CancellationToken) {
        let Some(parts) = &self.engine else { return };
        let Some((engine, held)) = over.run_until_cancelled(parts.start(leadership)).await else { return };
        let publish = async {
            match &self.cluster {
                Some(cluster) => publish::challenges(&cluster.config_maps(leadership), held.clone()).await,
                None => std::future::pending().await,
            }
        };
        let losses = async {
            match &self.cluster {
                Some(cluster) => cluster.losses(parts.wanted.clone(), |secret| engine.lost(secret)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = over.cancelled() => {},
            () = publish => {},
            () = losses => {},
            () = relay(held.clone(), &self.held) => tracing::error!("the engine of certificates ended; what it holds stays"),
        }
        over.cancelled().await;
        engine.stop().await;
        if self.cluster.is_some() {
            self.held.send_replace(Some(Arc::default()));
        }
    }

    async fn write(&self, leadership: &Leadership, over: &CancellationToken) {
        if let Some(cluster) = &self.cluster {
            let leadership = leadership.clone();
            cluster.writer.lead(cluster.passes.clone(), Arc::new(move || leadership.is_held_now()), over.clone()).await;
        }
    }

    /// Keeps the webhook's certificate.
    async fn vouch(&self, leadership: &Leadership, over: &CancellationToken) {
        let Some(cluster) = &self.cluster else { return };
        if let Some((names, configuration)) = &cluster.admission {
            over.run_until_cancelled(shared::lead(&cluster.client, &cluster.namespace, names, configuration, leadership)).await;
        }
    }

    async fn reserve(&self, leadership: &Leadership, over: &CancellationToken) {
        if let Some(cluster) = &self.cluster {
            let config_maps = cluster.config_maps(leadership);
            over.run_until_cancelled(publish::serials(&config_maps, cluster.serials.clone())).await;
        }
    }
}

/// Hands on what the engine holds, as long as it runs.
async fn relay(mut held: watch::Receiver<Arc<Held>>, to: &watch::Sender<Option<Arc<Held>>>) {
    loop {
        let now = held.borrow_and_update().clone();
        to.send_replace(Some(now));
        if held.changed().await.is_err() {
            return;
        }
    }
}

impl ClusterParts {
    /// Tells of certificates whose Secrets somebody deletes.
    async fn losses(&self, wanted: watch::Receiver<Arc<WantedSet>>, tell: impl Fn(SecretName)) {
        let mut reads = self.reads.clone();
        let mut before = reads.borrow_and_update().clone();
        while reads.changed().await.is_ok() {
            let now = reads.borrow_and_update().clone();
            for secret in deleted(&before.objects, &now.objects, &wanted.borrow(), &self.namespace) {
                tracing::info!(%secret, "the Secret was deleted: its certificate is obtained again");
                tell(secret);
            }
            before = now;
        }
        std::future::pending::<()>().await;
    }

    fn config_maps(&self, leadership: &Leadership) -> Conditional<ConfigMap> {
        Conditional::new(self.client.clone(), &self.namespace, leadership.clone())
    }
}

impl EngineParts {
    fn new(origin: &Origin, addresses: &Addresses, outlets: &Outlets, registry: &Registry) -> Result<Self, RunError> {
        let (store, self_check) = match origin {
            Origin::Alone { store, .. } => (Stores::Files(store.clone()), acme::SelfCheck::of(options::listeners(addresses))),
            Origin::Cluster(cluster) => {
                let listeners = cluster.watching.listeners.clone();
                (Stores::Cluster(cluster.client.clone(), cluster.namespace.clone()), acme::SelfCheck { listeners, ..acme::SelfCheck::default() })
            }
        };
        let options = acme::Options { self_check, clock: Arc::new(SystemTime::now), orders_per_issuer: ORDERS };
        Ok(Self { store, wanted: outlets.wanted.subscribe(), options, metrics: acme::Metrics::register(registry)? })
    }

    /// Starts an engine, as soon as the store can be read.
    async fn start(&self, leadership: &Leadership) -> (Engine, watch::Receiver<Arc<Held>>) {
        loop {
            let store: Arc<dyn Store> = match &self.store {
                Stores::Files(store) => store.clone(),
                Stores::Cluster(client, namespace) => Arc::new(ClusterStore::new(client.clone(), namespace, leadership.clone(), Handle::current())),
            };
            match Engine::start(store, self.wanted.clone(), self.options.clone(), self.metrics.clone()).await {
                Ok(started) => return started,
                Err(error) => tracing::error!(%error, "certificates cannot be read; none is ordered until they can"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
