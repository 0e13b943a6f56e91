//! What a zone is made of, before it is built. RDATA and names are hickory-proto's.

use std::net::IpAddr;

use hickory_proto::rr::rdata;
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

impl RecordSet {
    /// The type of the first record; `None` in an empty set, which no zone accepts.
    #[must_use]
    pub fn record_type(&self) -> Option<RecordType> {
        self.data.first().map(RData::record_type)
    }
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

/// A and AAAA records for `addresses`: none, one or two sets.
#[must_use]
pub fn address_sets(owner: &Name, ttl: u32, addresses: &[IpAddr]) -> Vec<RecordSet> {
    let (v4, v6): (Vec<_>, Vec<_>) = addresses.iter().map(|&address| RData::from(address)).partition(|data| matches!(data, RData::A(_)));
    [v4, v6].into_iter().filter(|data| !data.is_empty()).map(|data| RecordSet { owner: owner.clone(), ttl, data }).collect()
}

/// A CNAME record.
#[must_use]
pub fn cname(owner: Name, ttl: u32, target: Name) -> RecordSet {
    RecordSet { owner, ttl, data: vec![RData::CNAME(rdata::CNAME(target))] }
}

/// NS records, one for each server.
#[must_use]
pub fn ns(owner: Name, ttl: u32, servers: impl IntoIterator<Item = Name>) -> RecordSet {
    RecordSet { owner, ttl, data: servers.into_iter().map(|server| RData::NS(rdata::NS(server))).collect() }
}

/// TXT records, one for each text; a text longer than 255 bytes becomes several character-strings of one record.
#[must_use]
pub fn txt<'a>(owner: Name, ttl: u32, texts: impl IntoIterator<Item = &'a str>) -> RecordSet {
    RecordSet { owner, ttl, data: texts.into_iter().map(text).collect() }
}

fn text(text: &str) -> RData {
    let mut strings: Vec<&[u8]> = text.as_bytes().chunks(255).collect();
    if strings.is_empty() {
        strings.push(b"");
    }
    RData::TXT(rdata::TXT::from_bytes(strings))
}
