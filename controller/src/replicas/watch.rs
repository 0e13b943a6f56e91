//! Watches what the leader publishes for all, and where the replicas listen. Thin: what is found is read elsewhere.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use acme::{Challenges, Listeners};
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt, utils::StreamBackoff};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::challenges::{self, CHALLENGES};
use super::serials::{self, Reservations, ZONES};
use super::{ours, peers};

/// What the leader publishes for all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shared {
    /// To be answered by every replica.
    pub challenges: Challenges,
    /// Serials that may be taken.
    pub reservations: Reservations,
}

/// What is watched, as long as this is kept.
#[derive(Debug)]
pub struct Watching {
    /// What the leader publishes; `None` until it was read once.
    pub shared: watch::Receiver<Option<Arc<Shared>>>,
    /// The listeners of all replicas; `None` until they were read once.
    pub listeners: watch::Receiver<Option<Listeners>>,
    _stop: DropGuard,
}

/// Starts watching: our objects in `namespace`, and the replicas behind `service` in it. `own` are this process's listeners.
#[must_use]
pub fn start(client: &Client, namespace: &str, service: &str, own: Listeners) -> Watching {
    let stop = CancellationToken::new();
    let (tell, shared) = watch::channel(None);
    let maps = follow(Api::<ConfigMap>::namespaced(client.clone(), namespace), ours(), move |maps| {
        let now = Some(Arc::new(read(maps)));
        tell.send_if_modified(|before| std::mem::replace(before, now.clone()) != now);
    });
    let (tell, listeners) = watch::channel(None);
    let selector = format!("{}={service}", peers::SERVICE_NAME);
    let slices = follow(Api::<EndpointSlice>::namespaced(client.clone(), namespace), selector, move |slices| {
        let now = Some(peers::listeners(&own, slices.values()));
        tell.send_if_modified(|before| std::mem::replace(before, now.clone()) != now);
    });
    tokio::spawn(stop.clone().run_until_cancelled_owned(maps));
    tokio::spawn(stop.clone().run_until_cancelled_owned(slices));
    Watching { shared, listeners, _stop: stop.drop_guard() }
}

/// What cannot be read is as if it were not there: the leader writes it again.
fn read(maps: &BTreeMap<String, ConfigMap>) -> Shared {
    let challenges = maps.get(CHALLENGES).map(|map| challenges::from_config_map(map).map_err(|error| error.to_string()));
    let reservations = maps.get(ZONES).map(serials::from_config_map);
    Shared { challenges: or_default(CHALLENGES, challenges), reservations: or_default(ZONES, reservations) }
}

fn or_default<T: Default>(name: &str, read: Option<Result<T, String>>) -> T {
    read.unwrap_or_else(|| Ok(T::default())).unwrap_or_else(|error| {
        tracing::error!(config_map = name, %error, "cannot be read; it is taken as empty");
        T::default()
    })
}

/// Tells all objects of a selection, first when they were listed, then whenever one of them changes.
async fn follow<K>(api: Api<K>, selector: String, mut tell: impl FnMut(&BTreeMap<String, K>))
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let (mut found, mut listing) = (BTreeMap::new(), BTreeMap::new());
    let events: StreamBackoff<_, _> = watcher(api, watcher::Config::default().labels(&selector)).default_backoff();
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listing.clear(),
            Ok(Event::InitApply(object)) => drop(listing.insert(object.name_any(), object)),
            Ok(Event::InitDone) => {
                found = std::mem::take(&mut listing);
                tell(&found);
            }
            Ok(Event::Apply(object)) => {
                found.insert(object.name_any(), object);
                tell(&found);
            }
            Ok(Event::Delete(object)) => {
                found.remove(&object.name_any());
                tell(&found);
            }
            Err(error) => tracing::debug!(%error, selector, "cannot be watched; what was read stays"),
        }
    }
}
