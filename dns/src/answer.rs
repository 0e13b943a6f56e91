//! From a query's bytes to the reply's bytes (RFC 1034 section 4.3.2). Pure, without allocation, total over any bytes.

mod chain;
mod writer;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub(crate) use self::chain::MAX_ALIASES;
use self::writer::Writer;
use crate::ZoneSet;
use crate::query::{Edns, Header, Question, Rest};
use crate::wire::DS;

/// The largest UDP reply in bytes, which avoids fragments (RFC 9715, DNS flag day 2020); also what our OPT advertises.
pub(crate) const UDP_PAYLOAD: u16 = 1232;
/// The largest UDP reply to a client that sends no OPT (RFC 1035 section 4.2.1).
const CLASSIC_PAYLOAD: usize = 512;

const OPCODE_QUERY: u8 = 0;
const CLASS_IN: u16 = 1;
const IXFR: u16 = 251;
const AXFR: u16 = 252;

/// Response codes (RFC 1035 section 4.1.1, RFC 6891 section 9).
pub(crate) mod code {
    pub(crate) const NOERROR: u16 = 0;
    pub(crate) const FORMERR: u16 = 1;
    pub(crate) const NXDOMAIN: u16 = 3;
    pub(crate) const NOTIMP: u16 = 4;
    pub(crate) const REFUSED: u16 = 5;
    pub(crate) const BADVERS: u16 = 16;
}

/// How a query came in; it decides how long the reply may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// At most what the client's OPT allows, and never more than 1232 bytes.
    Udp,
    /// At most 65,535 bytes.
    Tcp,
}

/// What was answered, for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// Bytes of the reply, at the start of the buffer.
    pub length: usize,
    /// Extended response code (RFC 6895 section 2.3).
    pub code: u16,
    /// QTYPE, 0 when the query has no readable question.
    pub record_type: u16,
    /// Whether the TC bit is set.
    pub truncated: bool,
}

/// Answers `query` from `zones` into `out`, which holds at least 512 bytes and limits the reply. `None`: send nothing.
pub fn answer(zones: &ZoneSet, query: &[u8], transport: Transport, out: &mut [u8]) -> Option<Answered> {
    let header = Header::read(query)?;
    if out.len() < CLASSIC_PAYLOAD {
        return None;
    }
    let question = Question::read(query, &header);
    let rest = Rest::read(query, &header, question.as_ref());
    let mut reply = Writer::new(out, &header);
    if let Some(question) = &question {
        reply.question(query, question);
    }
    reply.allow(limit(transport, rest.edns.as_ref()), rest.edns);
    let code = match (refusal(&header, rest), &question) {
        (Some(code), _) => code,
        (None, None) => code::FORMERR,
        (None, Some(question)) => respond(zones, question, &mut reply),
    };
    Some(reply.finish(code))
}

/// Why the question is not looked at.
fn refusal(header: &Header, rest: Rest) -> Option<u16> {
    let query = header.opcode == OPCODE_QUERY;
    match rest.edns {
        // The sections of other opcodes have rules of their own.
        _ if query && !rest.well_formed => Some(code::FORMERR),
        // RFC 6891 section 6.1.3, whatever else is asked for.
        Some(edns) if edns.version > 0 => Some(code::BADVERS),
        _ => (!query).then_some(code::NOTIMP),
    }
}

fn limit(transport: Transport, edns: Option<&Edns>) -> usize {
    match (transport, edns) {
        (Transport::Tcp, _) => usize::from(u16::MAX),
        (Transport::Udp, Some(edns)) => usize::from(edns.payload).clamp(CLASSIC_PAYLOAD, UDP_PAYLOAD.into()),
        (Transport::Udp, None) => CLASSIC_PAYLOAD,
    }
}

/// Writes the sections and returns the response code.
fn respond(zones: &ZoneSet, question: &Question, reply: &mut Writer<'_>) -> u16 {
    // Transfers are not served.
    if question.class != CLASS_IN || matches!(question.record_type, AXFR | IXFR) {
        return code::REFUSED;
    }
    // RFC 4035 section 3.1.4.1: the DS of a zone's apex is the parent's, if that is ours too.
    let parent = if question.record_type == DS { zones.closest(&question.name, question.name.labels().wrapping_sub(1)) } else { None };
    match parent.or_else(|| zones.closest(&question.name, usize::MAX)) {
        Some(zone) => chain::respond(zone, question, reply),
        None => {
            reply.explain_not_authoritative();
            code::REFUSED
        }
    }
}
