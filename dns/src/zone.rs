//! A zone, built once and then read by every query. Pure.

use std::sync::Arc;

use crate::{Name, RecordSet, RecordType, Soa};

/// The zones that are served.
#[derive(Debug, Default)]
pub struct ZoneSet {
    zones: Vec<Arc<Zone>>,
}

impl ZoneSet {
    /// The set of `zones`, in any order; zones may lie below one another.
    ///
    /// # Errors
    /// Names the first origin that comes twice.
    pub fn new(zones: Vec<Arc<Zone>>) -> Result<Self, ZoneError> {
        Ok(Self { zones })
    }

    /// The zones, in the order given.
    #[must_use]
    pub fn zones(&self) -> &[Arc<Zone>] {
        &self.zones
    }

    /// The zone that answers for `name`: the one with the longest origin.
    #[must_use]
    pub fn find(&self, name: &Name) -> Option<&Arc<Zone>> {
        self.zones.iter().filter(|zone| zone.origin.zone_of(name)).max_by_key(|zone| zone.origin.num_labels())
    }
}

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
#[derive(Debug)]
pub struct Zone {
    origin: Name,
    serial: u32,
}

impl Zone {
    /// Builds a zone. `records` hold the NS at the apex and everything below it; the SOA is separate.
    ///
    /// # Errors
    /// Names the first record that cannot be part of the zone.
    pub fn build(origin: Name, _soa: &Soa, serial: u32, _records: &[RecordSet], _ents: EmptyNonTerminals) -> Result<Self, ZoneError> {
        Ok(Self { origin, serial })
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

    /// A hash over all records and the SOA, but not the serial: the same in every run and on every machine, whatever the records' order.
    #[must_use]
    pub const fn content_hash(&self) -> [u8; 32] {
        [0; 32]
    }

    /// Every record set with its owner in canonical order (RFC 4034 section 6.1), the SOA first; `derived` tells copies of a wildcard.
    pub fn records(&self) -> impl Iterator<Item = Listed> + '_ {
        std::iter::empty()
    }

    /// What is answered for `name` and `record_type`, and why.
    #[must_use]
    pub fn lookup_explained(&self, _name: &Name, _record_type: RecordType) -> Explanation {
        Explanation { steps: Vec::new(), records: Vec::new() }
    }
}

/// A record set of a built zone.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// The records.
    pub set: RecordSet,
    /// Whether they were copied from a wildcard ([`EmptyNonTerminals::InheritWildcard`]).
    pub derived: bool,
}

/// How a name is answered: the steps in order, the last one decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// One step for each name that was looked up.
    pub steps: Vec<Step>,
    /// The answer section.
    pub records: Vec<RecordSet>,
}

/// One step of a lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The name is not in this zone.
    OutsideZone(Name),
    /// The name is in the zone and has records of the type.
    Found(Name),
    /// The name is in the zone, and has no records of the type.
    NoData(Name),
    /// The name has no records itself, but names lie below it.
    EmptyNonTerminal(Name),
    /// The name is covered by a wildcard; the following step tells what that has.
    Wildcard {
        /// The name asked for.
        name: Name,
        /// The wildcard.
        source: Name,
    },
    /// The name is an alias; the following step is about its target.
    Alias {
        /// The owner of the CNAME.
        name: Name,
        /// Its target.
        target: Name,
    },
    /// The name lies at or below a delegation.
    Delegation {
        /// The name asked for.
        name: Name,
        /// The owner of the NS records.
        cut: Name,
    },
    /// The name does not exist.
    NxDomain {
        /// The name asked for.
        name: Name,
        /// The nearest name above it that exists.
        closest_encloser: Name,
    },
    /// The chain of aliases is too long or a loop; it ends here.
    ChainEnds(Name),
}

/// Why a zone cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// The owner is not at or below the origin.
    #[error("{owner} is outside the zone {origin}")]
    OutsideZone {
        /// The record's owner.
        owner: Name,
        /// The zone's apex.
        origin: Name,
    },
    /// A CNAME stands beside other data (RFC 2181 section 10.1).
    #[error("{0} has a CNAME and other records")]
    CnameAndOther(Name),
    /// A record set is empty or mixes types.
    #[error("{0}: a record set holds one or more records of one type")]
    BadRecordSet(Name),
    /// Two zones have the same origin.
    #[error("the zone {0} is there twice")]
    DuplicateZone(Name),
}
