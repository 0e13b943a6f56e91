//! What the leader publishes for all replicas. Both go on until they are dropped, which happens when leadership ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use acme::Held;
use k8s_openapi::api::core::v1::ConfigMap;
use tokio::sync::watch;

use super::challenges;
use super::conditional::{Conditional, WriteError};
use super::serials::{Reservations, ZONES, from_config_map, reserve, to_config_map};

/// Pause after a failure that was tried again in vain.
const PAUSE: Duration = Duration::from_secs(1);

/// Publishes the challenges that the engine has, as soon as they change; what a former leader left is replaced first.
pub async fn challenges(config_maps: &Conditional<ConfigMap>, mut held: watch::Receiver<Arc<Held>>) {
    let mut published = None;
    loop {
        let now = held.borrow_and_update().challenges.clone();
        if published.as_ref() != Some(&now) {
            match config_maps.put(challenges::to_config_map(&now)).await {
                Ok(()) => published = Some(now),
                Err(error) => {
                    tracing::error!(%error, "challenges cannot be published; they are tried again");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            }
        }
        if held.changed().await.is_err() {
            // The engine has ended; whoever starts the next publishes again.
            return std::future::pending().await;
        }
    }
}

/// Reserves serials for the zones, ahead of what passes want.
pub async fn serials(config_maps: &Conditional<ConfigMap>, mut wanted: watch::Receiver<Arc<BTreeMap<String, u32>>>) {
    let (mut last, mut begun) = (Reservations::new(), BTreeSet::new());
    loop {
        let now = wanted.borrow_and_update().clone();
        let is_begun = now.keys().all(|zone| begun.contains(zone));
        if !is_begun || reserve(&last, &now, &begun).is_some() {
            match raise(config_maps, &now, &begun).await {
                Ok(reservations) => {
                    last = reservations;
                    begun.extend(now.keys().cloned());
                }
                Err(error) => {
                    tracing::error!(%error, "serials cannot be reserved; zones are served under those that they have");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            }
        }
        if wanted.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

async fn raise(config_maps: &Conditional<ConfigMap>, wanted: &BTreeMap<String, u32>, begun: &BTreeSet<String>) -> Result<Reservations, WriteError> {
    let mut reserved = Reservations::new();
    config_maps
        .update(ZONES, |found| {
            let current = found.map(from_config_map).transpose().unwrap_or_else(|error| {
                tracing::error!(config_map = ZONES, error, "cannot be read; serials are reserved afresh");
                None
            });
            let current = current.unwrap_or_default();
            let next = reserve(&current, wanted, begun);
            reserved = next.clone().unwrap_or(current);
            next.as_ref().map(to_config_map)
        })
        .await?;
    Ok(reserved)
}
