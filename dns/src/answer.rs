//! From a query's bytes to the reply's bytes. Pure.

use crate::ZoneSet;

/// How a query came in; it decides how long the reply may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// At most what the client's OPT allows, and never more than 1232 bytes.
    Udp,
    /// At most 65,535 bytes.
    Tcp,
}

/// What was answered, for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// Bytes of the reply, at the start of the buffer.
    pub length: usize,
    /// Extended response code (RFC 6895 section 2.3).
    pub code: u16,
    /// QTYPE, 0 when the query has no readable question.
    pub record_type: u16,
    /// Whether the TC bit is set.
    pub truncated: bool,
}

/// Answers `query` from `zones` into `out`, which holds at least 512 bytes and limits the reply. `None`: send nothing.
pub fn answer(_zones: &ZoneSet, _query: &[u8], _transport: Transport, _out: &mut [u8]) -> Option<Answered> {
    None
}
