//! Records to a [`Zone`]: nodes first, then the records' wire form, then what points from one node to another.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::num::NonZeroU32;

use hashbrown::{DefaultHashBuilder, HashTable};
use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::SOA;

use super::{APEX, EmptyNonTerminals, Node, NodeId, Set, Span, Zone, ZoneError};
use crate::name::WireName;
use crate::wire::{self, EncodedSet, NS, RdataEncoder};
use crate::{Name, RData, RecordSet, Soa};

/// Longest wire form of a record set: it has to fit a message beside question and OPT.
const MAX_SET: usize = 60_000;

/// Room for the SOA and that of negative answers, so that those beside one address for each name make no array grow.
const SOAS: usize = 256;

/// Which records go to which node. Sorting brings those of one set together, in the order they were given; most are in order from the
/// start, which the stable sort makes use of.
type Placed = Vec<(NodeId, u16, u32)>;

pub(super) fn build<R: Borrow<RecordSet>>(origin: Name, soa: &Soa, serial: u32, records: &[R], empty: EmptyNonTerminals) -> Result<Zone, ZoneError> {
    let mut zone = empty_zone(origin, soa, serial, records.len());
    let mut placed = place(&mut zone, records)?;
    if empty == EmptyNonTerminals::InheritWildcard {
        inherit(&mut zone, &mut placed)?;
    }
    encode(&mut zone, soa, records, &placed)?;
    link(&mut zone)?;
    zone.names.shrink_to_fit();
    zone.nodes.shrink_to_fit();
    zone.sets.shrink_to_fit();
    zone.wire.shrink_to_fit();
    Ok(zone)
}

/// Makes the nodes of all records.
fn place<R: Borrow<RecordSet>>(zone: &mut Zone, records: &[R]) -> Result<Placed, ZoneError> {
    let apex = zone.origin_wire;
    zone.insert(&apex, apex.labels())?;
    let mut placed = Placed::with_capacity(records.len());
    for (index, set) in records.iter().map(Borrow::borrow).enumerate() {
        let record_type = check(&zone.origin, set)?;
        let owner = WireName::of(&set.owner);
        if !zone.encloses(&owner) {
            return Err(ZoneError::OutsideZone { owner: set.owner.clone().into(), origin: zone.origin.clone().into() });
        }
        let node = zone.insert(&owner, owner.labels())?;
        placed.push((node, record_type, index as u32));
    }
    placed.sort();
    Ok(placed)
}

fn empty_zone(origin: Name, soa: &Soa, serial: u32, names: usize) -> Zone {
    let origin_wire = WireName::of(&origin);
    let nothing = Set { record_type: 0, records: 0, wire: 0, wire_length: 0, patches: Span::default(), additional: Span::default() };
    Zone {
        origin,
        origin_wire,
        serial,
        soa: soa.clone(),
        nodes: Vec::with_capacity(names + 1),
        sets: Vec::with_capacity(names + 1),
        names: Vec::with_capacity(names * (origin_wire.bytes().len() + 8)),
        wire: Vec::with_capacity(SOAS + names * 16),
        patches: Vec::new(),
        additional: Vec::new(),
        table: HashTable::with_capacity(names + 1),
        hasher: DefaultHashBuilder::default(),
        negative_soa: nothing,
    }
}

/// The type of a set that may stand in a zone.
fn check(origin: &Name, set: &RecordSet) -> Result<u16, ZoneError> {
    let Some(record_type) = set.record_type().filter(|&first| set.data.iter().all(|data| data.record_type() == first)) else {
        return Err(ZoneError::BadRecordSet(set.owner.clone()));
    };
    if set.ttl > i32::MAX as u32 {
        return Err(ZoneError::Ttl(set.owner.clone()));
    }
    let number = u16::from(record_type);
    // RFC 6895 section 3.1: 128 to 255 are queries and meta types.
    let is_data = !matches!(number, 0 | 6 | 39 | 41 | 128..=255) && !matches!(record_type, RecordType::RRSIG | RecordType::NSEC | RecordType::NSEC3);
    if !is_data {
        return Err(ZoneError::UnsupportedType { owner: set.owner.clone(), record_type });
    }
    if number == NS && set.owner.is_wildcard() && set.owner != *origin {
        return Err(ZoneError::WildcardDelegation(set.owner.clone()));
    }
    Ok(number)
}

impl Zone {
    /// The node of the name's last `labels` labels, which are at or below the apex; it and every name between it and the apex come to
    /// exist.
    fn insert(&mut self, name: &WireName, labels: usize) -> Result<NodeId, ZoneError> {
        let bytes = name.last(labels);
        let hash = self.hash(bytes);
        if let Some(id) = self.probe_hashed(hash, bytes) {
            return Ok(id);
        }
        let depth = labels - self.origin_wire.labels();
        let parent = match depth {
            0 => None,
            1 => Some(APEX),
            _ => Some(self.insert(name, labels - 1)?),
        };
        let id = self.push_node(bytes, depth as u8)?;
        if let Some(parent) = parent.filter(|_| bytes.starts_with(b"\x01*")) {
            self.nodes[parent as usize].wildcard = NonZeroU32::new(id);
        }
        let Self { table, nodes, names, hasher, .. } = self;
        table.insert_unique(hash, id, |&id| {
            let node = &nodes[id as usize];
            std::hash::BuildHasher::hash_one(hasher, &names[node.name as usize..node.name as usize + usize::from(node.name_length)])
        });
        Ok(id)
    }

    fn push_node(&mut self, name: &[u8], depth: u8) -> Result<NodeId, ZoneError> {
        let id = NodeId::try_from(self.nodes.len()).map_err(|_| ZoneError::TooLarge)?;
        let start = u32::try_from(self.names.len()).map_err(|_| ZoneError::TooLarge)?;
        self.names.extend_from_slice(name);
        self.nodes.push(Node {
            name: start,
            name_length: name.len() as u8,
            depth,
            is_cut: false,
            is_derived: false,
            wildcard: None,
            sets: Span::default(),
        });
        Ok(id)
    }
}

/// Gives each empty non-terminal the records of the wildcard that covered it before something came below it.
fn inherit(zone: &mut Zone, placed: &mut Placed) -> Result<(), ZoneError> {
    let mut sources: BTreeMap<NodeId, Placed> = BTreeMap::new();
    for id in 0..zone.nodes.len() as NodeId {
        if let Some(wildcard) = zone.node(id).wildcard {
            let first = placed.partition_point(|&(node, ..)| node < wildcard.get());
            sources.insert(wildcard.get(), placed[first..].iter().take_while(|&&(node, ..)| node == wildcard.get()).copied().collect());
        }
    }
    if sources.is_empty() {
        return Ok(());
    }
    for id in empty_nodes(zone, placed) {
        let name = WireName::read(zone.name(zone.node(id)), 0).expect("the zone's own names are whole");
        let parent = zone.probe(name.last(name.labels() - 1)).expect("every name but the apex has a parent");
        let Some(records) = zone.node(parent).wildcard.and_then(|source| sources.get(&source.get())).filter(|records| !records.is_empty()).cloned()
        else {
            continue;
        };
        if name.bytes().starts_with(b"\x01*") {
            continue;
        }
        copy(zone, placed, id, &records);
        if zone.node(id).wildcard.is_none()
            && let Some(wildcard) = wildcard_below(&name)
        {
            let wildcard = zone.insert(&wildcard, wildcard.labels())?;
            copy(zone, placed, wildcard, &records);
            sources.insert(wildcard, records);
        }
    }
    placed.sort();
    Ok(())
}

/// The nodes without records, from the top, so that what one inherits passes on to those below it.
fn empty_nodes(zone: &Zone, placed: &Placed) -> Vec<NodeId> {
    let mut has_records = vec![false; zone.nodes.len()];
    for &(node, ..) in placed {
        has_records[node as usize] = true;
    }
    let mut empty: Vec<NodeId> = (1..zone.nodes.len() as NodeId).filter(|&id| !has_records[id as usize]).collect();
    empty.sort_by_key(|&id| zone.node(id).depth);
    empty
}

fn copy(zone: &mut Zone, placed: &mut Placed, to: NodeId, records: &Placed) {
    zone.nodes[to as usize].is_derived = true;
    placed.extend(records.iter().map(|&(_, record_type, index)| (to, record_type, index)));
}

/// `*` below the name; `None` when that is too long to be a name.
fn wildcard_below(name: &WireName) -> Option<WireName> {
    WireName::read(&[b"\x01*", name.bytes()].concat(), 0)
}

/// Writes every set's records.
fn encode<R: Borrow<RecordSet>>(zone: &mut Zone, soa: &Soa, records: &[R], placed: &Placed) -> Result<(), ZoneError> {
    let mut encoder = RdataEncoder::new(zone.origin_wire);
    encode_soa(zone, &mut encoder, soa)?;
    let record = |&(.., index): &(NodeId, u16, u32)| records[index as usize].borrow();
    let mut rest = placed.as_slice();
    for id in 0..zone.nodes.len() as NodeId {
        // The apex's sets start with the SOA, written just now.
        let start = if id == APEX { 0 } else { zone.sets.len() };
        while let Some(first) = rest.first().filter(|&&(node, ..)| node == id) {
            let (same, others) = rest.split_at(rest.iter().take_while(|other| (other.0, other.1) == (first.0, first.1)).count());
            let ttl = same.iter().map(|place| record(place).ttl).min().unwrap_or_default();
            let data = same.iter().flat_map(|place| &record(place).data);
            let set = encode_set(zone, &mut encoder, &record(first).owner, first.1, ttl, data)?;
            zone.sets.push(set);
            rest = others;
        }
        if id == APEX {
            zone.sets.sort_by_key(|set| set.record_type);
        }
        finish(zone, id, start, || record(&placed[placed.partition_point(|&(node, ..)| node < id)]).owner.clone())?;
    }
    Ok(())
}

fn encode_soa(zone: &mut Zone, encoder: &mut RdataEncoder, soa: &Soa) -> Result<(), ZoneError> {
    let data = |serial| RData::SOA(SOA::new(soa.mname.clone(), soa.rname.clone(), serial, soa.refresh, soa.retry, soa.expire, soa.minimum));
    let (origin, serial) = (zone.origin.clone(), zone.serial);
    let set = encode_set(zone, encoder, &origin, wire::SOA, soa.ttl, [&data(serial)])?;
    zone.sets.push(set);
    // RFC 2308 section 3: the lower one of the SOA's TTL and its MINIMUM.
    zone.negative_soa = encode_set(zone, encoder, &origin, wire::SOA, soa.ttl.min(soa.minimum), [&data(serial)])?;
    Ok(())
}

fn encode_set<'a>(
    zone: &mut Zone,
    encoder: &mut RdataEncoder,
    owner: &Name,
    record_type: u16,
    ttl: u32,
    data: impl IntoIterator<Item = &'a RData>,
) -> Result<Set, ZoneError> {
    let encoded = encoder.encode(data).map_err(|error| ZoneError::Encoding { owner: owner.clone(), reason: error.to_string() })?;
    if record_type == wire::CNAME && encoded.len() > 1 {
        return Err(ZoneError::CnameAndOther(owner.clone()));
    }
    let (start, patches) = (zone.wire.len(), zone.patches.len());
    write_set(zone, record_type, ttl, &encoded).ok_or_else(|| ZoneError::BadRecordSet(owner.clone()))?;
    Ok(Set {
        record_type,
        records: encoded.len() as u16,
        wire: u32::try_from(start).map_err(|_| ZoneError::TooLarge)?,
        wire_length: (zone.wire.len() - start) as u16,
        patches: span(patches, zone.patches.len())?,
        additional: Span::default(),
    })
}

/// Appends the set's records; `None` if they are longer than a message can hold.
fn write_set(zone: &mut Zone, record_type: u16, ttl: u32, encoded: &EncodedSet<'_>) -> Option<()> {
    let start = zone.wire.len();
    for (rdata, pointers) in encoded.iter() {
        let record = zone.wire.len() - start;
        wire::push_record(&mut zone.wire, record_type, ttl, rdata);
        zone.patches.extend(pointers.map(|at| (record + wire::FIXED + at) as u16));
        if zone.wire.len() - start > MAX_SET {
            return None;
        }
    }
    Some(())
}

fn span(start: usize, end: usize) -> Result<Span, ZoneError> {
    Ok(Span { start: u32::try_from(start).map_err(|_| ZoneError::TooLarge)?, length: u16::try_from(end - start).map_err(|_| ZoneError::TooLarge)? })
}

/// Ties the sets from `start` on to the node and checks that they go together; `owner` is the node's name as it was given.
fn finish(zone: &mut Zone, id: NodeId, start: usize, owner: impl Fn() -> Name) -> Result<(), ZoneError> {
    let sets = &zone.sets[start..];
    if sets.len() > 1 && sets.iter().any(|set| set.record_type == wire::CNAME) {
        return Err(ZoneError::CnameAndOther(owner()));
    }
    let is_cut = id != APEX && sets.iter().any(|set| set.record_type == NS);
    let sets = span(start, zone.sets.len())?;
    let node = &mut zone.nodes[id as usize];
    node.is_cut = is_cut;
    node.sets = sets;
    Ok(())
}

/// Finds the nodes that the records' targets name, once all nodes are known.
fn link(zone: &mut Zone) -> Result<(), ZoneError> {
    for index in 0..zone.sets.len() {
        let set = zone.sets[index];
        if !wire::has_target(set.record_type) {
            continue;
        }
        let mut nodes: Vec<NodeId> = Vec::new();
        for rdata in wire::rdatas(zone.wire(&set)) {
            let target = wire::target(set.record_type, rdata, &zone.origin_wire).filter(|target| zone.encloses(target));
            let node = target.and_then(|target| zone.probe(target.bytes()));
            nodes.extend(node.filter(|node| !nodes.contains(node)));
        }
        let start = zone.additional.len();
        zone.additional.extend(nodes);
        zone.sets[index].additional = span(start, zone.additional.len())?;
    }
    Ok(())
}
