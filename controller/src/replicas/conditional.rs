//! Writes objects that only the leader writes. Each write is made only while leadership is held, and only over what was seen: one that a stopped process
//! sends late meets another version and fails.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::lease::Leadership;

/// How long one request may take.
const LONGEST_REQUEST: Duration = Duration::from_secs(5);
/// How long it is tried while the API server is away.
const PATIENCE: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Why something was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// This process may not write.
    #[error("another replica leads")]
    NotLeading,
    /// The API server refused.
    #[error("the API server refused: {0}")]
    Refused(String),
    /// The API server was away, or the object changed again and again.
    #[error("the API server did not do it in time: {0}")]
    Unavailable(String),
}

/// What came of one request.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The object is another one than was thought.
    #[error("the object is not there, or has been changed meanwhile: {0}")]
    Conflict(String),
    /// Asking again may help.
    #[error("the API server did not do it: {0}")]
    Transient(String),
    /// Asking again does not help.
    #[error("the API server refused: {0}")]
    Refused(String),
}

impl Failure {
    /// What an error of the client means.
    #[must_use]
    pub fn of(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if matches!(status.code, 404 | 409) => Self::Conflict(status.message.clone()),
            kube::Error::Api(status) if status.code == 429 || status.code >= 500 => Self::Transient(status.message.clone()),
            kube::Error::Api(status) => Self::Refused(status.message.clone()),
            other => Self::Transient(other.to_string()),
        }
    }
}

/// Awaits one request.
///
/// # Errors
/// When it failed or took too long.
pub async fn request<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    match tokio::time::timeout(LONGEST_REQUEST, request).await {
        Ok(done) => done.map_err(|error| Failure::of(&error)),
        Err(_) => Err(Failure::Transient(format!("no answer within {} s", LONGEST_REQUEST.as_secs()))),
    }
}

/// Tries again while that may help; a conflict is tried again at once.
pub struct Retries {
    deadline: Instant,
    pause: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self { deadline: Instant::now() + PATIENCE, pause: FIRST_PAUSE }
    }
}

impl Retries {
    /// Waits before the next try.
    ///
    /// # Errors
    /// When there is to be none.
    pub async fn after(&mut self, failure: Failure) -> Result<(), WriteError> {
        let (message, pause) = match failure {
            Failure::Refused(message) => return Err(WriteError::Refused(message)),
            Failure::Conflict(message) => (message, FIRST_PAUSE / 10),
            Failure::Transient(message) => (message, self.pause),
        };
        if Instant::now() + pause > self.deadline {
            return Err(WriteError::Unavailable(message));
        }
        tokio::time::sleep(pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

/// Objects of one kind in one namespace.
pub struct Conditional<K> {
    api: Api<K>,
    leadership: Leadership,
    /// The versions that were seen last, by name.
    versions: Mutex<BTreeMap<String, String>>,
}

impl<K> Conditional<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    /// Those in this namespace.
    #[must_use]
    pub fn new(client: Client, namespace: &str, leadership: Leadership) -> Self {
        Self { api: Api::namespaced(client, namespace), leadership, versions: Mutex::default() }
    }

    /// For reading.
    #[must_use]
    pub const fn api(&self) -> &Api<K> {
        &self.api
    }

    /// Notes what was read.
    pub fn saw(&self, object: &K) {
        if let Some(version) = object.resource_version() {
            self.versions.lock().unwrap_or_else(PoisonError::into_inner).insert(object.name_any(), version);
        }
    }

    /// Writes the object whatever it was.
    ///
    /// # Errors
    /// When this process may not write, or the API server does not do it.
    pub async fn put(&self, object: K) -> Result<(), WriteError> {
        let (name, mut retries) = (object.name_any(), Retries::default());
        loop {
            let version = self.version(&name);
            match self.write(&name, object.clone(), version).await? {
                Ok(written) => {
                    self.saw(&written);
                    return Ok(());
                }
                Err(failure @ Failure::Conflict(_)) => {
                    retries.after(failure).await?;
                    self.read(&name, &mut retries).await?;
                }
                Err(failure) => retries.after(failure).await?,
            }
        }
    }

    /// Changes an object from what it is to what `change` makes of it; `None` leaves it. Where it is changed meanwhile `change` is asked again.
    ///
    /// # Errors
    /// When this process may not write, or the API server does not do it.
    pub async fn update(&self, name: &str, mut change: impl FnMut(Option<&K>) -> Option<K>) -> Result<(), WriteError> {
        let mut retries = Retries::default();
        loop {
            let found = self.read(name, &mut retries).await?;
            let Some(changed) = change(found.as_ref()) else { return Ok(()) };
            match self.write(name, changed, found.and_then(|found| found.resource_version())).await? {
                Ok(written) => {
                    self.saw(&written);
                    return Ok(());
                }
                Err(failure) => retries.after(failure).await?,
            }
        }
    }

    /// Removes an object; one that is not there is fine.
    ///
    /// # Errors
    /// When this process may not write, or the API server does not do it.
    pub async fn remove(&self, name: &str) -> Result<(), WriteError> {
        let mut retries = Retries::default();
        loop {
            let version = match self.version(name) {
                Some(version) => version,
                None => match self.read(name, &mut retries).await?.and_then(|found| found.resource_version()) {
                    Some(version) => version,
                    None => return Ok(()),
                },
            };
            self.permitted()?;
            let preconditions = Preconditions { resource_version: Some(version), uid: None };
            let removed = request(self.api.delete(name, &DeleteParams::default().preconditions(preconditions))).await;
            self.forget(name);
            match removed {
                Ok(_) => return Ok(()),
                Err(failure) => retries.after(failure).await?,
            }
        }
    }

    fn permitted(&self) -> Result<(), WriteError> {
        if self.leadership.is_held_now() { Ok(()) } else { Err(WriteError::NotLeading) }
    }

    async fn write(&self, name: &str, mut object: K, version: Option<String>) -> Result<Result<K, Failure>, WriteError> {
        self.permitted()?;
        let params = PostParams { field_manager: Some(super::FIELD_MANAGER.to_owned()), ..PostParams::default() };
        object.meta_mut().resource_version.clone_from(&version);
        Ok(match version {
            None => request(self.api.create(&params, &object)).await,
            Some(_) => request(self.api.replace(name, &params, &object)).await,
        })
    }

    /// The object as it is now, also while the API server is away for a moment.
    async fn read(&self, name: &str, retries: &mut Retries) -> Result<Option<K>, WriteError> {
        loop {
            match request(self.api.get_opt(name)).await {
                Ok(Some(found)) => {
                    self.saw(&found);
                    return Ok(Some(found));
                }
                Ok(None) => {
                    self.forget(name);
                    return Ok(None);
                }
                Err(failure) => retries.after(failure).await?,
            }
        }
    }

    fn version(&self, name: &str) -> Option<String> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn forget(&self, name: &str) {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;
    use crate::replicas::fake_api::{FakeApi, Fault};
    use crate::replicas::metadata;

    const PATH: &str = "/api/v1/namespaces/own/configmaps/m";

    fn map(value: &str) -> ConfigMap {
        ConfigMap { metadata: metadata("m", "test"), data: Some(BTreeMap::from([("k".to_owned(), value.to_owned())])), ..ConfigMap::default() }
    }

    #[tokio::test]
    async fn a_change_is_made_again_from_what_came_in_between() {
        let api = Arc::<FakeApi>::default();
        let maps = Conditional::<ConfigMap>::new(api.client(), "own", Leadership::always("a"));
        maps.put(map("1")).await.unwrap();
        api.fail_next(Fault::After(Box::new(|api| drop(api.set(PATH, json!({"metadata": {"name": "m", "namespace": "own"}, "data": {"k": "5"}}))))));
        let mut asked = Vec::new();
        let change = |found: Option<&ConfigMap>| {
            let value = found.unwrap().data.as_ref().unwrap()["k"].clone();
            asked.push(value.clone());
            Some(map(&format!("{value}+1")))
        };
        maps.update("m", change).await.unwrap();
        assert_eq!(asked, ["1", "5"]);
        assert_eq!(api.get(PATH).unwrap()["data"]["k"], "5+1");
        maps.update("m", |_| None).await.unwrap();
        assert_eq!(api.get(PATH).unwrap()["data"]["k"], "5+1");
    }

    #[tokio::test]
    async fn what_was_deleted_is_written_again() {
        let api = Arc::<FakeApi>::default();
        let maps = Conditional::<ConfigMap>::new(api.client(), "own", Leadership::always("a"));
        maps.put(map("1")).await.unwrap();
        maps.remove("m").await.unwrap();
        let other = Conditional::<ConfigMap>::new(api.client(), "own", Leadership::always("b"));
        other.put(map("2")).await.unwrap();
        maps.put(map("3")).await.unwrap();
        maps.remove("m").await.unwrap();
        other.put(map("4")).await.unwrap();
        assert_eq!(api.get(PATH).unwrap()["data"]["k"], "4");
    }
}
