//! The webhook's certificate in a cluster: one for all replicas, in a Secret of Vrata's own namespace. The leader makes it, renews it, and tells API servers
//! whom to trust (`caBundle` of the ValidatingWebhookConfiguration); every replica follows the Secret. What is due and what is written is decided by pure
//! functions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{ValidatingWebhook, ValidatingWebhookConfiguration};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::certificate::{CertificateError, Kept, renew};
use crate::lease::Leadership;
use crate::replicas::FIELD_MANAGER;
use crate::replicas::conditional::{Conditional, request};

/// The Secret.
const SECRET: &str = "vrata-admission";
const KEY: &str = "certificates.json";
/// How often it is looked at. As long as API servers and replicas differ in whom they trust, objects are stored unseen, or not at all.
const INTERVAL: Duration = Duration::from_secs(20);
/// How often, as long as there is none.
const IMPATIENCE: Duration = Duration::from_secs(2);

/// What the leader does: makes and renews the certificate, and keeps `caBundle` right. Goes on until it is dropped, which happens when leadership ends.
pub async fn lead(client: &Client, namespace: &str, names: &[String], configuration: &str, leadership: &Leadership) {
    let secrets = Conditional::<Secret>::new(client.clone(), namespace, leadership.clone());
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    loop {
        let mut kept = None;
        let updated = secrets
            .update(SECRET, |found| {
                let (now, changed) = next(found, names, SystemTime::now());
                kept = now;
                changed
            })
            .await;
        match (updated, &kept) {
            (Ok(()), Some(kept)) => publish(&configurations, configuration, kept, leadership).await,
            (Ok(()), None) => {}
            (Err(error), _) => tracing::error!(%error, "the webhook's certificate cannot be kept; it is tried again"),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// What every replica does: serves what the Secret holds. Goes on until it is dropped.
pub async fn follow(client: &Client, namespace: &str, kept: &watch::Sender<Option<Arc<Kept>>>) {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    loop {
        match request(secrets.get_opt(SECRET)).await {
            Ok(found) => {
                if let Some(read) = found.as_ref().and_then(read) {
                    kept.send_if_modified(|kept| {
                        let changed = kept.as_deref() != Some(&read);
                        if changed {
                            *kept = Some(Arc::new(read));
                        }
                        changed
                    });
                }
            }
            Err(failure) => tracing::debug!(%failure, "the webhook's certificate cannot be read now; what is served goes on"),
        }
        let pause = if kept.borrow().is_none() { IMPATIENCE } else { INTERVAL };
        tokio::time::sleep(pause).await;
    }
}

/// What is to be served, and the Secret where it has to change. One that cannot be read is made anew.
fn next(found: Option<&Secret>, names: &[String], now: SystemTime) -> (Option<Kept>, Option<Secret>) {
    let kept = found.and_then(read);
    match renew(kept.as_ref(), names, now).and_then(|renewed| Ok((secret(renewed.as_ref())?, renewed))) {
        Ok((changed, renewed)) => (renewed.or(kept), changed),
        Err(error) => {
            tracing::error!(%error, "the webhook goes on with the certificate that it has");
            (kept, None)
        }
    }
}

fn read(secret: &Secret) -> Option<Kept> {
    serde_json::from_slice(&secret.data.as_ref()?.get(KEY)?.0).ok()
}

fn secret(kept: Option<&Kept>) -> Result<Option<Secret>, CertificateError> {
    let Some(kept) = kept else { return Ok(None) };
    let data = BTreeMap::from([(KEY.to_owned(), ByteString(serde_json::to_vec(kept)?))]);
    let labels = BTreeMap::from([("app.kubernetes.io/part-of".to_owned(), "vrata".to_owned())]);
    let metadata = ObjectMeta { name: Some(SECRET.to_owned()), labels: Some(labels), ..ObjectMeta::default() };
    Ok(Some(Secret { metadata, data: Some(data), type_: Some("Opaque".to_owned()), ..Secret::default() }))
}

/// Tells API servers whom to trust.
async fn publish(configurations: &Api<ValidatingWebhookConfiguration>, name: &str, kept: &Kept, leadership: &Leadership) {
    let found = match request(configurations.get_opt(name)).await {
        Ok(Some(found)) => found,
        Ok(None) => return tracing::debug!(name, "there is no such ValidatingWebhookConfiguration; nobody asks the webhook"),
        Err(failure) => return tracing::warn!(%failure, name, "the ValidatingWebhookConfiguration cannot be read; it is tried again"),
    };
    let Some(patch) = with_bundle(&found, &kept.bundle()).filter(|_| leadership.is_held_now()) else { return };
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    if let Err(failure) = request(configurations.patch(name, &params, &Patch::Merge(patch))).await {
        tracing::warn!(%failure, name, "caBundle of the ValidatingWebhookConfiguration cannot be written; it is tried again");
    }
}

/// The change that gives the webhooks of this program the bundle; `None` where they have it. It fails where the object changed meanwhile.
fn with_bundle(found: &ValidatingWebhookConfiguration, bundle: &str) -> Option<Value> {
    let wanted = Some(ByteString(bundle.as_bytes().to_vec()));
    // What is called by URL is somebody else's, and has its own authority.
    let is_ours = |webhook: &ValidatingWebhook| webhook.client_config.service.is_some();
    let mut webhooks = found.webhooks.clone().unwrap_or_default();
    let mut changed = false;
    for webhook in webhooks.iter_mut().filter(|webhook| is_ours(webhook) && webhook.client_config.ca_bundle != wanted) {
        webhook.client_config.ca_bundle.clone_from(&wanted);
        changed = true;
    }
    changed.then(|| json!({"metadata": {"resourceVersion": found.metadata.resource_version}, "webhooks": webhooks}))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::lease::Moment;
    use crate::replicas::fake_api::FakeApi;

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_500_000)
    }

    #[test]
    fn the_secret_is_made_once_and_anew_where_it_cannot_be_read() {
        let names = vec!["vrata-admission.vrata-system.svc".to_owned()];
        let (kept, made) = next(None, &names, now());
        let made = made.unwrap();
        assert_eq!(read(&made), kept);
        assert_eq!(next(Some(&made), &names, now()), (kept.clone(), None));
        let broken = Secret { data: Some(BTreeMap::from([(KEY.to_owned(), ByteString(b"{".to_vec()))])), ..made };
        let (anew, changed) = next(Some(&broken), &names, now());
        assert!(anew != kept && changed.is_some());
    }

    #[test]
    fn only_webhooks_of_services_get_the_bundle_and_only_where_it_differs() {
        let webhook =
            |name: &str, client: Value| json!({"name": name, "clientConfig": client, "sideEffects": "None", "admissionReviewVersions": ["v1"]});
        let webhooks = [webhook("ours", json!({"service": {"name": "v", "namespace": "n"}})), webhook("other", json!({"url": "https://x.test"}))];
        let found: ValidatingWebhookConfiguration =
            serde_json::from_value(json!({"metadata": {"name": "v", "resourceVersion": "7"}, "webhooks": webhooks})).unwrap();
        let patch = with_bundle(&found, "PEM").unwrap();
        assert_eq!(patch["metadata"], json!({"resourceVersion": "7"}));
        assert_eq!(patch["webhooks"][0]["clientConfig"]["caBundle"], "UEVN");
        assert_eq!(patch["webhooks"][1]["clientConfig"], json!({"url": "https://x.test"}));
        let mut written = patch;
        written["metadata"]["name"] = "v".into();
        assert_eq!(with_bundle(&serde_json::from_value(written).unwrap(), "PEM"), None);
    }

    /// Asks until it is so.
    async fn until(mut is_so: impl FnMut() -> bool) {
        let asked = async {
            while !is_so() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), asked).await.unwrap();
    }

    #[tokio::test]
    async fn the_leader_makes_what_every_replica_serves_and_one_that_does_not_lead_makes_nothing() {
        const PATH: &str = "/api/v1/namespaces/vrata-system/secrets/vrata-admission";
        let api = Arc::<FakeApi>::default();
        let (client, names) = (api.client(), vec!["vrata-admission.vrata-system.svc".to_owned()]);
        let (leadership, grants) = Leadership::contended("a");
        let leadership = leadership.in_term(1);
        let kept = watch::Sender::default();
        let following = follow(&client, "vrata-system", &kept);
        let leading = lead(&client, "vrata-system", &names, "vrata-admission", &leadership);
        tokio::select! {
            () = following => {},
            () = leading => {},
            () = async {
                // Nothing is made as long as nobody leads.
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                assert_eq!(api.get(PATH), None);
            } => {},
        }
        grants.grant(Some(Moment::now() + Duration::from_secs(3600)));
        tokio::select! {
            () = lead(&client, "vrata-system", &names, "vrata-admission", &leadership) => {},
            () = until(|| api.get(PATH).is_some()) => {},
        }
        tokio::select! {
            () = follow(&client, "vrata-system", &kept) => {},
            () = until(|| kept.borrow().is_some()) => {},
        }
        let stored: Secret = serde_json::from_value(api.get(PATH).unwrap()).unwrap();
        assert_eq!(kept.borrow().as_deref(), read(&stored).as_ref());
    }
}
