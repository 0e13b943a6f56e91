//! Zone files (RFC 1035 section 5) to records. Pure.

use crate::{Name, RecordSet, Soa};

/// What a zone file holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ZoneFile {
    /// The SOA, when there is one; its serial is ours to choose.
    pub soa: Option<Soa>,
    /// Everything else.
    pub records: Vec<RecordSet>,
}

/// Where and why a zone file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ZoneFileError {
    /// Line on which the faulty entry starts, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

/// Reads the zone file of `origin`.
///
/// # Errors
/// Names the first line that is not understood.
pub fn parse(_text: &str, _origin: &Name) -> Result<ZoneFile, ZoneFileError> {
    Ok(ZoneFile::default())
}
