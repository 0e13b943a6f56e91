//! The same zones in NSD, in Knot DNS and here, and thousands of queries: what a client sees has to be what one of the two says.
//!
//! Deliberate differences, which are not asked for here and have tests of their own: ANY is answered with one record set (RFC 8482),
//! chains of more than eight aliases end, UPDATE and NOTIFY are NOTIMP, transfers are REFUSED, no CHAOS class. EDNS options are
//! ignored, so there are no cookies and no NSID. A truncated reply holds nothing but the question.

#![allow(clippy::unwrap_used, clippy::panic)]

mod oracle;

use std::collections::BTreeMap;
use std::sync::Arc;

use dns::{EmptyNonTerminals, Name, Transport, Zone, ZoneSet, answer, zonefile};
use oracle::{Oracle, Seen};

const ZONES: [&str; 3] = ["main.test", "child.main.test", "example"];
const QUERIES: usize = 12_000;
const TYPES: [u16; 22] = [1, 28, 16, 15, 5, 2, 6, 33, 43, 12, 257, 65, 64, 35, 52, 44, 65280, 13, 46, 47, 48, 1000];
const LABELS: [&str; 14] = ["x", "a", "www", "host", "*", "ns", "sub", "ent", "deep", "wild", "_tcp", "_ssh", "ns1", "known"];

fn zone(name: &str) -> Zone {
    let text = std::fs::read_to_string(format!("{}/tests/zones/{name}.zone", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let origin = Name::from_ascii(format!("{name}.")).unwrap();
    let file = zonefile::parse(&text, &origin).unwrap();
    let serial = BTreeMap::from([("main.test", 7), ("child.main.test", 3), ("example", 1)])[name];
    Zone::build(origin, &file.soa.unwrap(), serial, &file.records, EmptyNonTerminals::Empty).unwrap()
}

/// Our reply to a query over UDP.
fn ours(zones: &ZoneSet, query: &[u8]) -> Seen {
    let mut out = [0; 1232];
    let answered = answer(zones, query, Transport::Udp, &mut out).unwrap();
    Seen::read(&out[..answered.length])
}

/// A query for a name in presentation form without escapes.
fn query(name: &str, record_type: u16) -> Vec<u8> {
    let mut query = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        query.push(label.len() as u8);
        query.extend_from_slice(label.as_bytes());
    }
    query.push(0);
    query.extend_from_slice(&record_type.to_be_bytes());
    query.extend_from_slice(&[0, 1]);
    query
}

/// Numbers that look random and are the same in each run (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ mixed >> 31) % sides as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())]
    }
}

/// A name near one that exists.
fn name(dice: &mut Dice, owners: &[String]) -> String {
    let mut labels: Vec<String> = owners[dice.roll(owners.len())].split('.').map(str::to_owned).collect();
    match dice.roll(8) {
        0..=2 => {}
        3 => labels.insert(0, dice.pick(&LABELS).to_owned()),
        4 => (0..2).for_each(|_| labels.insert(0, dice.pick(&LABELS).to_owned())),
        5 if labels.len() > 2 => drop(labels.remove(0)),
        6 => labels[0] = dice.pick(&LABELS).to_owned(),
        _ => {
            for label in labels.iter_mut().filter(|label| label.as_str() == "*") {
                *label = format!("w{}", dice.roll(100));
            }
        }
    }
    labels.join(".")
}

fn mutate(dice: &mut Dice, query: &mut Vec<u8>) {
    for byte in &mut query[12..] {
        if byte.is_ascii_lowercase() && dice.roll(4) == 0 {
            byte.make_ascii_uppercase();
        }
    }
    query[2] = dice.pick(&[0, 1]);
    query[..2].copy_from_slice(&(dice.roll(65536) as u16).to_be_bytes());
    if dice.roll(3) > 0 {
        let payload: u16 = dice.pick(&[0, 511, 512, 1232, 4096]);
        let version = if dice.roll(40) == 0 { 1 } else { 0 };
        let dnssec_ok = dice.pick(&[0, 0x80]);
        query[11] = 1;
        query.extend_from_slice(&[0, 0, 41]);
        query.extend_from_slice(&payload.to_be_bytes());
        query.extend_from_slice(&[0, version, dnssec_ok, 0, 0, 0]);
    }
    if dice.roll(60) == 0 {
        // STATUS and an opcode that was never given out.
        query[2] |= dice.pick(&[2, 9]) << 3;
    }
}

#[test]
fn clients_see_what_nsd_or_knot_would_show() {
    let built: Vec<Arc<Zone>> = ZONES.iter().map(|name| Arc::new(zone(name))).collect();
    let mut owners: Vec<String> =
        built.iter().flat_map(|zone| zone.records()).map(|listed| listed.set.owner.to_ascii().trim_end_matches('.').to_owned()).collect();
    owners.extend(["other.test", "test", "main.testing"].map(str::to_owned));
    owners.dedup();
    let zones = ZoneSet::new(built).unwrap();
    let (nsd, knot) = (Oracle::nsd(&ZONES), Oracle::knot(&ZONES));
    let mut dice = Dice(4592);
    let mut differences = Vec::new();
    let mut agreed = [0_usize; 3];
    for _ in 0..QUERIES {
        let asked = name(&mut dice, &owners);
        let record_type = dice.pick(&TYPES);
        let mut query = query(&asked, record_type);
        mutate(&mut dice, &mut query);
        let (ours, nsd, knot) = (ours(&zones, &query), nsd.ask(&query), knot.ask(&query));
        match (ours == nsd, ours == knot) {
            (true, true) => agreed[0] += 1,
            (true, false) => agreed[1] += 1,
            (false, true) => agreed[2] += 1,
            (false, false) => differences.push(format!("{asked} TYPE{record_type} {query:02x?}\n ours {ours:?}\n nsd  {nsd:?}\n knot {knot:?}")),
        }
    }
    println!("like both {}, like NSD only {}, like Knot only {}", agreed[0], agreed[1], agreed[2]);
    let shown = differences.iter().take(8).cloned().collect::<Vec<_>>().join("\n\n");
    assert!(differences.is_empty(), "{} of {QUERIES} are like neither:\n{shown}", differences.len());
}
