//! A reply under construction in a buffer of fixed size.

use super::{Answered, UDP_PAYLOAD};
use crate::query::{Edns, HEADER, Header, OPT, Question};
use crate::wire::{self, TO_QUESTION};
use crate::zone::{Node, Set, Zone};

/// Bytes of an OPT without options.
const OPT_LENGTH: usize = 11;
/// Extended DNS Error "Not Authoritative" (RFC 8914 section 4.21) as an option: code, length, value.
const NOT_AUTHORITATIVE: [u8; 6] = [0, 15, 0, 2, 0, 20];
/// The farthest a compression pointer reaches.
const MAX_POINTER: usize = 0x3FFF;

/// The sections a record can go to, by the offset of their count in the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Answer = 6,
    Authority = 8,
    Additional = 10,
}

/// The reply so far.
pub(super) struct Writer<'b> {
    out: &'b mut [u8],
    length: usize,
    limit: usize,
    /// Where the question ends.
    question_end: usize,
    record_type: u16,
    edns: Option<Edns>,
    not_authoritative: bool,
    truncated: bool,
}

/// A required record does not fit: the reply is truncated (RFC 2181 section 9).
pub(super) struct Full;

impl<'b> Writer<'b> {
    pub(super) fn new(out: &'b mut [u8], header: &Header) -> Self {
        out[..HEADER].fill(0);
        out[..2].copy_from_slice(&header.id);
        out[2] = 0x80 | header.opcode << 3 | u8::from(header.recursion_desired);
        let limit = out.len();
        Self { out, length: HEADER, limit, question_end: HEADER, record_type: 0, edns: None, not_authoritative: false, truncated: false }
    }

    /// Copies the question, letter by letter.
    pub(super) fn question(&mut self, query: &[u8], question: &Question) {
        self.out[HEADER..question.end].copy_from_slice(&query[HEADER..question.end]);
        self.out[5] = 1;
        self.length = question.end;
        self.question_end = question.end;
        self.record_type = question.record_type;
    }

    /// Sets the largest length of the reply, and the OPT that has to fit into it.
    pub(super) fn allow(&mut self, limit: usize, edns: Option<Edns>) {
        self.limit = limit.min(self.out.len()) - if edns.is_some() { OPT_LENGTH } else { 0 };
        self.edns = edns;
    }

    pub(super) const fn authoritative(&mut self) {
        self.out[2] |= 4;
    }

    pub(super) const fn explain_not_authoritative(&mut self) {
        self.not_authoritative = true;
    }

    /// Where the next record starts.
    pub(super) const fn position(&self) -> usize {
        self.length
    }

    /// Appends a set whose owner stands at `owner` in the message.
    pub(super) fn set(&mut self, section: Section, zone: &Zone, set: &Set, owner: u16, origin: u16) -> Result<(), Full> {
        let wire = zone.wire(set);
        let start = self.length;
        let end = start + wire.len();
        if end > self.limit {
            return Err(Full);
        }
        self.out[start..end].copy_from_slice(wire);
        for &at in zone.patches(set) {
            let at = start + usize::from(at);
            self.out[at..at + 2].copy_from_slice(&origin.to_be_bytes());
        }
        if owner != TO_QUESTION {
            let mut at = start;
            for record in wire::records(wire) {
                self.out[at..at + 2].copy_from_slice(&owner.to_be_bytes());
                at += record.len();
            }
        }
        self.length = end;
        self.count(section, set.records);
        Ok(())
    }

    /// Appends a set of A or AAAA records under the name of another node, all of it or nothing.
    pub(super) fn addresses(&mut self, zone: &Zone, node: &Node, set: &Set, origin: u16) -> Result<(), Full> {
        let name = zone.name(node);
        let labels = &name[..name.len() - zone.origin_wire().bytes().len()];
        let start = self.length;
        let mut owner: Option<u16> = (labels.is_empty()).then_some(origin);
        for record in wire::records(zone.wire(set)) {
            let written = match owner {
                Some(pointer) => self.push(&pointer.to_be_bytes()),
                None => {
                    owner = (self.length <= MAX_POINTER).then_some(0xC000 | self.length as u16);
                    self.push(labels).and_then(|()| self.push(&origin.to_be_bytes()))
                }
            };
            if written.and_then(|()| self.push(&record[2..])).is_err() {
                self.length = start;
                return Err(Full);
            }
        }
        self.count(Section::Additional, set.records);
        Ok(())
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.length + bytes.len();
        if end > self.limit {
            return Err(Full);
        }
        self.out[self.length..end].copy_from_slice(bytes);
        self.length = end;
        Ok(())
    }

    fn count(&mut self, section: Section, records: u16) {
        let at = section as usize;
        let count = u16::from_be_bytes([self.out[at], self.out[at + 1]]).saturating_add(records);
        self.out[at..at + 2].copy_from_slice(&count.to_be_bytes());
    }

    /// Drops every record and sets TC.
    pub(super) fn truncate(&mut self) {
        self.length = self.question_end;
        self.out[6..HEADER].fill(0);
        self.out[2] |= 2;
        self.truncated = true;
    }

    /// Writes the response code and the OPT.
    pub(super) fn finish(mut self, code: u16) -> Answered {
        self.out[3] = code as u8 & 0xF;
        if let Some(edns) = self.edns {
            self.opt(edns, (code >> 4) as u8);
        }
        Answered { length: self.length, code, record_type: self.record_type, truncated: self.truncated }
    }

    fn opt(&mut self, edns: Edns, extended_code: u8) {
        let options: &[u8] = if self.not_authoritative { &NOT_AUTHORITATIVE } else { &[] };
        let mut opt = [0; OPT_LENGTH];
        opt[2] = OPT as u8;
        opt[3..5].copy_from_slice(&UDP_PAYLOAD.to_be_bytes());
        opt[5] = extended_code;
        // RFC 3225 section 3: DO is copied; every other flag is clear.
        opt[7] = if edns.dnssec_ok { 0x80 } else { 0 };
        opt[10] = options.len() as u8;
        // `allow` kept room for the OPT, and a reply with an option has no records.
        self.limit = self.out.len();
        let written = self.push(&opt).and_then(|()| self.push(options));
        debug_assert!(written.is_ok(), "the buffer has room for an OPT");
        self.count(Section::Additional, 1);
    }
}

/// The pointer to an offset that is known to be near the message's start.
pub(super) const fn pointer(at: usize) -> u16 {
    0xC000 | (at & MAX_POINTER) as u16
}
