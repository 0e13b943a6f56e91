//! Reads a cluster once, with whatever rights there are, and writes nothing. What may not be read is noted, and the rest is read.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use kube::Client;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, Request, Resource as _};
use serde_json::Value;

use super::fault::{Class, Fault, delay};
use super::fetch;
use super::list::list;
use super::mirror::Mirror;
use super::subject::{followed, resource_name};
use crate::objects::{ObjectKey, Objects};
use crate::source::Read;
use crate::source::object::Kind;

/// How many Secrets are asked for at the same time.
const AT_ONCE: usize = 8;

/// How often something is asked for that fails and may not fail again.
const ATTEMPTS: u32 = 4;

/// Kinds of the programs that are taken over from, which are not compiled: they are told of.
const NEIGHBOURS: [(&str, &str, &str); 4] = [
    ("metallb.io", "v1beta1", "L2Advertisement"),
    ("metallb.io", "v1beta1", "BGPAdvertisement"),
    ("purelb.io", "v1", "ServiceGroup"),
    ("externaldns.k8s.io", "v1alpha1", "DNSEndpoint"),
];

/// A cluster at one moment.
pub struct Once {
    client: Client,
    mirror: Mirror,
    neighbours: Vec<Value>,
    /// Names of resources, with the namespaces where they are not read; all where none is named.
    unread: BTreeMap<String, Unread>,
    /// How many kinds were read.
    kinds: usize,
}

/// What was read, and what may not be.
#[derive(Debug, Default)]
pub struct Seen {
    /// The objects.
    pub read: Read,
    /// Objects of other programs that are not compiled, as they stand.
    pub neighbours: Vec<Value>,
    /// What may not be read.
    pub unread: Vec<Unread>,
}

/// Objects that may not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// The resource as rules of access name it: `ipaddresspools.metallb.io`.
    pub resource: String,
    /// The verb that is missing.
    pub verb: &'static str,
    /// Where it is missing; everywhere when none is named.
    pub namespaces: BTreeSet<String>,
    /// Whether its objects are compiled, or told of only.
    pub compiled: bool,
}

/// Nothing can be said of the cluster.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {what} of the cluster: {message}")]
pub struct OnceError {
    what: String,
    message: String,
}

impl Once {
    /// Lists every kind but Secrets. Of ConfigMaps only the one that is named.
    ///
    /// # Errors
    /// When the API server does not answer, or lets nothing be read at all.
    pub async fn read(client: Client, config_map: Option<&ObjectKey>) -> Result<Self, OnceError> {
        let mut once = Self { client, mirror: Mirror::default(), neighbours: Vec::new(), unread: BTreeMap::new(), kinds: 0 };
        for (subject, scope) in followed(config_map) {
            let Some(kind) = subject.kind().filter(|kind| *kind != Kind::Secret) else { continue };
            let namespace = scope.namespace.as_deref();
            let versions = [Some(subject.request_in(namespace)), subject.later_request_in(namespace)];
            let listed = once.list(&subject.resource_name(), versions.into_iter().flatten(), scope.field_selector, true).await?;
            let _ = once.mirror.list(kind, listed);
        }
        for (group, version, kind) in NEIGHBOURS {
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
            let request = Request::new(DynamicObject::url_path(&resource, None));
            let mut listed = once.list(&resource_name(&resource), std::iter::once(request), None, false).await?;
            listed.iter_mut().for_each(|object| object["kind"] = kind.into());
            once.neighbours.append(&mut listed);
        }
        match once.unread.values().next() {
            Some(unread) if once.kinds == 0 => {
                Err(OnceError { what: unread.resource.clone(), message: "neither this nor anything else may be read; give other credentials".into() })
            }
            _ => Ok(once),
        }
    }

    /// What was listed.
    #[must_use]
    pub const fn objects(&self) -> &Objects {
        self.mirror.objects()
    }

    /// Reads these Secrets.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn secrets(&mut self, named: BTreeSet<ObjectKey>) -> Result<(), OnceError> {
        let client = &self.client;
        let ask = |key: ObjectKey| async move { (patiently(async || fetch::secret(client, &key).await).await, key) };
        let mut answers = futures::stream::iter(named).map(ask).buffer_unordered(AT_ONCE);
        while let Some((answer, key)) = answers.next().await {
            match answer {
                Ok(Some(secret)) => drop(self.mirror.apply(Kind::Secret, secret)),
                Ok(None) => {}
                Err(fault) if fault.class == Class::Forbidden => {
                    let unread = || Unread { resource: "secrets".into(), verb: "get", namespaces: BTreeSet::new(), compiled: true };
                    self.unread.entry("secrets".into()).or_insert_with(unread).namespaces.insert(key.namespace);
                }
                Err(fault) => return Err(OnceError { what: format!("Secret {key}"), message: fault.message }),
            }
        }
        Ok(())
    }

    /// All of it.
    #[must_use]
    pub fn seen(self) -> Seen {
        Seen { read: self.mirror.read(), neighbours: self.neighbours, unread: self.unread.into_values().collect() }
    }

    /// All objects of a kind, in the first API version that is served; none where none is.
    async fn list(
        &mut self,
        resource: &str,
        versions: impl Iterator<Item = Request>,
        selector: Option<String>,
        compiled: bool,
    ) -> Result<Vec<Value>, OnceError> {
        for request in versions {
            match patiently(async || list(&self.client, &request, selector.clone(), false, None).await).await {
                Ok(listed) => {
                    self.kinds += 1;
                    return Ok(listed.items);
                }
                Err(fault) if fault.class == Class::NotFound => {}
                Err(fault) if fault.class == Class::Forbidden => {
                    let unread = Unread { resource: resource.to_owned(), verb: "list", namespaces: BTreeSet::new(), compiled };
                    self.unread.insert(resource.to_owned(), unread);
                    return Ok(Vec::new());
                }
                Err(fault) => return Err(OnceError { what: resource.to_owned(), message: fault.message }),
            }
        }
        Ok(Vec::new())
    }
}

/// Asks again where that may help.
async fn patiently<T>(mut ask: impl AsyncFnMut() -> Result<T, Fault>) -> Result<T, Fault> {
    let mut failures = 0;
    loop {
        match ask().await {
            Err(fault) if !matches!(fault.class, Class::Forbidden | Class::NotFound | Class::BadData) && failures + 1 < ATTEMPTS => {
                failures += 1;
                tokio::time::sleep(delay(failures, rand::random(), fault.retry_after)).await;
            }
            answer => return answer,
        }
    }
}
