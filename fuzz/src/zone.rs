//! The zones that fuzzed queries are answered from: one of everything that makes answering hard.

use std::net::Ipv4Addr;
use std::sync::Arc;

use dns::record::{address_sets, cname, ns, txt};
use dns::zone::EmptyNonTerminals;
use dns::{Name, RecordSet, Soa, Zone, ZoneSet};

/// A name that is known to be one.
fn name(text: &str) -> Name {
    Name::from_ascii(text).expect("a valid name")
}

/// Two zones, one below the other, with wildcards, an empty non-terminal, aliases in and out of the zone and in a loop, a delegation with glue, and an answer
/// that is too long for UDP.
pub fn zones() -> ZoneSet {
    let zones = [("example.org.", parent()), ("sub.example.org.", vec![address("www.sub.example.org."), servers("sub.example.org.")])];
    let built = zones.into_iter().map(|(origin, records)| {
        let zone = Zone::build(name(origin), &soa(origin), 7, &records, EmptyNonTerminals::Empty);
        Arc::new(zone.expect("the records are those of a zone"))
    });
    ZoneSet::new(built.collect()).expect("the origins differ")
}

fn parent() -> Vec<RecordSet> {
    let long: Vec<String> = (0..40).map(|number| format!("{number:0>200}")).collect();
    vec![
        servers("example.org."),
        address("ns1.example.org."),
        address("*.example.org."),
        address("a.b.c.example.org."),
        cname(name("alias.example.org."), 60, name("www.sub.example.org.")),
        cname(name("outside.example.org."), 60, name("elsewhere.test.")),
        cname(name("one.example.org."), 60, name("two.example.org.")),
        cname(name("two.example.org."), 60, name("one.example.org.")),
        cname(name("*.wild.example.org."), 60, name("a.b.c.example.org.")),
        ns(name("cut.example.org."), 60, [name("ns.cut.example.org."), name("ns.elsewhere.test.")]),
        address("ns.cut.example.org."),
        txt(name("long.example.org."), 60, long.iter().map(String::as_str)),
    ]
}

fn servers(origin: &str) -> RecordSet {
    ns(name(origin), 3600, [name("ns1.example.org.")])
}

fn address(owner: &str) -> RecordSet {
    address_sets(&name(owner), 60, &[Ipv4Addr::LOCALHOST.into()]).remove(0)
}

fn soa(origin: &str) -> Soa {
    let mname = name("ns1.example.org.");
    Soa { mname, rname: name("hostmaster.example.org."), refresh: 3600, retry: 600, expire: 86_400, minimum: 60, ttl: name(origin).len() as u32 }
}
