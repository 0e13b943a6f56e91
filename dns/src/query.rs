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

/// What follows the questions.
#[derive(Clone, Copy, Default)]
pub(crate) struct Rest {
    /// The first OPT, also when something behind it breaks the rules: whoever sends one gets one (RFC 6891 section 6.1.1).
    pub(crate) edns: Option<Edns>,
    /// Whether nothing stands there but records of the additional section, at most one OPT among them, owned by the root.
    pub(crate) well_formed: bool,
}

impl Rest {
    /// Reads on where the question ends; without a readable one behind whatever stands in its place.
    pub(crate) fn read(message: &[u8], header: &Header, question: Option<&Question>) -> Self {
        let mut rest = Self::default();
        let start = question.map_or_else(|| skip_questions(message, header), |question| Some(question.end));
        rest.well_formed = start.and_then(|at| rest.walk(message, header, at)).is_some();
        rest
    }

    /// `None` at what breaks the rules.
    fn walk(&mut self, message: &[u8], header: &Header, mut at: usize) -> Option<()> {
        let [_, answers, authorities, additionals] = header.counts.map(u32::from);
        let before = answers + authorities;
        let mut well_formed = before == 0;
        for index in 0..before + additionals {
            let owner = at;
            at = skip_name(message, at)?;
            let fixed = message.get(at..at + 10)?;
            at += 10 + usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
            if index >= before && fixed[..2] == OPT.to_be_bytes() {
                // RFC 6891 section 6.1.1: one OPT only, and its owner is the root.
                well_formed &= self.edns.is_none() && message[owner] == 0;
                if message[owner] == 0 && at <= message.len() {
                    self.edns.get_or_insert_with(|| Edns::of(fixed));
                }
            }
        }
        (well_formed && at == message.len()).then_some(())
    }
}

impl Edns {
    /// What stands between the owner of an OPT and its options.
    const fn of(fixed: &[u8]) -> Self {
        Self { payload: u16::from_be_bytes([fixed[2], fixed[3]]), version: fixed[5], dnssec_ok: fixed[6] & 0x80 != 0 }
    }
}

/// Where the questions end, however many there are.
fn skip_questions(message: &[u8], header: &Header) -> Option<usize> {
    (0..header.counts[0]).try_fold(HEADER, |at, _| Some(skip_name(message, at)? + 4))
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
