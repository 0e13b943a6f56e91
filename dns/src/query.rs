//! Reading a query: header, question, OPT (RFC 1035 section 4, RFC 6891). No allocation, total over any bytes.

use crate::name::WireName;

/// Length of a message's header.
pub(crate) const HEADER: usize = 12;
/// Type of the OPT pseudo-record.
pub(crate) const OPT: u16 = 41;

/// The header's fields that matter for the reply.
#[derive(Clone, Copy)]
pub(crate) struct Header {
    pub(crate) id: [u8; 2],
    pub(crate) opcode: u8,
    pub(crate) recursion_desired: bool,
    counts: [u16; 4],
}

impl Header {
    /// `None` for what gets no reply: too short, or itself a reply.
    pub(crate) fn read(message: &[u8]) -> Option<Self> {
        let header = message.get(..HEADER)?;
        if header[2] & 0x80 != 0 {
            return None;
        }
        Some(Self {
            id: [header[0], header[1]],
            opcode: header[2] >> 3 & 0xF,
            recursion_desired: header[2] & 1 != 0,
            counts: [4, 6, 8, 10].map(|at| u16::from_be_bytes([header[at], header[at + 1]])),
        })
    }
}

/// The one question.
pub(crate) struct Question {
    pub(crate) name: WireName,
    pub(crate) record_type: u16,
    pub(crate) class: u16,
    /// Where the question ends in the message; it starts after the header.
    pub(crate) end: usize,
}

/// What the client's OPT says.
#[derive(Clone, Copy)]
pub(crate) struct Edns {
    pub(crate) payload: u16,
    pub(crate) version: u8,
    pub(crate) dnssec_ok: bool,
}

impl Question {
    /// `None` unless there is exactly one question (RFC 9619) and it is well formed.
    pub(crate) fn read(message: &[u8], header: &Header) -> Option<Self> {
        if header.counts[0] != 1 {
            return None;
        }
        let name = WireName::read(message, HEADER)?;
        let at = HEADER + name.bytes().len();
        Some(Self { name, record_type: u16_at(message, at)?, class: u16_at(message, at + 2)?, end: at + 4 })
    }
}

/// A query whose sections after the question break the rules.
pub(crate) struct Malformed;

impl Edns {
    /// The OPT among the records after the question, if there is one.
    pub(crate) fn read(message: &[u8], header: &Header, mut at: usize) -> Result<Option<Self>, Malformed> {
        if header.counts[1] != 0 || header.counts[2] != 0 {
            return Err(Malformed);
        }
        let mut edns = None;
        for _ in 0..header.counts[3] {
            let owner = at;
            at = skip_name(message, at).ok_or(Malformed)?;
            let fixed = message.get(at..at + 10).ok_or(Malformed)?;
            if u16::from_be_bytes([fixed[0], fixed[1]]) == OPT {
                // RFC 6891 section 6.1.1: one OPT only, and its owner is the root.
                if edns.is_some() || message[owner] != 0 {
                    return Err(Malformed);
                }
                edns = Some(Self { payload: u16::from_be_bytes([fixed[2], fixed[3]]), version: fixed[5], dnssec_ok: fixed[6] & 0x80 != 0 });
            }
            at += 10 + usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        }
        if at == message.len() { Ok(edns) } else { Err(Malformed) }
    }
}

fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]))
}

/// Where the name at `at` ends, without following pointers.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            size @ 1..=63 => at += 1 + usize::from(size),
            192..=255 => return Some(at + 2),
            _ => return None,
        }
    }
}
