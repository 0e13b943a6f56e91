//! The cluster as it was told so far: the last good version of every object. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::cluster::FIELD_MANAGER;
use crate::objects::{ObjectKey, Objects};
use crate::problem::{Problem, Severity};
use crate::source::Read;
use crate::source::finding::Findings;
use crate::source::object::{self, Identity, Kind, Object};
use crate::source::read_object::{Provenance, Verdict, read_object};

/// What a change amounts to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Effect {
    /// Nothing.
    #[default]
    None,
    /// The same objects in newer versions.
    Version,
    /// Other objects.
    Content,
}

/// Everything that was told.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    /// Kinds of which nothing was told yet.
    awaited: BTreeSet<Kind>,
    seen: BTreeMap<Kind, BTreeMap<ObjectKey, Seen>>,
    objects: Objects,
    /// Of the objects that have any.
    problems: BTreeMap<Identity, Vec<Problem>>,
}

/// One object.
#[derive(Debug, Default)]
struct Seen {
    /// The version that was looked at last, good or not.
    version: String,
    /// The last good one.
    object: Option<Object>,
}

impl Mirror {
    /// Empty, and complete once these kinds were listed.
    pub(super) fn awaiting(kinds: impl IntoIterator<Item = Kind>) -> Self {
        Self { awaited: kinds.into_iter().collect(), ..Self::default() }
    }

    /// Whether every kind was listed, or is known not to be served.
    pub(super) fn is_complete(&self) -> bool {
        self.awaited.is_empty()
    }

    /// These are all objects of the kind.
    pub(super) fn list(&mut self, kind: Kind, values: Vec<Value>) -> Effect {
        let mut effect = self.listed(kind);
        let keys: Vec<_> = values.iter().map(|value| key(kind, value)).collect();
        // An object without a name may be any of those that would otherwise be gone.
        if keys.iter().all(Option::is_some) {
            let listed: BTreeSet<_> = keys.iter().flatten().collect();
            let gone: Vec<_> = self.seen.get(&kind).into_iter().flat_map(BTreeMap::keys).filter(|key| !listed.contains(key)).cloned().collect();
            effect = gone.into_iter().map(|key| self.forget(kind, key)).fold(effect, Effect::max);
        }
        values.into_iter().map(|value| self.apply(kind, value)).fold(effect, Effect::max)
    }

    /// It is known which objects of the kind there are.
    pub(super) fn listed(&mut self, kind: Kind) -> Effect {
        if self.awaited.remove(&kind) { Effect::Content } else { Effect::None }
    }

    /// The kind is not served.
    pub(super) fn absent(&mut self, kind: Kind) -> Effect {
        self.list(kind, Vec::new())
    }

    /// An object came or changed.
    pub(super) fn apply(&mut self, kind: Kind, mut value: Value) -> Effect {
        let Some(key) = key(kind, &value) else { return Effect::None };
        let (version, generation) = strip(kind, &mut value);
        let seen = self.seen.entry(kind).or_default().entry(key.clone()).or_default();
        if !version.is_empty() && seen.version == version {
            return Effect::None;
        }
        let mut found = Findings::default();
        let verdict = read_object(&value, &Provenance::Server { version: &version, generation }, &mut found);
        seen.version = version;
        let Verdict::Known(identity, object) = verdict else { return Effect::None };
        let problems = problems(&identity, found, object.is_none() && seen.object.is_some());
        let told_the_same = self.problems.get(&identity).map_or(&[][..], Vec::as_slice) == problems;
        let effect = match &object {
            Some(object) if seen.object.as_ref() == Some(object) && told_the_same => Effect::Version,
            None if told_the_same => Effect::None,
            _ => Effect::Content,
        };
        if problems.is_empty() {
            self.problems.remove(&identity);
        } else {
            self.problems.insert(identity, problems);
        }
        if let Some(object) = object {
            object.insert(key, &mut self.objects);
            seen.object = Some(object);
        }
        effect
    }

    /// An object went.
    pub(super) fn delete(&mut self, kind: Kind, value: &Value) -> Effect {
        key(kind, value).map_or(Effect::None, |key| self.forget(kind, key))
    }

    /// Everything, as a value.
    pub(super) fn read(&self) -> Read {
        let mut problems: Vec<_> = self.problems.values().flatten().cloned().collect();
        problems.sort();
        Read { objects: self.objects.clone(), problems, stale: false }
    }

    /// The objects.
    pub(super) const fn objects(&self) -> &Objects {
        &self.objects
    }

    /// An object is not to be held any more.
    pub(super) fn forget(&mut self, kind: Kind, key: ObjectKey) -> Effect {
        if self.seen.get_mut(&kind).and_then(|seen| seen.remove(&key)).is_none() {
            return Effect::None;
        }
        let identity = Identity { kind, key };
        object::remove(&identity, &mut self.objects);
        self.problems.remove(&identity);
        Effect::Content
    }
}

/// Whose value it is.
pub(super) fn key(kind: Kind, value: &Value) -> Option<ObjectKey> {
    let meta = value.get("metadata")?;
    let name = meta.get("name")?.as_str().filter(|name| !name.is_empty())?;
    let namespace = if kind.is_namespaced() { meta.get("namespace")?.as_str()? } else { "" };
    Some(ObjectKey::new(namespace, name))
}

/// Puts in what items of a list lack, and takes out what is not content. Returns version and generation.
fn strip(kind: Kind, value: &mut Value) -> (String, Option<i64>) {
    let Some(entries) = value.as_object_mut() else { return (String::new(), None) };
    entries.insert("apiVersion".into(), kind.api_version().into());
    entries.insert("kind".into(), kind.name().into());
    let Some(meta) = entries.get_mut("metadata").and_then(Value::as_object_mut) else { return (String::new(), None) };
    keep_own_status(meta);
    if let Some(annotations) = meta.get_mut("annotations").and_then(Value::as_object_mut) {
        // A copy of the object, of a Secret too.
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    let version = meta.remove("resourceVersion").and_then(|version| version.as_str().map(str::to_owned)).unwrap_or_default();
    (version, meta.remove("generation").and_then(|generation| generation.as_i64()))
}

/// Of who owns what only one thing is of interest: whether the addresses in the status are ours. A condition of ours may stand beside another's addresses.
fn keep_own_status(meta: &mut Map<String, Value>) {
    let Some(Value::Array(entries)) = meta.remove("managedFields") else { return };
    let is = |entry: &Value, key: &str, value: &str| entry.get(key).and_then(Value::as_str) == Some(value);
    let of_addresses = |entry: &Value| entry.pointer("/fieldsV1/f:status/f:loadBalancer").is_some();
    if entries.iter().any(|entry| is(entry, "manager", FIELD_MANAGER) && is(entry, "subresource", "status") && of_addresses(entry)) {
        meta.insert("managedFields".into(), json!([{"manager": FIELD_MANAGER, "subresource": "status"}]));
    }
}

fn problems(identity: &Identity, found: Findings, stays: bool) -> Vec<Problem> {
    let mut problems = found.problems(Some(&identity.reference()), |_| None);
    for problem in problems.iter_mut().filter(|problem| stays && problem.severity == Severity::Error) {
        problem.message.push_str(" Until then the last good version stays in use.");
    }
    problems
}

#[cfg(test)]
mod tests;
