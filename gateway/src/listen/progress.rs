//! Until when a connection may go on without progress. Pure: time is an argument.
//!
//! ```text
//!              first byte              blank line (HTTP/1.1), preface (HTTP/2)
//! Waiting ───────────────────▶ Head ───────────────────────────────────────────▶ Open
//!    ▲   idle / first_byte            head                                         │ silence
//!    └──────────────────────────── next request (HTTP/1.1) ────────────────────────┘
//! ```

use tokio::time::Instant;

use super::Limits;

/// Octets of the HTTP/2 connection preface (RFC 9113 section 3.4).
const HTTP2_PREFACE: usize = 24;

/// How a request's head ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// With a blank line.
    Http1,
    /// The preface counts; HTTP/2 frames are bounded by Pingora's idle timeout.
    Http2,
}

/// Where in the head the reading stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    /// Blank lines before the request line do not count (RFC 9112 section 2.2).
    Leading,
    InLine,
    LineStart,
    LineStartCr,
    Preface(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting { until: Instant },
    Head { until: Instant },
    Open,
}

/// How far a connection has come, and when it last moved.
#[derive(Debug)]
pub(super) struct Progress {
    limits: Limits,
    phase: Phase,
    head: Head,
    last: Instant,
    blocked_since: Option<Instant>,
}

impl Progress {
    pub(super) fn new(limits: Limits, protocol: Protocol, now: Instant) -> Self {
        let head = match protocol {
            Protocol::Http1 => Head::Leading,
            Protocol::Http2 => Head::Preface(0),
        };
        Self { limits, phase: Phase::Waiting { until: now + limits.first_byte }, head, last: now, blocked_since: None }
    }

    /// An HTTP/1.1 exchange is over and the next request is awaited.
    pub(super) fn next_request(&mut self, now: Instant) {
        self.phase = Phase::Waiting { until: now + self.limits.idle };
        self.head = Head::Leading;
    }

    /// A request is being served, however its head came.
    pub(super) fn serving(&mut self) {
        self.phase = Phase::Open;
    }

    /// The client sent this.
    pub(super) fn read(&mut self, bytes: &[u8], now: Instant) {
        self.last = now;
        if self.phase == Phase::Open || bytes.is_empty() {
            return;
        }
        if let Phase::Waiting { .. } = self.phase {
            self.phase = Phase::Head { until: now + self.limits.head };
        }
        if self.head_ends_in(bytes) {
            self.phase = Phase::Open;
        }
    }

    /// The client took something of what is sent.
    pub(super) fn wrote(&mut self, now: Instant) {
        self.last = now;
        self.blocked_since = None;
    }

    /// The client takes nothing. Returns until when that may go on.
    pub(super) fn blocked(&mut self, now: Instant) -> Instant {
        *self.blocked_since.get_or_insert(now) + self.limits.stalled_write
    }

    /// When the connection is to be ended unless the client sends something, or, once a request is under way, anything moves.
    pub(super) fn read_deadline(&self) -> Instant {
        match self.phase {
            Phase::Waiting { until } | Phase::Head { until } => until,
            Phase::Open => self.last + self.limits.silence,
        }
    }

    fn head_ends_in(&mut self, bytes: &[u8]) -> bool {
        // Nearly always the whole head comes at once and alone.
        if self.head == Head::Leading && bytes[0] > b' ' && bytes.ends_with(b"\r\n\r\n") {
            return true;
        }
        for byte in bytes {
            self.head = match (self.head, byte) {
                (Head::Preface(seen), _) if seen + 1 == HTTP2_PREFACE => return true,
                (Head::Preface(seen), _) => Head::Preface(seen + 1),
                (Head::LineStart | Head::LineStartCr, b'\n') => return true,
                (Head::LineStart, b'\r') => Head::LineStartCr,
                (Head::Leading, b'\r' | b'\n') => Head::Leading,
                (_, b'\n') => Head::LineStart,
                _ => Head::InLine,
            };
        }
        false
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits() -> Limits {
        Limits {
            first_byte: 5 * SECOND,
            head: 10 * SECOND,
            idle: 20 * SECOND,
            stalled_write: 30 * SECOND,
            silence: 100 * SECOND,
            ..Limits::default()
        }
    }

    fn is_open_after(protocol: Protocol, reads: &[&[u8]]) -> bool {
        let now = Instant::now();
        let mut progress = Progress::new(limits(), protocol, now);
        for bytes in reads {
            progress.read(bytes, now);
        }
        progress.phase == Phase::Open
    }

    #[test]
    fn a_head_ends_with_a_blank_line_however_it_is_split() {
        for (reads, open) in [
            (&[&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..]][..], true),
            (&[b"GET / HTTP/1.1\r\n", b"Host: a\r\n\r", b"\n"], true),
            (&[b"GET / HTTP/1.1\nHost: a\n\nbody"], true),
            (&[b"POST / HTTP/1.1\r\n\r\nbody"], true),
            (&[b"\r\n\r\n"], false),
            (&[b"\r\n", b"\r\nGET / HTTP/1.1\r\n"], false),
            (&[b"\r\nGET / HTTP/1.1\r\n\r\n"], true),
            (&[b"GET / HTTP/1.1\r\nHost: a\r\n"], false),
            (&[b"GET / HTTP/1.1\r\nHost: a\r\nx\r", b"\r\n\r\n"], true),
        ] {
            assert_eq!(is_open_after(Protocol::Http1, reads), open, "{reads:?}");
        }
        assert!(!is_open_after(Protocol::Http2, &[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"]));
        assert!(is_open_after(Protocol::Http2, &[b"PRI * HTTP/2.0\r\n\r\n", b"SM\r\n\r\n"]));
    }

    #[test]
    fn a_dripping_head_does_not_move_its_deadline() {
        let start = Instant::now();
        let mut progress = Progress::new(limits(), Protocol::Http1, start);
        assert_eq!(progress.read_deadline(), start + 5 * SECOND);
        progress.read(b"G", start + 4 * SECOND);
        assert_eq!(progress.read_deadline(), start + 14 * SECOND);
        progress.read(b"E", start + 13 * SECOND);
        assert_eq!(progress.read_deadline(), start + 14 * SECOND);
    }

    #[test]
    fn an_open_request_lives_as_long_as_anything_moves() {
        let start = Instant::now();
        let mut progress = Progress::new(limits(), Protocol::Http1, start);
        progress.read(b"GET / HTTP/1.1\r\n\r\n", start);
        assert_eq!(progress.read_deadline(), start + 100 * SECOND);
        progress.wrote(start + 50 * SECOND);
        assert_eq!(progress.read_deadline(), start + 150 * SECOND);
        progress.read(b"body", start + 60 * SECOND);
        assert_eq!(progress.read_deadline(), start + 160 * SECOND);
        progress.next_request(start + 70 * SECOND);
        assert_eq!(progress.read_deadline(), start + 90 * SECOND);
        progress.read(b"GET", start + 80 * SECOND);
        assert_eq!(progress.read_deadline(), start + 90 * SECOND);
    }

    #[test]
    fn a_blocked_write_has_one_deadline_until_something_is_taken() {
        let start = Instant::now();
        let mut progress = Progress::new(limits(), Protocol::Http1, start);
        assert_eq!(progress.blocked(start), start + 30 * SECOND);
        assert_eq!(progress.blocked(start + 20 * SECOND), start + 30 * SECOND);
        progress.wrote(start + 25 * SECOND);
        assert_eq!(progress.blocked(start + 26 * SECOND), start + 56 * SECOND);
    }
}
