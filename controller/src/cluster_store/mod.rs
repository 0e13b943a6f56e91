//! The certificates' store in a cluster: what is Vrata's own (orders, accounts, what is known of each certificate) in Secrets of its own namespace, the
//! certificates where those who asked for them look. Only the leader writes, each time over what was seen; a Secret that somebody brought is left alone.
//!
//! Calls block until the API server has done it, so they are made on threads that may.

mod ledger;
mod place;

use std::sync::Arc;

use acme::ledger::{OrderRecord, Record};
use acme::secret::{from_manifest, to_manifest};
use acme::store::{AccountRecord, Loaded, SetAside};
use acme::{HeldCertificate, SecretName, Store, StoreError, Wanted};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client};
use tokio::runtime::Handle;

use crate::lease::Leadership;
use crate::replicas::conditional::{Conditional, Failure, Retries, WriteError, request};
use crate::replicas::{FIELD_MANAGER, ours};
use ledger::{Entry, Kind};
use place::Place;

/// Objects in one answer to a list.
const PAGE: u32 = 500;

/// The store.
pub struct ClusterStore {
    client: Client,
    place: Place,
    leadership: Leadership,
    own: Arc<Conditional<Secret>>,
    runtime: Handle,
}

impl ClusterStore {
    /// A store whose own objects are in `namespace`. It waits on `runtime`, so it must not be called on one of its threads that may not block.
    #[must_use]
    pub fn new(client: Client, namespace: &str, leadership: Leadership, runtime: Handle) -> Self {
        let own = Arc::new(Conditional::new(client.clone(), namespace, leadership.clone()));
        Self { client, place: Place::new(namespace), leadership, own, runtime }
    }

    fn save(&self, kind: Kind, secret: &SecretName, value: &impl serde::Serialize) -> Result<(), StoreError> {
        let object = ledger::to_secret(kind, secret, value);
        let name = ledger::name(kind, secret);
        self.runtime.block_on(self.own.put(object)).map_err(|error| self.failed(&name, error))
    }

    fn remove(&self, kind: Kind, secret: &SecretName) -> Result<(), StoreError> {
        let name = ledger::name(kind, secret);
        self.runtime.block_on(self.own.remove(&name)).map_err(|error| self.failed(&name, error))
    }

    fn failed(&self, name: &str, error: WriteError) -> StoreError {
        of_write(format!("Secret {}/{name}", self.place.namespace()), error)
    }

    /// All objects of a selection, page by page.
    async fn list(api: &Api<Secret>, params: ListParams) -> Result<Vec<Secret>, WriteError> {
        let (mut found, mut retries, mut params) = (Vec::new(), Retries::default(), params.limit(PAGE));
        loop {
            match request(api.list(&params)).await {
                Ok(page) => {
                    found.extend(page.items);
                    match page.metadata.continue_.filter(|token| !token.is_empty()) {
                        Some(token) => params.continue_token = Some(token),
                        None => return Ok(found),
                    }
                }
                Err(failure) => retries.after(failure).await?,
            }
        }
    }

    /// Applies a certificate to where it belongs.
    async fn apply(&self, place: &SecretName, manifest: &serde_json::Value) -> Result<(), StoreError> {
        let object = format!("Secret {place}");
        let api = Api::<Secret>::namespaced(self.client.clone(), &place.namespace);
        let mut retries = Retries::default();
        loop {
            let applied = match request(api.get_opt(&place.name)).await {
                Ok(Some(found)) if !place::is_issued(&found) => return Err(StoreError::Foreign(place.clone())),
                Ok(found) => self.apply_over(&api, found.as_ref(), place, manifest).await?,
                Err(failure) => Err(failure),
            };
            match applied {
                Ok(()) => return Ok(()),
                Err(failure) => retries.after(failure).await.map_err(|error| of_write(object.clone(), error))?,
            }
        }
    }

    /// Over what an issuer wrote before, by force, if it is still the same; where there was nothing, without: what came meanwhile is somebody else's.
    async fn apply_over(
        &self,
        api: &Api<Secret>,
        found: Option<&Secret>,
        place: &SecretName,
        manifest: &serde_json::Value,
    ) -> Result<Result<(), Failure>, StoreError> {
        let mut manifest = manifest.clone();
        let mut params = PatchParams::apply(FIELD_MANAGER);
        if let Some(found) = found {
            manifest["metadata"]["uid"] = serde_json::json!(found.metadata.uid);
            manifest["metadata"]["resourceVersion"] = serde_json::json!(found.metadata.resource_version);
            params = params.force();
        }
        if !self.leadership.is_held_now() {
            return Err(StoreError::NotLeading { object: format!("Secret {place}") });
        }
        Ok(request(api.patch(&place.name, &params, &Patch::Apply(&manifest))).await.map(drop))
    }

    /// The certificates that an issuer had written, in all namespaces.
    async fn certificates(&self, loaded: &mut Loaded) -> Result<(), WriteError> {
        let all = ListParams::default().labels(place::FILTERED).fields("type=kubernetes.io/tls");
        for found in Self::list(&Api::all(self.client.clone()), all).await?.iter().filter(|found| place::is_issued(found)) {
            let (stored, secret) = self.place.names_of(found);
            let manifest = serde_json::to_vec(found).expect("a Secret has a JSON form");
            match from_manifest(&stored, &manifest) {
                Ok(certificate) => drop(loaded.certificates.insert(secret, certificate)),
                Err(error) => loaded.set_aside.push(set_aside(&stored, &error.to_string())),
            }
        }
        Ok(())
    }

    async fn ledger(&self, loaded: &mut Loaded) -> Result<(), WriteError> {
        for found in Self::list(self.own.api(), ListParams::default().labels(&ours())).await? {
            self.own.saw(&found);
            match ledger::from_secret(&found) {
                Ok(Some(Entry::Order(secret, order))) => drop(loaded.orders.insert(secret, order)),
                Ok(Some(Entry::Record(secret, record))) => drop(loaded.records.insert(secret, record)),
                Ok(None) => {}
                Err(error) => loaded.set_aside.push(set_aside(&self.place.names_of(&found).0, &error)),
            }
        }
        Ok(())
    }
}

fn set_aside(secret: &SecretName, error: &str) -> SetAside {
    SetAside { place: format!("Secret {secret}"), message: format!("cannot be read ({error}); it is as if it were not there") }
}

fn of_write(object: String, error: WriteError) -> StoreError {
    match error {
        WriteError::NotLeading => StoreError::NotLeading { object },
        other => StoreError::Remote { object, message: other.to_string() },
    }
}

impl Store for ClusterStore {
    fn load(&self) -> Result<Loaded, StoreError> {
        let mut loaded = Loaded::default();
        self.runtime.block_on(self.ledger(&mut loaded)).map_err(|error| of_write("Secrets of orders".to_owned(), error))?;
        self.runtime.block_on(self.certificates(&mut loaded)).map_err(|error| of_write("Secrets of certificates".to_owned(), error))?;
        Ok(loaded)
    }

    fn save_certificate(&self, secret: &SecretName, wanted: &Wanted, certificate: &HeldCertificate) -> Result<(), StoreError> {
        let place = self.place.of(secret);
        let mut manifest = serde_json::from_slice(&to_manifest(&place, wanted, certificate)).expect("a manifest is JSON");
        self.place.mark(secret, &mut manifest);
        self.runtime.block_on(self.apply(&place, &manifest))
    }

    fn save_record(&self, secret: &SecretName, record: &Record) -> Result<(), StoreError> {
        if *record == Record::default() { self.remove(Kind::Record, secret) } else { self.save(Kind::Record, secret, record) }
    }

    fn save_order(&self, secret: &SecretName, order: &OrderRecord) -> Result<(), StoreError> {
        self.save(Kind::Order, secret, order)
    }

    fn remove_order(&self, secret: &SecretName) -> Result<(), StoreError> {
        self.remove(Kind::Order, secret)
    }

    fn account(&self, id: &str) -> Result<Option<AccountRecord>, StoreError> {
        let name = ledger::account_name(id);
        let found = self.runtime.block_on(async {
            let mut retries = Retries::default();
            loop {
                match request(self.own.api().get_opt(&name)).await {
                    Ok(found) => return Ok(found),
                    Err(failure) => retries.after(failure).await?,
                }
            }
        });
        let Some(found) = found.map_err(|error| self.failed(&name, error))? else { return Ok(None) };
        self.own.saw(&found);
        // Another key in its place would be another account: nobody but the administrator may decide that.
        let broken = |error| StoreError::Remote {
            object: format!("Secret {}/{name}", self.place.namespace()),
            message: format!("the account cannot be read: {error}; delete the Secret to register another account"),
        };
        ledger::account_from_secret(&found).map(Some).map_err(broken)
    }

    fn save_account(&self, id: &str, account: &AccountRecord) -> Result<(), StoreError> {
        let name = ledger::account_name(id);
        self.runtime.block_on(self.own.put(ledger::account_to_secret(id, account))).map_err(|error| self.failed(&name, error))
    }
}

#[cfg(test)]
mod tests;
