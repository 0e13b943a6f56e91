//! Answers to single questions.
#![allow(clippy::unwrap_used, clippy::panic)]

//! RFC 4592 sentence by sentence with its own zone, and what the differential test leaves out.

use std::sync::Arc;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;

use super::*;
use crate::{EmptyNonTerminals, Name, Zone, zonefile};

/// The zone of RFC 4592 section 2.2.1.
const RFC4592: &str = include_str!("../../tests/zones/example.zone");

fn zones(origin: &str, text: &str, empty: EmptyNonTerminals) -> ZoneSet {
    let origin = Name::from_ascii(origin).unwrap();
    let text = if text.contains("SOA") { text.to_owned() } else { format!("$TTL 60\n@ SOA ns host 1 2 3 4 5\n@ NS ns\n{text}") };
    let file = zonefile::parse(&text, &origin).unwrap();
    ZoneSet::new(vec![Arc::new(Zone::build(origin, &file.soa.unwrap(), 1, &file.records, empty).unwrap())]).unwrap()
}

pub(super) fn query(name: &str, record_type: RecordType) -> Vec<u8> {
    let mut query = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        query.push(label.len() as u8);
        query.extend_from_slice(label.as_bytes());
    }
    query.push(0);
    query.extend_from_slice(&u16::from(record_type).to_be_bytes());
    query.extend_from_slice(&[0, 1]);
    query
}

fn ask(zones: &ZoneSet, name: &str, record_type: RecordType) -> Message {
    let mut out = [0; 65535];
    let answered = answer(zones, &query(name, record_type), Transport::Tcp, &mut out).unwrap();
    Message::from_vec(&out[..answered.length]).unwrap()
}

/// Code, owners of the answer with their types, and the number of authority records.
fn summary(zones: &ZoneSet, name: &str, record_type: RecordType) -> String {
    let message = ask(zones, name, record_type);
    let answers: Vec<String> = message.answers.iter().map(|record| format!("{} {}", record.name, record.record_type())).collect();
    let soa = message.authorities.iter().any(|record| record.record_type() == RecordType::SOA);
    let code = if message.metadata.response_code == ResponseCode::NXDomain { "NXDOMAIN" } else { "NOERROR" };
    format!("{code} [{}]{}", answers.join(", "), if soa { " SOA" } else { "" })
}

/// RFC 4592 section 2.2.1: "The following responses would be synthesized from one of the wildcards in the zone".
#[test]
fn the_rfcs_examples_that_are_synthesised() {
    let zones = zones("example.", RFC4592, EmptyNonTerminals::Empty);
    let table = [
        // "the answer will be host3.example. IN MX"
        ("host3.example", RecordType::MX, "NOERROR [host3.example. MX]"),
        // "the answer will reflect 'no error, but no data' because there is no A RR set at '*.example.'"
        ("host3.example", RecordType::A, "NOERROR [] SOA"),
        // "the answer will be foo.bar.example. IN TXT because bar.example. does not exist, but the wildcard does."
        ("foo.bar.example", RecordType::TXT, "NOERROR [foo.bar.example. TXT]"),
    ];
    for (name, record_type, expected) in table {
        assert_eq!(summary(&zones, name, record_type), expected, "{name} {record_type}");
    }
}

/// RFC 4592 section 2.2.1: "The following responses would not be synthesized from any of the wildcards in the zone".
#[test]
fn the_rfcs_examples_that_are_not_synthesised() {
    let zones = zones("example.", RFC4592, EmptyNonTerminals::Empty);
    let table = [
        // "because host1.example. exists"
        ("host1.example", RecordType::MX, "NOERROR [] SOA"),
        // "because sub.*.example. exists"
        ("sub.*.example", RecordType::MX, "NOERROR [] SOA"),
        // "because _telnet._tcp.host1.example. does not exist and host1.example. does, and the closest encloser has no wildcard"
        ("_telnet._tcp.host1.example", RecordType::SRV, "NXDOMAIN [] SOA"),
        // "because *.example. exists": the literal asterisk is its own closest encloser.
        ("ghost.*.example", RecordType::MX, "NXDOMAIN [] SOA"),
        // Section 2.2.2: an empty non-terminal exists.
        ("_tcp.host2.example", RecordType::TXT, "NOERROR [] SOA"),
        ("host2.example", RecordType::TXT, "NOERROR [] SOA"),
        // Section 2.3: the asterisk as a query name matches as it stands.
        ("*.example", RecordType::MX, "NOERROR [*.example. MX]"),
    ];
    for (name, record_type, expected) in table {
        assert_eq!(summary(&zones, name, record_type), expected, "{name} {record_type}");
    }
    // "because subdel.example. exists (and is a zone cut)"
    let referral = ask(&zones, "host.subdel.example", RecordType::A);
    assert_eq!((referral.metadata.authoritative, referral.answers.len(), referral.authorities.len()), (false, 0, 2));
}

/// RFC 4592 section 3.3.1: the source of synthesis is the asterisk below the closest encloser, and below no other name.
#[test]
fn a_wildcard_does_not_reach_past_an_existing_name() {
    let zones = zones("z.", "* A 192.0.2.1\nb TXT x\n*.d.e A 192.0.2.2", EmptyNonTerminals::Empty);
    let table = [
        ("a.z", "NOERROR [a.z. A]"),
        ("a.a.z", "NOERROR [a.a.z. A]"),
        ("b.z", "NOERROR [] SOA"),
        ("a.b.z", "NXDOMAIN [] SOA"),
        ("e.z", "NOERROR [] SOA"),
        ("d.e.z", "NOERROR [] SOA"),
        ("x.e.z", "NXDOMAIN [] SOA"),
        ("x.d.e.z", "NOERROR [x.d.e.z. A]"),
    ];
    for (name, expected) in table {
        assert_eq!(summary(&zones, name, RecordType::A), expected, "{name}");
    }
}

#[test]
fn a_challenge_below_a_name_leaves_its_wildcard_answer_in_place() {
    let text = "* A 192.0.2.1\n_acme-challenge.foo TXT token\n_acme-challenge.a.b TXT token\n_acme-challenge.own TXT token\nown AAAA ::1";
    let kept = zones("z.", text, EmptyNonTerminals::InheritWildcard);
    let table = [
        ("foo.z", "NOERROR [foo.z. A]"),
        ("x.foo.z", "NOERROR [x.foo.z. A]"),
        ("b.z", "NOERROR [b.z. A]"),
        ("a.b.z", "NOERROR [a.b.z. A]"),
        ("x.a.b.z", "NOERROR [x.a.b.z. A]"),
        ("own.z", "NOERROR [] SOA"),
        ("x.own.z", "NXDOMAIN [] SOA"),
        ("_acme-challenge.foo.z", "NOERROR [] SOA"),
    ];
    for (name, expected) in table {
        assert_eq!(summary(&kept, name, RecordType::A), expected, "{name}");
    }
    let derived: Vec<String> = kept.zones()[0].records().filter(|listed| listed.derived).map(|listed| listed.set.owner.to_string()).collect();
    assert_eq!(derived, ["b.z.", "*.b.z.", "a.b.z.", "*.a.b.z.", "foo.z.", "*.foo.z."]);
    assert_eq!(summary(&zones("z.", text, EmptyNonTerminals::Empty), "foo.z", RecordType::A), "NOERROR [] SOA");
}

#[test]
fn chains_follow_eight_aliases_and_stop_at_loops() {
    let chain: String = (0..12).map(|number| format!("c{number} CNAME c{}\n", number + 1)).collect();
    let zones = zones("z.", &(chain + "c12 A 192.0.2.1\nl1 CNAME l2\nl2 CNAME l1\n*.w CNAME x.v\n*.v CNAME x.w"), EmptyNonTerminals::Empty);
    let answers = |name| ask(&zones, name, RecordType::A).answers.len();
    assert_eq!([answers("c0.z"), answers("c5.z"), answers("l1.z"), answers("q.w.z")], [8, 8, 2, 3]);
}

#[test]
fn any_is_answered_with_the_shortest_set() {
    let zones = zones("z.", "a TXT a-long-text-that-nobody-asked-for\na A 192.0.2.1\na A 192.0.2.2\na AAAA ::1", EmptyNonTerminals::Empty);
    assert_eq!(summary(&zones, "a.z", RecordType::ANY), "NOERROR [a.z. AAAA]");
}

#[test]
fn the_zone_with_the_longest_origin_answers_and_the_parent_has_the_ds() {
    let build = |origin: &str, text: &str| {
        let set = zones(origin, text, EmptyNonTerminals::Empty);
        Arc::clone(&set.zones()[0])
    };
    let zones = ZoneSet::new(vec![build("z.", "c NS ns.c\nns.c A 192.0.2.1"), build("c.z.", "a A 192.0.2.2")]).unwrap();
    assert_eq!(summary(&zones, "a.c.z", RecordType::A), "NOERROR [a.c.z. A]");
    let soa_of = |record_type| ask(&zones, "c.z", record_type).authorities[0].name.to_string();
    assert_eq!([soa_of(RecordType::DS), soa_of(RecordType::TXT)], ["z.", "c.z."]);
    let twice = ZoneSet::new(vec![build("z.", ""), build("Z.", "")]).unwrap_err();
    assert_eq!(twice.to_string(), "the zone Z. is there twice");
}

#[test]
fn the_root_can_be_a_zone() {
    let zones = zones(".", "a A 192.0.2.1\nb MX 1 a", EmptyNonTerminals::Empty);
    assert_eq!(summary(&zones, "a", RecordType::A), "NOERROR [a. A]");
    assert_eq!(summary(&zones, "x.y", RecordType::A), "NXDOMAIN [] SOA");
    assert_eq!(ask(&zones, "b", RecordType::MX).additionals.len(), 1);
}

#[test]
fn the_question_comes_back_letter_by_letter() {
    let zones = zones("z.", "www A 192.0.2.1", EmptyNonTerminals::Empty);
    let query = query("wWw.Z", RecordType::A);
    let mut out = [0; 512];
    answer(&zones, &query, Transport::Udp, &mut out).unwrap();
    assert_eq!(out[12..query.len()], query[12..]);
}

#[test]
fn messages_that_break_the_rules_are_formerr_or_get_nothing() {
    let zones = zones("z.", "www A 192.0.2.1", EmptyNonTerminals::Empty);
    let good = query("www.z", RecordType::A);
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut query = good.clone();
        change(&mut query);
        let mut out = [0; 512];
        answer(&zones, &query, Transport::Udp, &mut out).map(|answered| (answered.code, answered.length))
    };
    const OPT: [u8; 11] = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
    let question = good.len();
    type Case<'a> = (&'a str, &'a dyn Fn(&mut Vec<u8>), Option<(u16, usize)>);
    let table: [Case<'_>; 11] = [
        ("cut header", &|query| query.truncate(11), None),
        ("a reply", &|query| query[2] |= 0x80, None),
        ("no question", &|query| query[5] = 0, Some((code::FORMERR, 12))),
        ("two questions", &|query| query[5] = 2, Some((code::FORMERR, 12))),
        ("cut question", &|query| query.truncate(question - 1), Some((code::FORMERR, 12))),
        ("pointer in the question", &|query| query[12] = 0xC0, Some((code::FORMERR, 12))),
        ("trailing bytes", &|query| query.push(0), Some((code::FORMERR, question))),
        ("an answer in a query", &|query| query[7] = 1, Some((code::FORMERR, question))),
        ("two OPTs", &|query| (query[11] = 2, query.extend([OPT, OPT].concat())).1, Some((code::FORMERR, question + OPT.len()))),
        ("OPT not at the root", &|query| (query[11] = 1, query.push(1), query.push(b'a'), query.extend(OPT)).3, Some((code::FORMERR, question))),
        ("transfer", &|query| query[question - 3] = 252, Some((code::REFUSED, question))),
    ];
    for (what, change, expected) in table {
        assert_eq!(with(change), expected, "{what}");
    }
}

/// RFC 6891 section 6.1.1: "If an OPT record is present in a received request, compliant responders MUST include an OPT record in their
/// respective responses."
#[test]
fn every_reply_to_an_opt_that_can_be_read_has_one() {
    let zones = zones("z.", "www A 192.0.2.1", EmptyNonTerminals::Empty);
    const OPT: [u8; 11] = [0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0];
    const RECORD: [u8; 16] = [0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 1];
    let good = query("www.z", RecordType::A);
    let question = good.len();
    type Case<'a> = (&'a str, &'a dyn Fn(&mut Vec<u8>), (u16, Option<bool>));
    let table: [Case<'_>; 14] = [
        ("STATUS", &|query| query[2] = 2 << 3, (code::NOTIMP, Some(true))),
        ("an unassigned opcode", &|query| query[2] = 9 << 3, (code::NOTIMP, Some(true))),
        ("UPDATE with a record", &|query| (query[2] = 5 << 3, query[9] = 1, insert(query, question, &RECORD)).2, (code::NOTIMP, Some(true))),
        ("DSO, which has no question", &|query| (query[2] = 6 << 3, query[5] = 0, drop(query.drain(12..question))).2, (code::NOTIMP, Some(true))),
        ("STATUS, version 1", &|query| (query[2] = 2 << 3, query[question + 6] = 1).1, (code::BADVERS, Some(true))),
        ("version 1", &|query| query[question + 6] = 1, (code::BADVERS, Some(true))),
        ("no question", &|query| (query[5] = 0, drop(query.drain(12..question))).1, (code::FORMERR, Some(true))),
        ("two questions", &|query| (query[5] = 2, insert(query, question, &good[12..])).1, (code::FORMERR, Some(true))),
        ("an answer", &|query| (query[7] = 1, insert(query, question, &RECORD)).1, (code::FORMERR, Some(true))),
        ("trailing bytes", &|query| query.push(0), (code::FORMERR, Some(true))),
        ("two OPTs", &|query| (query[11] = 2, query.extend(OPT)).1, (code::FORMERR, Some(true))),
        ("a cut OPT", &|query| query.truncate(question + 8), (code::FORMERR, None)),
        ("an OPT whose options are cut off", &|query| query[question + 10] = 4, (code::FORMERR, None)),
        ("an OPT in the answer", &|query| (query[7] = 1, query[11] = 0).1, (code::FORMERR, None)),
    ];
    for (what, change, expected) in table {
        let mut query = [&good[..], &OPT].concat();
        query[11] = 1;
        change(&mut query);
        let mut out = [0; 512];
        let answered = answer(&zones, &query, Transport::Udp, &mut out).unwrap();
        let reply = Message::from_vec(&out[..answered.length]).unwrap();
        assert_eq!((answered.code, reply.edns.map(|edns| edns.flags().dnssec_ok)), expected, "{what}");
    }
}

fn insert(query: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    drop(query.splice(at..at, bytes.iter().copied()));
}
