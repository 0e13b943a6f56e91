//! The sections for one question: the chain of aliases inside the zone, and what stands at its end.

use super::code;
use super::writer::{Full, Section, Writer, pointer};
use crate::name::WireName;
use crate::query::{HEADER, Question};
use crate::wire::{self, A, AAAA, ANY, CNAME, DS, FIXED, NS, NSEC, RRSIG};
use crate::zone::{Found, Node, Set, Zone};

/// Most aliases followed for one question.
pub(crate) const MAX_ALIASES: usize = 8;

/// The name that is being looked up, and where it stands in the reply.
struct Current {
    name: WireName,
    at: usize,
}

/// One question's way through a zone.
struct Chain<'z> {
    zone: &'z Zone,
    record_type: u16,
    /// Pointer to the zone's origin, which ends the question's name.
    origin: u16,
    /// Hashes of the names whose aliases were written; a name that comes back is a loop.
    aliases: [u64; MAX_ALIASES],
    followed: usize,
}

/// Writes answer, authority and additional; the code is that of the chain's last name (RFC 6604 section 3).
pub(super) fn respond(zone: &Zone, question: &Question, reply: &mut Writer<'_>) -> u16 {
    let origin = pointer(HEADER + question.name.start_of_last(zone.origin_wire().labels()));
    let mut chain = Chain { zone, record_type: question.record_type, origin, aliases: [0; MAX_ALIASES], followed: 0 };
    let mut current = Current { name: question.name, at: HEADER };
    loop {
        match chain.step(&mut current, reply) {
            Ok(None) => {}
            Ok(Some(code)) => return code,
            Err(Full) => {
                reply.truncate();
                return code::NOERROR;
            }
        }
    }
}

impl Chain<'_> {
    /// The code if the reply is complete; `None` if an alias was written and `current` is its target.
    fn step(&mut self, current: &mut Current, reply: &mut Writer<'_>) -> Result<Option<u16>, Full> {
        let id = match self.zone.find(&current.name) {
            Found::Cut { node, exact } if !(exact && self.record_type == DS) => {
                return self.refer(self.zone.node(node), current, reply).map(|()| Some(code::NOERROR));
            }
            Found::Cut { node, .. } | Found::Node(node) | Found::Wildcard { source: node } => node,
            Found::Missing { .. } => {
                reply.authoritative();
                return self.negative(reply).map(|()| Some(code::NXDOMAIN));
            }
        };
        reply.authoritative();
        let sets = self.zone.sets(self.zone.node(id));
        if let [set] = sets
            && set.record_type == CNAME
            && !matches!(self.record_type, CNAME | RRSIG | NSEC | ANY)
        {
            return self.follow(set, current, reply);
        }
        match choose(self.zone, sets, self.record_type) {
            Some(set) => {
                reply.set(Section::Answer, self.zone, set, pointer(current.at), self.origin)?;
                self.additional(set, reply);
            }
            None => self.negative(reply)?,
        }
        Ok(Some(code::NOERROR))
    }

    /// Writes an alias; goes on with its target unless that leaves the zone, the chain is long enough, or it is a loop.
    fn follow(&mut self, set: &Set, current: &mut Current, reply: &mut Writer<'_>) -> Result<Option<u16>, Full> {
        let end = Ok(Some(code::NOERROR));
        let hash = self.zone.hash(current.name.bytes());
        if self.followed == MAX_ALIASES || self.aliases[..self.followed].contains(&hash) {
            return end;
        }
        self.aliases[self.followed] = hash;
        self.followed += 1;
        let at = reply.position() + FIXED;
        reply.set(Section::Answer, self.zone, set, pointer(current.at), self.origin)?;
        let target = wire::rdatas(self.zone.wire(set)).next().and_then(|rdata| wire::name_in(rdata, 0, self.zone.origin_wire()));
        match target {
            Some(name) if self.zone.encloses(&name) => {
                *current = Current { name, at };
                Ok(None)
            }
            _ => end,
        }
    }

    /// NXDOMAIN and NODATA carry the SOA (RFC 2308 section 3).
    fn negative(&self, reply: &mut Writer<'_>) -> Result<(), Full> {
        reply.set(Section::Authority, self.zone, self.zone.negative_soa(), self.origin, self.origin)
    }

    /// A referral: the cut's NS records and the addresses that a resolver needs to reach them.
    fn refer(&self, cut: &Node, current: &Current, reply: &mut Writer<'_>) -> Result<(), Full> {
        let Some(set) = self.zone.set(cut, NS) else { return Ok(()) };
        let labels = self.zone.origin_wire().labels() + cut.depth();
        let owner = pointer(current.at + current.name.start_of_last(labels));
        reply.set(Section::Authority, self.zone, set, owner, self.origin)?;
        let servers = || self.zone.additional(set).iter().map(|&id| self.zone.node(id));
        let below = |server: &&Node| self.zone.name(server).ends_with(self.zone.name(cut));
        // RFC 9471 section 3.1: glue of servers below the cut has to be there, the rest as far as it fits.
        for server in servers().filter(below) {
            for set in addresses(self.zone, server) {
                reply.addresses(self.zone, server, set, self.origin)?;
            }
        }
        servers().filter(|server| !below(server)).for_each(|server| self.offer(server, reply));
        Ok(())
    }

    /// Addresses of the names in the answer, as far as they fit.
    fn additional(&self, set: &Set, reply: &mut Writer<'_>) {
        self.zone.additional(set).iter().for_each(|&id| self.offer(self.zone.node(id), reply));
    }

    fn offer(&self, node: &Node, reply: &mut Writer<'_>) {
        for set in addresses(self.zone, node) {
            // What does not fit here, the client asks for.
            let _ = reply.addresses(self.zone, node, set, self.origin);
        }
    }
}

/// The set that answers the type; for ANY one of them, the shortest (RFC 8482 section 4.1).
fn choose<'z>(zone: &Zone, sets: &'z [Set], record_type: u16) -> Option<&'z Set> {
    if record_type == ANY {
        return sets.iter().min_by_key(|set| zone.wire(set).len());
    }
    sets.iter().find(|set| set.record_type == record_type)
}

fn addresses<'z>(zone: &'z Zone, node: &Node) -> impl Iterator<Item = &'z Set> {
    zone.sets(node).iter().filter(|set| matches!(set.record_type, A | AAAA))
}
