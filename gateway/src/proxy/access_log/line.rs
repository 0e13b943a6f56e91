//! What a line says and how it is written: ingress-nginx's default line, or one JSON object. Pure. Nothing that a client or upstream sends can end a line or
//! forge a field: it is escaped and cut.

use std::borrow::Cow;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use serde::Serialize;
use time::{Month, OffsetDateTime};

/// Longest value of one field, in bytes.
const MAX_FIELD: usize = 4096;

/// One request.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    /// When its answer ended.
    pub(crate) at: SystemTime,
    /// The client.
    pub(crate) client: IpAddr,
    /// The user, where one was asked for.
    pub(crate) user: Option<&'a str>,
    /// Method.
    pub(crate) method: &'a str,
    /// Scheme that the client spoke.
    pub(crate) tls: bool,
    /// Host and port as the client wrote it.
    pub(crate) host: &'a str,
    /// Path and query.
    pub(crate) target: &'a [u8],
    /// `HTTP/1.1` and the like.
    pub(crate) version: &'static str,
    /// Status of the answer.
    pub(crate) status: u16,
    /// Bytes of its body.
    pub(crate) sent: u64,
    /// Bytes of the request: line, header and body.
    pub(crate) received: u64,
    /// `Referer`.
    pub(crate) referer: Option<&'a HeaderValue>,
    /// `User-Agent`.
    pub(crate) user_agent: Option<&'a HeaderValue>,
    /// From the end of the header to the end of the answer.
    pub(crate) duration: Duration,
    /// Namespace and name of the Ingress.
    pub(crate) ingress: Option<(&'a str, &'a str)>,
    /// `namespace-service-port`.
    pub(crate) upstream: &'a str,
    /// What was tried, in order.
    pub(crate) tries: &'a [Try],
    /// Request id.
    pub(crate) request_id: &'a str,
}

/// One try to have an endpoint answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Try {
    /// Address of the endpoint.
    pub(crate) address: Option<SocketAddr>,
    /// Status of its answer, 502 or 504 when it gave none.
    pub(crate) status: u16,
    /// Bytes of its answer's body.
    pub(crate) length: u64,
    /// From connecting to the end of the answer.
    #[serde(serialize_with = "seconds")]
    pub(crate) duration: Duration,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(f64::from(u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)) / 1000.0)
}

/// Appends ingress-nginx's default line.
pub(crate) fn nginx(entry: &Entry<'_>, line: &mut Vec<u8>) {
    write!(line, "{} - ", entry.client.to_canonical()).expect(VEC);
    escaped(line, entry.user.map_or(b"-", str::as_bytes));
    let at = OffsetDateTime::from(entry.at);
    let (date, time) = (at.date(), at.time());
    let month = month_name(date.month());
    let (year, hour, minute, second) = (date.year(), time.hour(), time.minute(), time.second());
    write!(line, " [{:02}/{month}/{year}:{hour:02}:{minute:02}:{second:02} +0000] \"{} ", date.day(), entry.method).expect(VEC);
    escaped(line, entry.target);
    write!(line, " {}\" {} {} \"", entry.version, entry.status, entry.sent).expect(VEC);
    escaped(line, entry.referer.map_or(b"-", HeaderValue::as_bytes));
    line.extend_from_slice(b"\" \"");
    escaped(line, entry.user_agent.map_or(b"-", HeaderValue::as_bytes));
    write!(line, "\" {} {} [{}] [] ", entry.received, Seconds(entry.duration), entry.upstream).expect(VEC);
    for part in [0, 1, 2, 3] {
        tries(line, entry.tries, part);
    }
    escaped(line, entry.request_id.as_bytes());
    line.push(b'\n');
}

/// Address, length, time or status of all tries, separated as nginx does.
fn tries(line: &mut Vec<u8>, tries: &[Try], part: u8) {
    if tries.is_empty() {
        line.push(b'-');
    }
    for (at, one) in tries.iter().enumerate() {
        if at > 0 {
            line.extend_from_slice(b", ");
        }
        match (part, one.address) {
            (0, Some(address)) => write!(line, "{address}"),
            (0, None) => write!(line, "-"),
            (1, _) => write!(line, "{}", one.length),
            (2, _) => write!(line, "{}", Seconds(one.duration)),
            _ => write!(line, "{}", one.status),
        }
        .expect(VEC);
    }
    line.push(b' ');
}

const VEC: &str = "writing to a Vec does not fail";

struct Seconds(Duration);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:03}", self.0.as_secs(), self.0.subsec_millis())
    }
}

/// Writes a field as nginx does: quotes, backslashes and all that is not printable ASCII in hexadecimal.
fn escaped(line: &mut Vec<u8>, field: &[u8]) {
    for b in &field[..field.len().min(MAX_FIELD)] {
        match b {
            b'"' | b'\\' | 0..=0x1f | 0x7f..=0xff => write!(line, "\\x{b:02X}").expect(VEC),
            b => line.push(*b),
        }
    }
}

const fn month_name(month: Month) -> &'static str {
    const NAMES: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    NAMES[month as usize - 1]
}

/// A line of JSON. Its keys are ingress-nginx's variable names where there is one.
#[derive(Serialize)]
struct Line<'a> {
    time: &'a str,
    remote_addr: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_user: Option<&'a str>,
    method: &'a str,
    scheme: &'static str,
    host: &'a str,
    uri: Cow<'a, str>,
    protocol: &'static str,
    status: u16,
    body_bytes_sent: u64,
    request_length: u64,
    #[serde(serialize_with = "seconds")]
    request_time: Duration,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_referer: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_user_agent: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ingress: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    proxy_upstream_name: &'a str,
    #[serde(skip_serializing_if = "<[Try]>::is_empty")]
    upstream: &'a [Try],
    req_id: &'a str,
}

/// Appends one JSON object.
pub(crate) fn json(entry: &Entry<'_>, line: &mut Vec<u8>) {
    let at = OffsetDateTime::from(entry.at);
    let (date, time) = (at.date(), at.time());
    let (month, day, hour, minute, second, milli) =
        (u8::from(date.month()), date.day(), time.hour(), time.minute(), time.second(), time.millisecond());
    let time = format!("{}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z", date.year());
    let written = serde_json::to_writer(
        &mut *line,
        &Line {
            time: &time,
            remote_addr: entry.client.to_canonical(),
            remote_user: entry.user.map(cut),
            method: entry.method,
            scheme: if entry.tls { "https" } else { "http" },
            host: cut(entry.host),
            uri: text(entry.target),
            protocol: entry.version,
            status: entry.status,
            body_bytes_sent: entry.sent,
            request_length: entry.received,
            request_time: entry.duration,
            http_referer: entry.referer.map(|value| text(value.as_bytes())),
            http_user_agent: entry.user_agent.map(|value| text(value.as_bytes())),
            namespace: entry.ingress.map(|(namespace, _)| namespace),
            ingress: entry.ingress.map(|(_, ingress)| ingress),
            proxy_upstream_name: entry.upstream,
            upstream: entry.tries,
            req_id: entry.request_id,
        },
    );
    written.expect("a struct of strings and numbers is JSON");
    line.push(b'\n');
}

/// Text that is cut to its first bytes; what is not UTF-8 is replaced.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_FIELD)])
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_FIELD)]
}

#[cfg(test)]
mod tests;
