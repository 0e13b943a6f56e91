//! What a zone is made of, before it is built. RDATA and names are hickory-proto's.

pub use hickory_proto::rr::{Name, RData, RecordType};

/// The records of one owner and type (RFC 2181 section 5).
#[derive(Debug, Clone, PartialEq)]
pub struct RecordSet {
    /// Absolute owner name; compared without regard to ASCII case.
    pub owner: Name,
    /// Time to live in seconds, 0 to 2^31-1.
    pub ttl: u32,
    /// The records' data, all of one type, at least one.
    pub data: Vec<RData>,
}

/// The zone's SOA, without its serial, which belongs to the zone's history.
#[derive(Debug, Clone, PartialEq)]
pub struct Soa {
    /// Primary name server.
    pub mname: Name,
    /// Mailbox of the person responsible.
    pub rname: Name,
    /// Seconds.
    pub refresh: i32,
    /// Seconds.
    pub retry: i32,
    /// Seconds.
    pub expire: i32,
    /// Negative TTL in seconds (RFC 2308 section 4).
    pub minimum: u32,
    /// TTL of the SOA record itself, in seconds.
    pub ttl: u32,
}
