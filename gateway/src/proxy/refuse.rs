//! Answers requests that Pingora refuses before any filter sees them, and counts and logs them as the filters would. Nothing of such a request is known,
//! so the answer is text.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, Method};
use pingora_core::protocols::http::date::get_cached_date;

use super::access_log::{Entry, Log};
use super::answer::{self, Answer, Reason};
use super::metrics::Finished;
use super::runtime::Runtime;
use super::{finish, headers, request_id};
use crate::listen::{ConnInfo, Refusal, Refuse};

/// What stands in the log for what is not known of a request.
const UNKNOWN: &str = "-";

/// Refuses.
#[derive(Debug)]
pub(crate) struct Refuser {
    pub(super) runtime: Arc<Runtime>,
    pub(super) access_log: Option<Arc<Log>>,
}

impl Refuse for Refuser {
    fn refuse(&self, connection: &ConnInfo, refusal: Refusal) -> Vec<u8> {
        let reason = match refusal {
            Refusal::Malformed => Reason::BadRequest,
            Refusal::PlainHttp => Reason::PlainHttp,
        };
        let id = request_id::choose(None, rand::random);
        let answer = answer::answer(&reason, false, &HeaderMap::new(), &id);
        self.observe(connection, &answer, id.to_str().unwrap_or_default());
        on_the_wire(&answer, connection.tls.is_some())
    }
}

impl Refuser {
    fn observe(&self, connection: &ConnInfo, answer: &Answer, request_id: &str) {
        let method = Method::from_bytes(UNKNOWN.as_bytes()).unwrap_or_default();
        let (status, sent) = (answer.status.as_u16(), answer.body.len() as u64);
        let finished = Finished { method: &method, status, duration: Duration::ZERO, received: 0, sent, connect_failures: 0, retries: 0 };
        self.runtime.unrouted.record(&finished);
        let Some(log) = &self.access_log else { return };
        log.write(&Entry {
            at: SystemTime::now(),
            client: connection.peer.ip(),
            user: None,
            method: UNKNOWN,
            tls: connection.tls.is_some(),
            host: "",
            target: UNKNOWN.as_bytes(),
            version: finish::version(http::Version::HTTP_11),
            status,
            sent,
            received: 0,
            referer: None,
            user_agent: None,
            duration: Duration::ZERO,
            ingress: None,
            upstream: "",
            tries: &[],
            request_id,
        });
    }
}

/// An answer over HTTP/1.1 that is the last one of its connection.
fn on_the_wire(answer: &Answer, tls: bool) -> Vec<u8> {
    let status = answer.status;
    let mut bytes = format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or_default()).into_bytes();
    let date = (http::header::DATE, get_cached_date());
    let close = (http::header::CONNECTION, http::HeaderValue::from_static("close"));
    let hsts = tls.then_some((http::header::STRICT_TRANSPORT_SECURITY, headers::HSTS));
    for (name, value) in answer.headers.iter().chain([&date, &close]).chain(&hsts) {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&answer.body);
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::listen::{TlsInfo, UnderWay};
    use crate::options::AccessLog;
    use crate::proxy::metrics::Metrics;
    use crate::proxy::tests::front::Lines;

    #[test]
    fn what_is_refused_has_a_line_with_the_id_that_the_client_was_told() {
        let (lines, metrics) = (Lines::default(), Metrics::new(&prometheus::Registry::new(), Arc::default()).unwrap());
        let log = Log::start(AccessLog::Nginx, Box::new(lines.clone()), metrics.dropped_lines.clone()).unwrap().unwrap();
        let refuser = Refuser { runtime: Arc::new(Runtime::new(metrics)), access_log: Some(Arc::new(log)) };
        let tls = TlsInfo { server_name: None, version: "TLSv1.3", cipher: "none" };
        let connection = ConnInfo {
            peer: "192.0.2.7:4711".parse().unwrap(),
            local: "192.0.2.1:443".parse().unwrap(),
            tls: Some(tls),
            under_way: UnderWay::default(),
        };
        let answer = String::from_utf8(refuser.refuse(&connection, Refusal::PlainHttp)).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let (said, id) = body.trim_end().split_once("\nRequest id: ").unwrap();
        assert_eq!(said, "400 Bad Request: This port speaks HTTPS, and a plain HTTP request was sent.");
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n") && head.contains(&format!("x-request-id: {id}\r\n")), "{head}");
        // The end of the log is when everything is written.
        drop(refuser);
        let line = lines.text();
        assert!(line.starts_with("192.0.2.7 - - [") && line.contains(&format!("] \"- - HTTP/1.1\" 400 {} ", body.len())), "{line}");
        assert!(line.ends_with(&format!(" {id}\n")), "{line}");
    }
}
