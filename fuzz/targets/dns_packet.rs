//! Any bytes as a DNS query: what is sent back is a reply to that query that every resolver can read, and no longer than the transport allows.

#![no_main]

use std::sync::OnceLock;

use dns::{Transport, ZoneSet, answer};
use hickory_proto::op::{Message, MessageType};

libfuzzer_sys::fuzz_target!(|query: &[u8]| {
    static ZONES: OnceLock<ZoneSet> = OnceLock::new();
    let zones = ZONES.get_or_init(fuzz::zone::zones);
    for (transport, limit) in [(Transport::Udp, 1232), (Transport::Tcp, 65_535)] {
        let mut out = vec![0; 65_535];
        let Some(answered) = answer(zones, query, transport, &mut out) else { continue };
        assert!(answered.length <= limit, "{} bytes over {transport:?}", answered.length);
        let reply = Message::from_vec(&out[..answered.length]).expect("the reply is a DNS message");
        assert_eq!(reply.metadata.message_type, MessageType::Response);
        assert_eq!(reply.metadata.id.to_be_bytes(), query[..2], "the reply has the query's id");
        assert_eq!(reply.metadata.truncation, answered.truncated);
        assert_eq!(query[2] & 0x80, 0, "a reply is never answered");
    }
});
