//! Reading a built zone back as records, and its content as one hash.

use hickory_proto::rr::RecordType;
use hickory_proto::serialize::binary::{BinDecoder, Restrict};
use sha2::{Digest, Sha256};

use super::{Node, Set, Zone};
use crate::name::to_name;
use crate::wire::{self, FIXED, SOA};
use crate::{Name, RData, RecordSet};

/// Bytes after which the content hash is fed.
const HASHED_AT_ONCE: usize = 8 * 1024;

/// A record set of a built zone.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// The records.
    pub set: RecordSet,
    /// Whether they were copied from a wildcard ([`super::EmptyNonTerminals::InheritWildcard`]).
    pub derived: bool,
}

impl Zone {
    /// A hash over all records and the SOA, but not the serial: the same in every run and on every machine, whatever the records' order.
    #[must_use]
    pub fn content_hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        self.hash_soa(&mut hash);
        // The hash is given much at once: its price for each piece is above that of a record.
        let mut pieces = Vec::with_capacity(2 * HASHED_AT_ONCE);
        for node in self.by_name() {
            pieces.extend_from_slice(self.name(node));
            for set in self.sets(node).iter().filter(|set| set.record_type != SOA) {
                pieces.extend_from_slice(&set.wire_length.to_be_bytes());
                pieces.extend_from_slice(self.wire(set));
            }
            if pieces.len() >= HASHED_AT_ONCE {
                hash.update(&pieces);
                pieces.clear();
            }
        }
        hash.update(&pieces);
        hash.finalize().into()
    }

    fn hash_soa(&self, hash: &mut Sha256) {
        let soa = &self.soa;
        hash.update(self.origin_wire.bytes());
        for name in [&soa.mname, &soa.rname] {
            hash.update(name.to_ascii());
            hash.update([0]);
        }
        for number in [soa.refresh, soa.retry, soa.expire] {
            hash.update(number.to_be_bytes());
        }
        hash.update(soa.minimum.to_be_bytes());
        hash.update(soa.ttl.to_be_bytes());
    }

    /// Nodes with records in the order of their names' bytes, most of which the first few decide.
    fn by_name(&self) -> impl Iterator<Item = &Node> {
        let mut order: Vec<(u128, &Node)> =
            self.nodes.iter().filter(|node| node.sets.length > 0).map(|node| (first_bytes(self.name(node)), node)).collect();
        order.sort_unstable_by(|(a, node_a), (b, node_b)| a.cmp(b).then_with(|| self.name(node_a).cmp(self.name(node_b))));
        order.into_iter().map(|(_, node)| node)
    }

    /// How many names exist, empty non-terminals included.
    #[must_use]
    pub const fn name_count(&self) -> usize {
        self.nodes.len()
    }

    /// Every record set by owner in canonical order (RFC 4034 section 6.1), then by type; the SOA is the apex's.
    pub fn records(&self) -> impl Iterator<Item = Listed> + '_ {
        let mut order: Vec<&Node> = self.nodes.iter().filter(|node| node.sets.length > 0).collect();
        order.sort_by_cached_key(|node| canonical_key(self.name(node)));
        order.into_iter().flat_map(move |node| {
            self.sets(node).iter().map(move |set| Listed { set: self.decode(to_name(self.name(node)), set), derived: node.is_derived })
        })
    }

    /// The set as records of `owner`.
    pub(super) fn decode(&self, owner: Name, set: &Set) -> RecordSet {
        let wire = self.wire(set);
        let ttl = wire.get(6..10).map_or(0, |ttl| u32::from_be_bytes([ttl[0], ttl[1], ttl[2], ttl[3]]));
        let mut start = 0;
        let data = wire::records(wire).map(|record| {
            let bytes = self.expand(set, start + FIXED, &record[FIXED..]);
            start += record.len();
            decode_rdata(set.record_type, &bytes)
        });
        RecordSet { owner, ttl, data: data.collect() }
    }

    /// RDATA with the origin put in where it was cut off; `at` is the RDATA's place in the set.
    fn expand(&self, set: &Set, at: usize, rdata: &[u8]) -> Vec<u8> {
        let mut whole = Vec::with_capacity(rdata.len());
        let mut done = 0;
        for pointer in self.patches(set).iter().map(|&pointer| usize::from(pointer)).filter(|&pointer| pointer >= at && pointer < at + rdata.len()) {
            whole.extend_from_slice(&rdata[done..pointer - at]);
            whole.extend_from_slice(self.origin_wire.bytes());
            done = pointer - at + 2;
        }
        whole.extend_from_slice(&rdata[done..]);
        whole
    }
}

/// The first bytes as a number that sorts like them; where it is equal, the names decide.
fn first_bytes(name: &[u8]) -> u128 {
    let mut first = [0; 16];
    let length = name.len().min(first.len());
    first[..length].copy_from_slice(&name[..length]);
    u128::from_be_bytes(first)
}

fn decode_rdata(record_type: u16, bytes: &[u8]) -> RData {
    let mut decoder = BinDecoder::new(bytes);
    RData::read(&mut decoder, RecordType::from(record_type), Restrict::new(bytes.len() as u16)).expect("it was encoded when the zone was built")
}

/// Sorts like RFC 4034 section 6.1: by labels from the right, each followed by a byte below all others.
fn canonical_key(name: &[u8]) -> Vec<Vec<u8>> {
    let mut labels = Vec::new();
    let mut at = 0;
    while let Some(size) = name.get(at).map(|&size| usize::from(size)).filter(|&size| size > 0) {
        labels.push(name[at + 1..at + 1 + size].to_vec());
        at += 1 + size;
    }
    labels.reverse();
    labels
}
