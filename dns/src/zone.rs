//! A zone, built once and then read by every query. Pure.
//!
//! Everything lies in a few arrays: names, record sets in wire form ready to be copied into a reply, and one hash table from
//! lower-cased owner names to nodes. Every name that exists has a node, empty non-terminals included, so a lookup costs one probe
//! for each label below the apex at most, whatever the zone's size and whether the name exists or not.

mod build;
mod explain;
mod list;
mod lookup;
mod set;

#[cfg(test)]
mod tests;

use std::borrow::Borrow;

use hashbrown::{DefaultHashBuilder, HashTable};

pub use self::explain::{Explanation, Step};
pub use self::list::Listed;
pub(crate) use self::lookup::Found;
pub use self::set::ZoneSet;
use crate::name::WireName;
use crate::{Name, RecordSet, Soa, wire};

/// What becomes of a name that would exist only because something lies below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EmptyNonTerminals {
    /// It exists and is empty, so no wildcard covers it (RFC 4592 section 2.2.2).
    #[default]
    Empty,
    /// It keeps what a wildcard gave it before: the wildcard's records are copied to it, and to `*` below it, marked as derived.
    InheritWildcard,
}

/// One zone at one serial.
#[derive(Clone)]
pub struct Zone {
    origin: Name,
    origin_wire: WireName,
    serial: u32,
    soa: Soa,
    nodes: Vec<Node>,
    sets: Vec<Set>,
    /// Owner names, lower-cased.
    names: Vec<u8>,
    /// Records with their owner as a pointer to the question's name.
    wire: Vec<u8>,
    /// Offsets within a set's wire where a pointer to the origin has to be written.
    patches: Vec<u16>,
    /// Nodes whose addresses belong into the additional section.
    additional: Vec<NodeId>,
    table: HashTable<NodeId>,
    hasher: DefaultHashBuilder,
    /// The SOA for negative answers, with their TTL (RFC 2308 section 3).
    negative_soa: Set,
}

/// Index into a zone's nodes; the apex is 0.
pub(crate) type NodeId = u32;
pub(crate) const APEX: NodeId = 0;

/// A name that exists.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    name: u32,
    name_length: u8,
    /// Labels below the apex.
    depth: u8,
    /// Delegated here: NS records below the apex.
    pub(crate) is_cut: bool,
    pub(crate) is_derived: bool,
    /// Its `*` child.
    wildcard: Option<std::num::NonZeroU32>,
    sets: Span,
}

impl Node {
    /// Labels below the apex.
    pub(crate) fn depth(&self) -> usize {
        self.depth.into()
    }
}

/// The records of one type at one node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Set {
    pub(crate) record_type: u16,
    pub(crate) records: u16,
    wire: u32,
    wire_length: u16,
    patches: Span,
    additional: Span,
}

/// A run of entries of an array.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    start: u32,
    length: u16,
}

impl Span {
    fn of<T>(self, all: &[T]) -> &[T] {
        &all[self.start as usize..self.start as usize + usize::from(self.length)]
    }
}

impl Zone {
    /// Builds a zone. `records` hold the NS at the apex and everything below it, owned or borrowed; the SOA is separate. Sets of one
    /// owner and type are merged: equal records count once, the lowest TTL holds.
    ///
    /// # Errors
    /// Names the first record that cannot be part of the zone.
    pub fn build<R: Borrow<RecordSet>>(origin: Name, soa: &Soa, serial: u32, records: &[R], empty: EmptyNonTerminals) -> Result<Self, ZoneError> {
        build::build(origin, soa, serial, records, empty)
    }

    /// The zone's apex.
    #[must_use]
    pub const fn origin(&self) -> &Name {
        &self.origin
    }

    /// The SOA's serial.
    #[must_use]
    pub const fn serial(&self) -> u32 {
        self.serial
    }

    /// The same zone at another serial: a copy, which costs far less than to build it.
    #[must_use]
    pub fn with_serial(&self, serial: u32) -> Self {
        let mut zone = self.clone();
        zone.serial = serial;
        let soa = *zone.set(zone.node(APEX), wire::SOA).expect("every zone has a SOA");
        for set in [soa, zone.negative_soa] {
            let end = set.wire as usize + usize::from(set.wire_length) - wire::AFTER_SERIAL;
            zone.wire[end - 4..end].copy_from_slice(&serial.to_be_bytes());
        }
        zone
    }

    /// The SOA without its serial.
    #[must_use]
    pub const fn soa(&self) -> &Soa {
        &self.soa
    }

    pub(crate) const fn origin_wire(&self) -> &WireName {
        &self.origin_wire
    }

    pub(crate) const fn negative_soa(&self) -> &Set {
        &self.negative_soa
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }

    /// The node's name, lower-cased.
    pub(crate) fn name(&self, node: &Node) -> &[u8] {
        &self.names[node.name as usize..node.name as usize + usize::from(node.name_length)]
    }

    /// The node's records, by ascending type.
    pub(crate) fn sets(&self, node: &Node) -> &[Set] {
        node.sets.of(&self.sets)
    }

    pub(crate) fn set(&self, node: &Node, record_type: u16) -> Option<&Set> {
        self.sets(node).iter().find(|set| set.record_type == record_type)
    }

    pub(crate) fn wire(&self, set: &Set) -> &[u8] {
        &self.wire[set.wire as usize..set.wire as usize + usize::from(set.wire_length)]
    }

    /// Where in the set's wire a pointer to the origin has to be written.
    pub(crate) fn patches(&self, set: &Set) -> &[u16] {
        set.patches.of(&self.patches)
    }

    /// Nodes whose addresses go with the set.
    pub(crate) fn additional(&self, set: &Set) -> &[NodeId] {
        set.additional.of(&self.additional)
    }
}

impl std::fmt::Debug for Zone {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Zone({} serial {}, {} names)", self.origin, self.serial, self.nodes.len())
    }
}

/// Why a zone cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// The owner is not at or below the origin.
    #[error("{owner} is outside the zone {origin}")]
    OutsideZone {
        /// The record's owner.
        owner: Box<Name>,
        /// The zone's apex.
        origin: Box<Name>,
    },
    /// A CNAME stands beside other data (RFC 2181 section 10.1).
    #[error("{0} has a CNAME and other records")]
    CnameAndOther(Name),
    /// A record set is empty, mixes types, or is longer than a message can hold.
    #[error("{0}: a record set holds one or more records of one type, in at most 60000 bytes")]
    BadRecordSet(Name),
    /// A type that cannot stand in a zone (SOA is given apart; OPT, ANY and the like are no data) or that is not served (DNAME).
    #[error("{owner}: records of type {record_type} cannot be served from a zone")]
    UnsupportedType {
        /// The record's owner.
        owner: Name,
        /// Its type.
        record_type: crate::RecordType,
    },
    /// NS records at a wildcard have no meaning (RFC 4592 section 4.2).
    #[error("{0}: a wildcard cannot be delegated")]
    WildcardDelegation(Name),
    /// A TTL is above 2^31-1 (RFC 2181 section 8).
    #[error("{0}: the TTL is above 2147483647 seconds")]
    Ttl(Name),
    /// Data that has no wire form.
    #[error("{owner}: the record cannot be encoded: {reason}")]
    Encoding {
        /// The record's owner.
        owner: Name,
        /// What the encoder says.
        reason: String,
    },
    /// More than 4 GiB.
    #[error("the zone is larger than 4 GiB")]
    TooLarge,
    /// Two zones have the same origin.
    #[error("the zone {0} is there twice")]
    DuplicateZone(Name),
}
