//! Zones, and what cannot be one.
#![allow(clippy::unwrap_used)]

use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::{NULL, SOA as SoaData};

use super::*;
use crate::{RData, record, zonefile};

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn soa() -> Soa {
    Soa { mname: name("ns.z."), rname: name("Host.other."), refresh: 1, retry: 2, expire: 3, minimum: 4, ttl: 5 }
}

fn build(serial: u32, records: &[RecordSet]) -> Result<Zone, ZoneError> {
    Zone::build(name("z."), &soa(), serial, records, EmptyNonTerminals::Empty)
}

/// Records of every type.
fn main_file() -> zonefile::ZoneFile {
    zonefile::parse(include_str!("../../tests/zones/main.test.zone"), &name("main.test.")).unwrap()
}

fn main_zone(serial: u32, empty: EmptyNonTerminals) -> Zone {
    let file = main_file();
    Zone::build(name("main.test."), &file.soa.unwrap(), serial, &file.records, empty).unwrap()
}

fn a(owner: &str, last: u8) -> RecordSet {
    RecordSet { owner: name(owner), ttl: 60, data: vec![RData::from(std::net::IpAddr::from([192, 0, 2, last]))] }
}

#[test]
fn what_cannot_be_in_a_zone_is_named() {
    let unknown = |code: u16| RecordSet {
        owner: name("u.z."),
        ttl: 1,
        data: vec![RData::Unknown { code: RecordType::from(code), rdata: NULL::with(vec![0]) }],
    };
    let table = [
        (vec![a("x.y.", 1)], "x.y. is outside the zone z."),
        (vec![a("x.z.", 1), record::cname(name("X.z."), 1, name("y."))], "x.z. has a CNAME and other records"),
        (vec![record::cname(name("x.z."), 1, name("y.")), record::cname(name("x.z."), 1, name("w."))], "x.z. has a CNAME and other records"),
        (vec![record::cname(name("z."), 1, name("y."))], "z. has a CNAME and other records"),
        (vec![RecordSet { data: vec![], ..a("x.z.", 1) }], "x.z.: a record set holds one or more records of one type, in at most 60000 bytes"),
        (vec![RecordSet { ttl: 1 << 31, ..a("x.z.", 1) }], "x.z.: the TTL is above 2147483647 seconds"),
        (vec![unknown(39)], "u.z.: records of type DNAME cannot be served from a zone"),
        (vec![unknown(255)], "u.z.: records of type ANY cannot be served from a zone"),
        (vec![record::ns(name("*.z."), 1, [name("y.")])], "*.z.: a wildcard cannot be delegated"),
        (
            vec![RecordSet { owner: name("z."), ttl: 1, data: vec![RData::SOA(SoaData::new(name("a."), name("b."), 1, 1, 1, 1, 1))] }],
            "z.: records of type SOA cannot be served from a zone",
        ),
    ];
    for (records, expected) in table {
        assert_eq!(build(1, &records).unwrap_err().to_string(), expected);
    }
}

#[test]
fn sets_of_one_name_and_type_are_merged() {
    let zone = build(1, &[a("x.z.", 2), RecordSet { ttl: 30, ..a("X.Z.", 1) }, a("x.z.", 2)]).unwrap();
    let listed: Vec<RecordSet> = zone.records().skip(1).map(|listed| listed.set).collect();
    let merged = RecordSet { owner: name("x.z."), ttl: 30, data: [a("x.z.", 1).data, a("x.z.", 2).data].concat() };
    assert_eq!(listed, [merged]);
}

#[test]
fn borrowed_records_make_the_same_zone() {
    let records = [a("x.z.", 1), a("*.y.z.", 2), a("a.b.y.z.", 3)];
    let borrowed: Vec<&RecordSet> = records.iter().collect();
    let make = |zone: Result<Zone, ZoneError>| zone.unwrap().records().collect::<Vec<Listed>>();
    let whole = make(Zone::build(name("z."), &soa(), 1, &records, EmptyNonTerminals::InheritWildcard));
    assert_eq!(make(Zone::build(name("z."), &soa(), 1, &borrowed, EmptyNonTerminals::InheritWildcard)), whole);
}

#[test]
fn a_built_zone_lists_what_went_in() {
    let file = main_file();
    let zone = main_zone(9, EmptyNonTerminals::Empty);
    let key = |set: &RecordSet| {
        let mut data: Vec<String> = set.data.iter().map(|data| format!("{data:?}").to_lowercase()).collect();
        data.sort();
        format!("{} {} {:?} {data:?}", set.owner.to_lowercase(), set.ttl, set.record_type())
    };
    let mut given: Vec<String> = file.records.iter().map(key).collect();
    let mut listed: Vec<String> =
        zone.records().map(|listed| listed.set).filter(|set| set.record_type() != Some(RecordType::SOA)).map(|set| key(&set)).collect();
    given.sort();
    listed.sort();
    assert_eq!(listed, given);
}

#[test]
fn the_content_hash_follows_the_content_alone() {
    let records = [a("x.z.", 1), a("x.z.", 2), a("y.z.", 3)];
    let mut turned = records.clone();
    turned.reverse();
    let hash = |serial, records: &[RecordSet]| build(serial, records).unwrap().content_hash();
    assert_eq!(hash(1, &records), hash(2, &turned));
    assert_ne!(hash(1, &records), hash(1, &records[..2]));
    assert_ne!(hash(1, &records), hash(1, &[a("x.z.", 1), a("x.z.", 2), RecordSet { ttl: 61, ..a("y.z.", 3) }]));
    let other = Zone::build(name("z."), &Soa { minimum: 9, ..soa() }, 1, &records, EmptyNonTerminals::Empty).unwrap();
    assert_ne!(hash(1, &records), other.content_hash());
}

#[test]
fn the_content_hash_is_the_one_that_replicas_have_stored() {
    let hash = |empty| main_zone(9, empty).content_hash().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hash(EmptyNonTerminals::Empty), "52d52318b4c75c3a297ecb52f998a440496eb787dd5e480b82884bb1a7fd30f8");
    assert_eq!(hash(EmptyNonTerminals::InheritWildcard), "155bd218923e34d04a282d9b6dbc9e706a9ec7bb18118e54f0629594fb63b0a0");
}

#[test]
fn a_zone_at_another_serial_is_the_zone_built_at_it() {
    for empty in [EmptyNonTerminals::Empty, EmptyNonTerminals::InheritWildcard] {
        let before = main_zone(7, empty);
        let (copy, built) = (before.with_serial(0x1234_5678), main_zone(0x1234_5678, empty));
        assert_eq!(fields(&copy), fields(&built));
        assert_eq!(copy.records().collect::<Vec<_>>(), built.records().collect::<Vec<_>>());
        assert_eq!(fields(&before), fields(&main_zone(7, empty)));
    }
}

/// All of a zone but its table, whose hashes differ from build to build.
fn fields(zone: &Zone) -> String {
    let Zone { origin, origin_wire, serial, soa, nodes, sets, names, wire, patches, additional, negative_soa, .. } = zone;
    let origin = (origin, origin_wire.bytes(), serial, soa);
    format!("{origin:?} {nodes:?} {sets:?} {names:?} {wire:?} {patches:?} {additional:?} {negative_soa:?}")
}

#[test]
fn an_explanation_tells_every_step() {
    let records = [
        a("host.z.", 1),
        a("*.w.z.", 2),
        a("a.ent.z.", 3),
        record::cname(name("c.z."), 1, name("any.w.z.")),
        record::cname(name("out.z."), 1, name("x.other.")),
        record::cname(name("l.z."), 1, name("l.z.")),
        record::ns(name("d.z."), 1, [name("ns.other.")]),
    ];
    let zone = build(1, &records).unwrap();
    let steps = |text: &str| zone.lookup_explained(&name(text), RecordType::A).steps;
    let wildcard = |text: &str| Step::Wildcard { name: name(text), source: name("*.w.z.") };
    let alias = |from: &str, to: &str| Step::Alias { name: name(from), target: name(to) };
    assert_eq!(steps("host.z."), [Step::Found(name("host.z."))]);
    assert_eq!(steps("ent.z."), [Step::EmptyNonTerminal(name("ent.z."))]);
    assert_eq!(steps("z."), [Step::NoData(name("z."))]);
    assert_eq!(steps("x.host.z."), [Step::NxDomain { name: name("x.host.z."), closest_encloser: name("host.z.") }]);
    assert_eq!(steps("c.z."), [alias("c.z.", "any.w.z."), wildcard("any.w.z."), Step::Found(name("any.w.z."))]);
    assert_eq!(steps("out.z."), [alias("out.z.", "x.other."), Step::OutsideZone(name("x.other."))]);
    assert_eq!(steps("l.z."), [alias("l.z.", "l.z."), Step::ChainEnds(name("l.z."))]);
    assert_eq!(steps("a.d.z."), [Step::Delegation { name: name("a.d.z."), cut: name("d.z.") }]);
    let explained = zone.lookup_explained(&name("c.z."), RecordType::A);
    let synthesised = RecordSet { owner: name("any.w.z."), ..a("x.z.", 2) };
    assert_eq!(explained.records, [record::cname(name("c.z."), 1, name("any.w.z.")), synthesised]);
}

/// Prints how long a build takes and how much it holds: `cargo test -p vrata-dns --release -- --ignored --nocapture builds`.
#[test]
#[ignore = "a measurement, not a claim"]
fn builds_of_many_names_are_measured() {
    for names in [10_000_u32, 100_000, 1_000_000] {
        let set = |number: u32| RecordSet {
            owner: name(&format!("host{number}.z.")),
            ttl: 60,
            data: vec![RData::from(std::net::IpAddr::from(number.to_be_bytes()))],
        };
        let records: Vec<RecordSet> = (0..names).map(set).collect();
        let start = std::time::Instant::now();
        let zone = build(1, &records).unwrap();
        let built = start.elapsed();
        let hash = zone.content_hash();
        let hashed = start.elapsed() - built;
        let bytes = zone.nodes.capacity() * size_of::<Node>()
            + zone.sets.capacity() * size_of::<Set>()
            + zone.names.capacity()
            + zone.wire.capacity()
            + zone.table.allocation_size();
        println!("{names} names: built in {built:?}, hashed in {hashed:?} ({:02x}), {} bytes a name", hash[0], bytes / names as usize);
    }
}
