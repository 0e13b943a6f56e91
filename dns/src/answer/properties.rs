//! What holds of every answer, whatever the zone and the question.
#![allow(clippy::unwrap_used, clippy::panic)]

//! Any bytes: no panic, no endless loop, and every reply is a message.

use std::sync::Arc;

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use proptest::collection::vec;
use proptest::prelude::*;

use super::tests::query;
use super::{Transport, answer};
use crate::{EmptyNonTerminals, Name, Zone, ZoneSet, zonefile};

fn zones() -> ZoneSet {
    let origin = Name::from_ascii("main.test.").unwrap();
    let file = zonefile::parse(include_str!("../../tests/zones/main.test.zone"), &origin).unwrap();
    ZoneSet::new(vec![Arc::new(Zone::build(origin, &file.soa.unwrap(), 1, &file.records, EmptyNonTerminals::Empty).unwrap())]).unwrap()
}

fn holds(zones: &ZoneSet, query: &[u8]) {
    for (transport, size) in [(Transport::Udp, 512), (Transport::Udp, 1232), (Transport::Tcp, 65535)] {
        let mut out = vec![0xAA; size];
        if let Some(answered) = answer(zones, query, transport, &mut out) {
            let reply = &out[..answered.length];
            assert_eq!(reply[..2], query[..2]);
            assert!(reply[2] & 0x80 != 0);
            let message = Message::from_vec(reply).unwrap_or_else(|error| panic!("{error}: {query:02x?} -> {reply:02x?}"));
            assert_eq!(message.metadata.truncation, answered.truncated);
        }
    }
}

#[test]
fn any_bytes_get_a_message_or_nothing() {
    let zones = zones();
    proptest!(|(bytes in vec(any::<u8>(), 0..600))| holds(&zones, &bytes));
}

#[test]
fn a_broken_query_gets_a_message_or_nothing() {
    let zones = zones();
    let names = ["www.sub", "c1", "loop1", "x.wild", "clarge", "medium", "_http._tcp", "mxc", "q.wself", "a.deep.del.egated", "", "none"];
    let types = [RecordType::A, RecordType::TXT, RecordType::SRV, RecordType::MX, RecordType::ANY, RecordType::NS, RecordType::DS];
    let changes = vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    proptest!(|(name in prop::sample::select(names.to_vec()), record_type in prop::sample::select(types.to_vec()), payload: u16, edns: bool, changes in changes, cut in 0_usize..40)| {
        let mut query = query(&format!("{name}.main.test"), record_type);
        if edns {
            query[11] = 1;
            query.extend_from_slice(&[0, 0, 41, (payload >> 8) as u8, payload as u8, 0, 0, 0, 0, 0, 0]);
        }
        holds(&zones, &query);
        for (at, byte) in &changes {
            let at = at.index(query.len());
            query[at] = *byte;
        }
        query.truncate(query.len().saturating_sub(cut.saturating_sub(20)));
        holds(&zones, &query);
    });
}
