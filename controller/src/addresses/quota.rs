//! How many addresses a namespace may hold. Pure.

use std::collections::BTreeMap;

/// Limits by namespace. An address that several Services of a namespace share counts once there; of an address that namespaces share, each has one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quota {
    /// For namespaces that have no limit of their own; `None`: no limit.
    pub default: Option<usize>,
    /// By namespace.
    pub namespaces: BTreeMap<String, usize>,
}

impl Quota {
    /// The limit of a namespace.
    #[must_use]
    pub fn limit(&self, namespace: &str) -> Option<usize> {
        self.namespaces.get(namespace).copied().or(self.default)
    }
}
