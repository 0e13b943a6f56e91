//! Records in wire form (RFC 1035 section 4.1.3), and the compression of the names in their RDATA.
//!
//! A name in RDATA that ends with the zone's origin is stored up to there and closed with a pointer that is filled in for each
//! reply: the origin's place in a message depends on the question. Only the types of RFC 1035 are compressed (RFC 3597 section 4).

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

/// Encodes RDATA for one zone.
pub(crate) struct RdataEncoder {
    origin: WireName,
}

/// RDATA with places where a pointer to the origin belongs.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rdata {
    pub(crate) bytes: Vec<u8>,
    /// Offsets, 0 for none: no pointer stands at the start of compressible RDATA without being the whole of it.
    pointers: [Option<u16>; 2],
}

impl Rdata {
    pub(crate) fn pointers(&self) -> impl Iterator<Item = usize> + '_ {
        self.pointers.iter().flatten().map(|&at| usize::from(at))
    }
}

impl RdataEncoder {
    pub(crate) const fn new(origin: WireName) -> Self {
        Self { origin }
    }

    pub(crate) fn encode(&self, data: &RData) -> Result<Rdata, ProtoError> {
        let plain = |bytes: &[u8]| Rdata { bytes: bytes.to_vec(), pointers: [None; 2] };
        match data {
            RData::A(address) => return Ok(plain(&address.0.octets())),
            RData::AAAA(address) => return Ok(plain(&address.0.octets())),
            _ => {}
        }
        let mut bytes = Vec::new();
        let mut encoder = BinEncoder::new(&mut bytes);
        encoder.set_name_encoding(NameEncoding::Uncompressed);
        data.emit(&mut encoder)?;
        Ok(self.compress(data.record_type().into(), &bytes))
    }

    fn compress(&self, record_type: u16, bytes: &[u8]) -> Rdata {
        let mut rdata = Rdata { bytes: Vec::with_capacity(bytes.len()), pointers: [None; 2] };
        let (before, names) = match record_type {
            NS | CNAME | PTR => (0, 1),
            MX => (2, 1),
            SOA => (0, 2),
            _ => (bytes.len(), 0),
        };
        rdata.bytes.extend_from_slice(&bytes[..before]);
        let mut at = before;
        for pointer in rdata.pointers.iter_mut().take(names) {
            let Some(name) = WireName::read(bytes, at) else { break };
            let end = at + name.bytes().len();
            let labels = self.origin.labels();
            if labels > 0 && name.labels() >= labels && name.last(labels) == self.origin.bytes() {
                rdata.bytes.extend_from_slice(&bytes[at..at + name.start_of_last(labels)]);
                *pointer = Some(rdata.bytes.len() as u16);
                rdata.bytes.extend_from_slice(&[0xC0, 0]);
            } else {
                rdata.bytes.extend_from_slice(&bytes[at..end]);
            }
            at = end;
        }
        rdata.bytes.extend_from_slice(&bytes[at..]);
        rdata
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

/// The name whose addresses a client will ask for next.
pub(crate) fn target(record_type: u16, rdata: &[u8], origin: &WireName) -> Option<WireName> {
    match record_type {
        NS => name_in(rdata, 0, origin),
        MX => name_in(rdata, 2, origin),
        SRV => name_in(rdata, 6, origin),
        _ => None,
    }
}
