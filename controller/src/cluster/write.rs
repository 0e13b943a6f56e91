//! One thing that is written, as a value, and what became of it. Pure.

use serde_json::{Value, json};

use crate::objects::ObjectKey;

/// A kind whose status is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StatusKind {
    /// v1. First, for an address is served only once it is in the status.
    Service,
    /// networking.k8s.io/v1.
    Ingress,
    /// cert-manager.io/v1.
    Certificate,
}

impl StatusKind {
    /// API group; empty for the core group.
    #[must_use]
    pub const fn group(self) -> &'static str {
        match self {
            Self::Service => "",
            Self::Ingress => "networking.k8s.io",
            Self::Certificate => "cert-manager.io",
        }
    }

    /// Group and version, as in manifests.
    #[must_use]
    pub fn api_version(self) -> String {
        if self.group().is_empty() { "v1".to_owned() } else { format!("{}/v1", self.group()) }
    }

    /// Name of the kind.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::Ingress => "Ingress",
            Self::Certificate => "Certificate",
        }
    }

    /// Name of the kind in paths of the API.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Service => "services",
            Self::Ingress => "ingresses",
            Self::Certificate => "certificates",
        }
    }
}

/// Whose status is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// Its kind.
    pub kind: StatusKind,
    /// Its namespace and name.
    pub key: ObjectKey,
}

/// One request, or two.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// A status.
    Status(StatusWrite),
    /// An Event.
    Event(EventWrite),
}

/// A status that is applied. What it leaves out and we own is removed; what others own stays.
#[derive(Debug, Clone, PartialEq)]
pub struct StatusWrite {
    /// Whose.
    pub target: Target,
    /// The very object the decision was made on.
    pub uid: String,
    /// The version of it that the decision was made on.
    pub resource_version: String,
    /// The status; empty to give up what we own of it.
    pub status: Value,
    /// Whether it has none of the addresses, so that it can be written beside those of another controller.
    pub beside: bool,
}

impl StatusWrite {
    /// The object that is applied.
    #[must_use]
    pub fn body(&self) -> Value {
        let ObjectKey { namespace, name } = &self.target.key;
        let mut metadata = json!({"name": name, "namespace": namespace});
        for (key, value) in [("uid", &self.uid), ("resourceVersion", &self.resource_version)] {
            if !value.is_empty() {
                metadata[key] = value.as_str().into();
            }
        }
        json!({"apiVersion": self.target.kind.api_version(), "kind": self.target.kind.name(), "metadata": metadata, "status": self.status})
    }
}

/// An Event (events.k8s.io/v1) that is created under a name made of what it says; one that is there is told of once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventWrite {
    /// What makes it the same Event: a hash of its object, reason and note.
    pub id: u64,
    /// Its namespace.
    pub namespace: String,
    /// Its name, which ends with `id`.
    pub name: String,
    /// The object it is about.
    pub regarding: Regarding,
    /// Whether something is wrong.
    pub warning: bool,
    /// Why, in one word.
    pub reason: String,
    /// What it is about, in one word.
    pub action: &'static str,
    /// What people read.
    pub note: String,
    /// Whether it was told before: then its series grows.
    pub again: bool,
}

/// An object that an Event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Regarding {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace; empty for kinds that have none.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// The very object; empty when it is not known.
    pub uid: String,
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Written,
    /// The object changed or went since it was read: what is to be written has to be decided anew.
    Stale,
    /// Other field managers own what was to be written.
    Conflict(Vec<String>),
    /// The API server will not have it, and would not the next time.
    Refused,
    /// The API server could not be asked, or had no time. It may still have been written.
    Unreachable,
}
