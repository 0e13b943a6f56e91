//! What the leader publishes for all replicas. Both go on until they are dropped, which happens when leadership ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use acme::{Challenges, Held};
use k8s_openapi::api::core::v1::ConfigMap;
use tokio::sync::watch;

use super::challenges::{self, with_left};
use super::conditional::{Conditional, WriteError, request};
use super::serials::{Reservations, ZONES, from_config_map, reserve, to_config_map};

/// How long what a former leader left is answered: longer than a CA takes to decide.
const LEFT: Duration = Duration::from_secs(180);
/// Pause after a failure that was tried again in vain.
const PAUSE: Duration = Duration::from_secs(1);

/// Publishes the challenges that the engine has, as soon as they change. What a former leader left stays beside them for a while: it may have told a CA, and
/// its orders are taken up again.
pub async fn challenges(config_maps: &Conditional<ConfigMap>, mut held: watch::Receiver<Arc<Held>>) {
    let mut left = left(config_maps).await;
    let forget = tokio::time::sleep(LEFT);
    tokio::pin!(forget);
    let mut published = left.clone();
    loop {
        let now = with_left(&held.borrow_and_update().challenges, &left);
        if published != now {
            match config_maps.put(challenges::to_config_map(&now)).await {
                Ok(()) => published = now,
                Err(error) => {
                    tracing::error!(%error, "challenges cannot be published; they are tried again");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            }
        }
        tokio::select! {
            () = &mut forget, if left != Challenges::default() => left = Challenges::default(),
            changed = held.changed() => if changed.is_err() {
                // The engine has ended; whoever starts the next publishes again.
                return std::future::pending().await;
            },
        }
    }
}

/// What is published when leadership begins.
async fn left(config_maps: &Conditional<ConfigMap>) -> Challenges {
    loop {
        match request(config_maps.api().get_opt(challenges::CHALLENGES)).await {
            Ok(Some(found)) => {
                config_maps.saw(&found);
                return challenges::from_config_map(&found).unwrap_or_default();
            }
            Ok(None) => return Challenges::default(),
            Err(failure) => {
                tracing::warn!(%failure, "challenges cannot be read; they are tried again");
                tokio::time::sleep(PAUSE).await;
            }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::lease::Leadership;
    use crate::replicas::fake_api::FakeApi;
    use crate::replicas::serials::Reservation;

    const CHALLENGES: &str = "/api/v1/namespaces/own/configmaps/vrata-challenges";

    fn answers(api: &FakeApi) -> Option<Challenges> {
        let found = serde_json::from_value(api.get(CHALLENGES)?).unwrap();
        Some(challenges::from_config_map(&found).unwrap())
    }

    fn txt(value: &str) -> Challenges {
        Challenges { dns01: [(format!("_acme-challenge.{value}"), vec![value.to_owned()])].into(), ..Challenges::default() }
    }

    fn holding(challenges: Challenges) -> Arc<Held> {
        Arc::new(Held { challenges, ..Held::default() })
    }

    /// Waits for what another task does.
    async fn until(met: impl Fn() -> bool) {
        while !met() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_leader_answers_for_the_former_one_until_a_ca_has_decided() {
        let api = Arc::<FakeApi>::default();
        let maps = Conditional::<ConfigMap>::new(api.client(), "own", Leadership::always("a"));
        api.set(CHALLENGES, serde_json::to_value(challenges::to_config_map(&txt("left"))).unwrap());
        let (engine, held) = watch::channel(holding(txt("1")));
        let publishing = challenges(&maps, held);
        let test = async {
            until(|| answers(&api) == Some(with_left(&txt("1"), &txt("left")))).await;
            engine.send_replace(holding(txt("2")));
            until(|| answers(&api) == Some(with_left(&txt("2"), &txt("left")))).await;
            tokio::time::sleep(LEFT).await;
            until(|| answers(&api) == Some(txt("2"))).await;
            engine.send_replace(holding(Challenges::default()));
            until(|| answers(&api) == Some(Challenges::default())).await;
        };
        tokio::select! {
            () = publishing => unreachable!("it ends with leadership only"),
            () = test => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn serials_are_reserved_when_leadership_begins_and_before_they_run_out() {
        let api = Arc::<FakeApi>::default();
        let maps = Conditional::<ConfigMap>::new(api.client(), "own", Leadership::always("a"));
        let path = "/api/v1/namespaces/own/configmaps/vrata-zones";
        api.set(path, json!({"metadata": {"name": ZONES, "namespace": "own"}, "data": {"a.test": "{\"floor\": 1, \"bound\": 100}"}}));
        let reserved = || from_config_map(&serde_json::from_value(api.get(path).unwrap()).unwrap()).unwrap().remove("a.test");
        let (wants, wanted) = watch::channel(Arc::default());
        let test = async {
            wants.send_replace(Arc::new([("a.test".to_owned(), 90)].into()));
            until(|| reserved() == Some(Reservation { floor: 100, bound: 160 })).await;
            wants.send_replace(Arc::new([("a.test".to_owned(), 150)].into()));
            until(|| reserved() == Some(Reservation { floor: 100, bound: 210 })).await;
        };
        tokio::select! {
            () = serials(&maps, wanted) => unreachable!("it ends with leadership only"),
            () = test => {}
        }
    }
}
