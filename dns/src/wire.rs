//! Records in wire form (RFC 1035 section 4.1.3), and the compression of the names in their RDATA.
//!
//! A name in RDATA that ends with the zone's origin is stored up to there and closed with a pointer that is filled in for each
//! reply: the origin's place in a message depends on the question. Only the types of RFC 1035 are compressed (RFC 3597 section 4).

use std::ops::Range;

use hickory_proto::ProtoError;
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};

use crate::RData;
use crate::name::WireName;

pub(crate) const A: u16 = 1;
pub(crate) const NS: u16 = 2;
pub(crate) const CNAME: u16 = 5;
pub(crate) const SOA: u16 = 6;
pub(crate) const PTR: u16 = 12;
pub(crate) const MX: u16 = 15;
pub(crate) const AAAA: u16 = 28;
pub(crate) const SRV: u16 = 33;
pub(crate) const DS: u16 = 43;
pub(crate) const RRSIG: u16 = 46;
pub(crate) const NSEC: u16 = 47;
pub(crate) const ANY: u16 = 255;

/// Bytes of a record before its RDATA, the owner being a pointer: owner, type, class, TTL, length.
pub(crate) const FIXED: usize = 12;
/// A pointer to the question's name.
pub(crate) const TO_QUESTION: u16 = 0xC00C;

/// Bytes of a SOA behind its serial: refresh, retry, expire, minimum.
pub(crate) const AFTER_SERIAL: usize = 16;

/// Encodes the RDATA of one set after the other for one zone. Its buffers serve all of them: a zone has as many sets as names.
pub(crate) struct RdataEncoder {
    origin: WireName,
    /// One RDATA before its compression.
    plain: Vec<u8>,
    /// The RDATA of the set, one after the other.
    bytes: Vec<u8>,
    rdatas: Vec<Rdata>,
}

/// RDATA with places where a pointer to the origin belongs.
struct Rdata {
    /// Its place in the encoder's bytes.
    place: Range<usize>,
    /// Offsets within the RDATA.
    pointers: [Option<u16>; 2],
}

impl RdataEncoder {
    pub(crate) const fn new(origin: WireName) -> Self {
        Self { origin, plain: Vec::new(), bytes: Vec::new(), rdatas: Vec::new() }
    }

    /// Encodes a whole set: its distinct RDATA in the order of their bytes, whatever the order they came in, each with the offsets of
    /// its pointers.
    pub(crate) fn encode<'a>(&mut self, data: impl IntoIterator<Item = &'a RData>) -> Result<EncodedSet<'_>, ProtoError> {
        self.bytes.clear();
        self.rdatas.clear();
        for data in data {
            let start = self.bytes.len();
            let pointers = self.push(data)?;
            self.rdatas.push(Rdata { place: start..self.bytes.len(), pointers });
        }
        let bytes = &self.bytes;
        let content = |rdata: &Rdata| (&bytes[rdata.place.clone()], rdata.pointers);
        self.rdatas.sort_unstable_by(|a, b| content(a).cmp(&content(b)));
        self.rdatas.dedup_by(|a, b| content(a) == content(b));
        Ok(EncodedSet { bytes, rdatas: &self.rdatas })
    }

    fn push(&mut self, data: &RData) -> Result<[Option<u16>; 2], ProtoError> {
        match data {
            RData::A(address) => self.bytes.extend_from_slice(&address.0.octets()),
            RData::AAAA(address) => self.bytes.extend_from_slice(&address.0.octets()),
            _ => {
                self.plain.clear();
                let mut encoder = BinEncoder::new(&mut self.plain);
                encoder.set_name_encoding(NameEncoding::Uncompressed);
                data.emit(&mut encoder)?;
                return Ok(self.compress(data.record_type().into()));
            }
        }
        Ok([None; 2])
    }

    /// Appends the plain RDATA with the origin cut off from the names in it.
    fn compress(&mut self, record_type: u16) -> [Option<u16>; 2] {
        let Self { origin, plain, bytes, .. } = self;
        let (before, names) = match record_type {
            NS | CNAME | PTR => (0, 1),
            MX => (2, 1),
            SOA => (0, 2),
            _ => (plain.len(), 0),
        };
        let start = bytes.len();
        let mut pointers = [None; 2];
        bytes.extend_from_slice(&plain[..before]);
        let mut at = before;
        for pointer in pointers.iter_mut().take(names) {
            let Some(name) = WireName::read(plain, at) else { break };
            let end = at + name.bytes().len();
            let labels = origin.labels();
            if labels > 0 && name.labels() >= labels && name.last(labels) == origin.bytes() {
                bytes.extend_from_slice(&plain[at..at + name.start_of_last(labels)]);
                *pointer = Some((bytes.len() - start) as u16);
                bytes.extend_from_slice(&[0xC0, 0]);
            } else {
                bytes.extend_from_slice(&plain[at..end]);
            }
            at = end;
        }
        bytes.extend_from_slice(&plain[at..]);
        pointers
    }
}

/// The RDATA of a set.
pub(crate) struct EncodedSet<'a> {
    bytes: &'a [u8],
    rdatas: &'a [Rdata],
}

impl<'a> EncodedSet<'a> {
    pub(crate) const fn len(&self) -> usize {
        self.rdatas.len()
    }

    /// Each RDATA, and the offsets of the pointers in it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a [u8], impl Iterator<Item = usize>)> {
        self.rdatas.iter().map(|rdata| (&self.bytes[rdata.place.clone()], rdata.pointers.iter().flatten().map(|&at| usize::from(at))))
    }
}

/// Appends a record whose owner is the question's name.
pub(crate) fn push_record(wire: &mut Vec<u8>, record_type: u16, ttl: u32, rdata: &[u8]) {
    wire.extend_from_slice(&TO_QUESTION.to_be_bytes());
    wire.extend_from_slice(&record_type.to_be_bytes());
    wire.extend_from_slice(&1u16.to_be_bytes());
    wire.extend_from_slice(&ttl.to_be_bytes());
    wire.extend_from_slice(&(rdata.len() as u16).to_be_bytes());
    wire.extend_from_slice(rdata);
}

/// The records of a set, each with the pointer of its owner.
pub(crate) fn records(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = wire;
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_be_bytes([*rest.get(10)?, *rest.get(11)?]));
        let (record, after) = rest.split_at(FIXED + length);
        rest = after;
        Some(record)
    })
}

/// The RDATA of each record of a set.
pub(crate) fn rdatas(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    records(wire).map(|record| &record[FIXED..])
}

/// The name in RDATA that stands from `at` on, with the origin put in where it was cut off.
pub(crate) fn name_in(rdata: &[u8], at: usize, origin: &WireName) -> Option<WireName> {
    let mut end = at;
    loop {
        match rdata.get(end)? {
            0 => return WireName::read(rdata, at),
            192.. => break,
            size => end += 1 + usize::from(*size),
        }
    }
    let mut whole = [0; 255];
    let labels = end - at;
    whole.get_mut(..labels)?.copy_from_slice(&rdata[at..end]);
    whole.get_mut(labels..labels + origin.bytes().len())?.copy_from_slice(origin.bytes());
    WireName::read(&whole, 0)
}

/// Whether records of the type have a [`target`].
pub(crate) const fn has_target(record_type: u16) -> bool {
    matches!(record_type, NS | MX | SRV)
}

/// The name whose addresses a client will ask for next.
pub(crate) fn target(record_type: u16, rdata: &[u8], origin: &WireName) -> Option<WireName> {
    match record_type {
        NS => name_in(rdata, 0, origin),
        MX => name_in(rdata, 2, origin),
        SRV => name_in(rdata, 6, origin),
        _ => None,
    }
}
