//! What is wrong with somebody's object, as a value that reaches the person who can mend it. Pure.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

/// Names an object. Copies share the texts: a pass makes several for each object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ObjectRef {
    /// Kind as in the manifest, for instance `Ingress`.
    pub kind: Arc<str>,
    /// Namespace; `None` for kinds that have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Arc<str>>,
    /// Name.
    pub name: Arc<str>,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// Where a manifest was read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Origin {
    /// The file.
    #[serde(serialize_with = "lossy")]
    pub file: PathBuf,
    /// Which document of the file, the first is 1; items of a `List` keep the list's number.
    pub document: usize,
    /// Which item of a `List`, the first is 1; 0 when the document is no list.
    #[serde(skip_serializing_if = "is_zero")]
    pub item: usize,
    /// Line on which the document starts, the first is 1; in a [`Problem`] the line of the field, where that is known.
    pub line: usize,
}

/// Names of files need not be UTF-8; JSON is.
fn lossy<S: serde::Serializer>(path: &std::path::Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something is not served as it was asked for.
    Error,
    /// It is served, but something has no effect or looks like a mistake.
    Warning,
    /// Worth knowing.
    Hint,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Hint => "hint",
        })
    }
}

/// Why, in one word: a closed set, used as a metric label, in JSON and (in Kubernetes) as the Event's reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Reason {
    /// The document is not YAML or JSON.
    NotParsed,
    /// A field is missing, unknown in its kind, or of the wrong type or value.
    InvalidField,
    /// Two documents hold the same object.
    DuplicateObject,
    /// The annotation's value is not valid.
    InvalidAnnotation,
    /// The annotation is known and not supported yet.
    NotSupportedYet,
    /// The annotation is refused for good.
    Refused,
    /// The annotation belongs to another product, or is misspelt, and has no effect.
    NoEffect,
    /// Another namespace holds the host.
    HostOwnedByAnother,
    /// An older rule holds the same host and path.
    PathTaken,
    /// A Service, port, Secret, issuer or class that the object names is not there.
    MissingReference,
    /// A Secret that the object names cannot be used.
    InvalidSecret,
    /// The Secret that the object wants written is another's.
    SecretTaken,
    /// A backend has no ready endpoint.
    NoEndpoints,
    /// An endpoint's address leads into the gateway's own machine or network.
    EndpointRefused,
    /// A certificate could not be had.
    CertificateFailed,
    /// No address is left in the pool.
    PoolExhausted,
    /// The address that was asked for is not in a pool, or the pool is not known.
    AddressNotAllowed,
    /// The namespace holds as many addresses as it may.
    QuotaExceeded,
    /// The address that was asked for is held by another.
    AddressTaken,
    /// The allocated address or port cannot be bound on this machine.
    BindFailed,
    /// Another controller writes the object's status.
    StatusConflict,
    /// The DNS name is outside the zones that are served here.
    OutsideZones,
    /// The DNS name clashes with another record.
    RecordConflict,
    /// The cluster does not let the objects be read.
    NotReadable,
}

/// The word itself.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Whose it is; `None` when the document could not be read that far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectRef>,
    /// Where it was read; `None` when the source is not a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Path of the field, as kubectl writes it: `spec.rules[0].host`, `metadata.annotations[nginx.ingress.kubernetes.io/proxy-body-size]`.
    pub field: String,
    /// Why.
    pub reason: Reason,
    /// What is wrong, with the value, and what to do, in one or two sentences.
    pub message: String,
}

/// Most problems that are kept of one object.
pub const MOST_PER_OBJECT: usize = 50;

/// Longest field and message that are kept, in bytes: they quote what tenants write.
const LONGEST_FIELD: usize = 400;
const LONGEST_MESSAGE: usize = 2_000;

impl Problem {
    /// The problem with its field and message at a length that people read; what is cut off is replaced by `…`.
    #[must_use]
    pub fn clipped(mut self) -> Self {
        clip(&mut self.field, LONGEST_FIELD);
        clip(&mut self.message, LONGEST_MESSAGE);
        self
    }
}

fn clip(text: &mut String, longest: usize) {
    if text.len() > longest {
        text.truncate(text.floor_char_boundary(longest));
        text.push('…');
    }
}

/// Bounds the problems of one object: what comes after the first [`MOST_PER_OBJECT`] is counted, not kept.
#[derive(Debug, Default)]
pub struct Bound {
    kept: usize,
    dropped: usize,
    /// The worst of those that were dropped.
    worst: Option<Problem>,
}

impl Bound {
    /// The problem, if there is room for it.
    pub fn admit(&mut self, problem: Problem) -> Option<Problem> {
        if self.kept < MOST_PER_OBJECT {
            self.kept += 1;
            return Some(problem.clipped());
        }
        self.dropped += 1;
        if self.worst.as_ref().is_none_or(|worst| problem.severity < worst.severity) {
            self.worst = Some(problem.clipped());
        }
        None
    }

    /// What tells of those that were dropped.
    #[must_use]
    pub fn rest(self) -> Option<Problem> {
        let dropped = self.dropped;
        let message = format!("and {dropped} more problems of this object, which are not listed; mend these first");
        self.worst.map(|worst| Problem { field: String::new(), message, ..worst })
    }
}
