//! What an administrator's request asks for. Pure.

use std::net::IpAddr;
use std::time::Duration;

use http::{Method, StatusCode};

/// Longest wait that a client may ask for.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    /// `/healthz`
    Healthy,
    /// `/readyz`
    Ready,
    /// `/metrics`
    Metrics,
    /// `/api/v1/status`, optionally once the generation is greater than `after`.
    Status { after: Option<u64>, timeout: Duration },
    /// `/api/v1/explain?target=…`
    Explain { target: String },
    /// `/`
    Page,
}

/// Why it is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) message: String,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

/// Reads a request line and its `Host`.
pub(super) fn parse(method: &Method, host: Option<&[u8]>, path: &str, query: Option<&str>) -> Result<Ask, Refusal> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here"));
    }
    if !host.is_some_and(is_literal) {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "ask by IP address or localhost: other hosts are refused, so that no web page can ask here"));
    }
    match path {
        "/healthz" => Ok(Ask::Healthy),
        "/readyz" => Ok(Ask::Ready),
        "/metrics" => Ok(Ask::Metrics),
        "/" => Ok(Ask::Page),
        "/api/v1/status" => status(query.unwrap_or_default()),
        "/api/v1/explain" => explain(query.unwrap_or_default()),
        _ => Err(Refusal::new(StatusCode::NOT_FOUND, "known paths: / /healthz /readyz /metrics /api/v1/status /api/v1/explain?target=…")),
    }
}

fn is_literal(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

fn status(query: &str) -> Result<Ask, Refusal> {
    let bad = |what: &str, value: &str| Refusal::new(StatusCode::BAD_REQUEST, format!("{what}={value}: expected {what}=N, for timeout with s or ms"));
    let mut after = None;
    let mut timeout = Duration::from_secs(5);
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "wait" => after = Some(value.parse().map_err(|_| bad("wait", &value))?),
            "timeout" => timeout = duration(&value).ok_or_else(|| bad("timeout", &value))?,
            _ => return Err(Refusal::new(StatusCode::BAD_REQUEST, format!("unknown parameter {key}; known: wait, timeout"))),
        }
    }
    Ok(Ask::Status { after, timeout: timeout.min(MAX_WAIT) })
}

fn explain(query: &str) -> Result<Ask, Refusal> {
    form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == "target")
        .map(|(_, target)| Ask::Explain { target: target.into_owned() })
        .ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, "give target=URL, target=NAME or target=ADDRESS"))
}

fn duration(value: &str) -> Option<Duration> {
    if let Some(ms) = value.strip_suffix("ms") {
        return ms.parse().ok().map(Duration::from_millis);
    }
    value.strip_suffix('s').unwrap_or(value).parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ask(path: &str, query: Option<&str>) -> Result<Ask, StatusCode> {
        parse(&Method::GET, Some(b"127.0.0.1:9090"), path, query).map_err(|refusal| refusal.status)
    }

    #[test]
    fn paths_and_parameters() {
        let status = |after, ms| Ok(Ask::Status { after, timeout: Duration::from_millis(ms) });
        for (path, query, expected) in [
            ("/healthz", None, Ok(Ask::Healthy)),
            ("/", None, Ok(Ask::Page)),
            ("/api/v1/status", None, status(None, 5_000)),
            ("/api/v1/status", Some("wait=7&timeout=250ms"), status(Some(7), 250)),
            ("/api/v1/status", Some("wait=0&timeout=2s"), status(Some(0), 2_000)),
            ("/api/v1/status", Some("timeout=9999s"), status(None, 60_000)),
            ("/api/v1/status", Some("wait=x"), Err(StatusCode::BAD_REQUEST)),
            ("/api/v1/status", Some("later=1"), Err(StatusCode::BAD_REQUEST)),
            ("/api/v1/explain", Some("target=https%3A%2F%2Fa.test%2Fx"), Ok(Ask::Explain { target: "https://a.test/x".into() })),
            ("/api/v1/explain", Some("target=50%"), Ok(Ask::Explain { target: "50%".into() })),
            ("/api/v1/explain", None, Err(StatusCode::BAD_REQUEST)),
            ("/etc/passwd", None, Err(StatusCode::NOT_FOUND)),
        ] {
            assert_eq!(ask(path, query), expected, "{path} {query:?}");
        }
    }

    #[test]
    fn only_reads_by_address_are_answered() {
        let status = |method, host| parse(&method, host, "/healthz", None).map_err(|refusal| refusal.status);
        assert_eq!(status(Method::POST, Some(b"localhost".as_slice())), Err(StatusCode::METHOD_NOT_ALLOWED));
        for host in [b"localhost:9090".as_slice(), b"[::1]:9090", b"[::1]", b"127.0.0.1", b"LOCALHOST"] {
            assert_eq!(status(Method::GET, Some(host)), Ok(Ask::Healthy), "{}", String::from_utf8_lossy(host));
        }
        for host in [None, Some(b"evil.example".as_slice()), Some(b"127.0.0.1.evil.example:80"), Some(b"\xff")] {
            assert_eq!(status(Method::GET, host), Err(StatusCode::FORBIDDEN), "{host:?}");
        }
    }
}
