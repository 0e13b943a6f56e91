//! Which node answers for a name (RFC 1034 section 4.3.2, RFC 4592 section 3.3). Pure.

use super::{APEX, NodeId, Zone};
use crate::name::WireName;

/// What a name is in a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// It exists, perhaps without records.
    Node(NodeId),
    /// It does not exist, and the wildcard `source` covers it.
    Wildcard { source: NodeId },
    /// It lies at (`exact`) or below a delegation.
    Cut { node: NodeId, exact: bool },
    /// It does not exist; `encloser` is the nearest name above that does.
    Missing { encloser: NodeId },
}

impl Zone {
    /// Walks down from the apex, one probe for each label, and stops at the first name that does not exist. `name` is at or below
    /// the origin.
    pub(crate) fn find(&self, name: &WireName) -> Found {
        let apex = self.origin_wire.labels();
        let mut at = APEX;
        for labels in apex + 1..=name.labels() {
            let Some(next) = self.probe(name.last(labels)) else {
                // The source of synthesis is the `*` of the closest encloser and no other (RFC 4592 section 3.3.1).
                return match self.node(at).wildcard {
                    Some(source) => Found::Wildcard { source: source.get() },
                    None => Found::Missing { encloser: at },
                };
            };
            if self.node(next).is_cut {
                return Found::Cut { node: next, exact: labels == name.labels() };
            }
            at = next;
        }
        Found::Node(at)
    }

    /// The node of exactly this lower-cased name.
    pub(super) fn probe(&self, name: &[u8]) -> Option<NodeId> {
        self.probe_hashed(self.hash(name), name)
    }

    pub(super) fn probe_hashed(&self, hash: u64, name: &[u8]) -> Option<NodeId> {
        self.table.find(hash, |&id| self.name(self.node(id)) == name).copied()
    }

    /// The zone's own hash of a lower-cased name.
    pub(crate) fn hash(&self, name: &[u8]) -> u64 {
        std::hash::BuildHasher::hash_one(&self.hasher, name)
    }

    /// Whether the name is at or below the origin.
    pub(crate) fn encloses(&self, name: &WireName) -> bool {
        let labels = self.origin_wire.labels();
        name.labels() >= labels && name.last(labels) == self.origin_wire.bytes()
    }
}
