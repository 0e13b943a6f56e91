//! The headers that tell an upstream about the client, and those of the client that it never sees (ingress-nginx 1.15 defaults). Pure.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Name of the request id's header.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Name of the header with the client's address alone.
pub(super) const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// Name of the header with the client's address, as proxies write it.
pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_SCHEME: HeaderName = HeaderName::from_static("x-forwarded-scheme");
/// Name of the header that says whether the client spoke HTTPS.
pub(super) const X_SCHEME: HeaderName = HeaderName::from_static("x-scheme");
const X_ORIGINAL_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-original-forwarded-for");
const X_ORIGINAL_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-original-forwarded-host");

/// What an upstream is told.
#[derive(Debug)]
pub(super) struct Client<'a> {
    /// The client's address.
    pub(super) address: IpAddr,
    /// The authority as the client wrote it, with its port.
    pub(super) authority: &'a str,
    /// Whether the client spoke HTTPS.
    pub(super) tls: bool,
    /// Public port of the listener.
    pub(super) port: &'a HeaderValue,
    /// The request's id.
    pub(super) request_id: &'a HeaderValue,
}

/// The headers to set, replacing what the client sent under the same name.
pub(super) fn set(client: &Client<'_>) -> [(HeaderName, HeaderValue); 8] {
    let address = address_value(client.address);
    let scheme = HeaderValue::from_static(if client.tls { "https" } else { "http" });
    let authority = HeaderValue::from_str(client.authority).unwrap_or_else(|_| HeaderValue::from_static(""));
    [
        (X_REQUEST_ID, client.request_id.clone()),
        (X_REAL_IP, address.clone()),
        (X_FORWARDED_FOR, address),
        (X_FORWARDED_HOST, authority),
        (X_FORWARDED_PORT, client.port.clone()),
        (X_FORWARDED_PROTO, scheme.clone()),
        (X_FORWARDED_SCHEME, scheme.clone()),
        (X_SCHEME, scheme),
    ]
}

/// What the client claimed about a proxy before it, kept under another name.
pub(super) fn originals(headers: &HeaderMap) -> impl Iterator<Item = (HeaderName, HeaderValue)> + use<> {
    let kept = |name: HeaderName, original: HeaderName| headers.get(name).map(|value| (original, value.clone()));
    [kept(X_FORWARDED_FOR, X_ORIGINAL_FORWARDED_FOR), kept(X_FORWARDED_HOST, X_ORIGINAL_FORWARDED_HOST)].into_iter().flatten()
}

/// Whether a client's header is kept from the upstream: `Proxy` (httpoxy), names with `_` (they would shadow those with `-` in CGI-like apps),
/// every claim about forwarding, and `Forwarded` (RFC 7239), which frameworks believe over what is set here.
pub(super) fn is_dropped(name: &HeaderName) -> bool {
    let text = name.as_str();
    match text.as_bytes().first() {
        Some(b'p') if text == "proxy" => return true,
        Some(b'f') if *name == header::FORWARDED => return true,
        Some(b'x') if text.starts_with("x-forwarded-") || text.starts_with("x-original-forwarded-") => return true,
        _ => {}
    }
    text.as_bytes().contains(&b'_')
}

/// The address in text, IPv4 also when it came in over an IPv6 socket.
fn address_value(address: IpAddr) -> HeaderValue {
    use std::io::Write as _;
    let mut text = [0_u8; 48];
    let mut rest = &mut text[..];
    let written = write!(rest, "{}", address.to_canonical()).map(|()| rest.len()).unwrap_or_default();
    let len = text.len() - written;
    HeaderValue::from_bytes(&text[..len]).expect("an address is a header value")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn told(address: &str, authority: &str, tls: bool, port: &'static str) -> Vec<String> {
        let (port, request_id) = (HeaderValue::from_static(port), HeaderValue::from_static("id"));
        let client = Client { address: address.parse().unwrap(), authority, tls, port: &port, request_id: &request_id };
        set(&client).iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn upstream_is_told_what_ingress_nginx_tells() {
        assert_eq!(
            told("::ffff:192.0.2.7", "a.test:8443", true, "8443"),
            [
                "x-request-id: id",
                "x-real-ip: 192.0.2.7",
                "x-forwarded-for: 192.0.2.7",
                "x-forwarded-host: a.test:8443",
                "x-forwarded-port: 8443",
                "x-forwarded-proto: https",
                "x-forwarded-scheme: https",
                "x-scheme: https",
            ]
        );
        assert_eq!(told("2001:db8::1", "a.test", false, "80")[1], "x-real-ip: 2001:db8::1");
        assert_eq!(told("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "a.test", false, "80")[5], "x-forwarded-proto: http");
    }

    #[test]
    fn claims_of_the_client_are_kept_under_another_name() {
        let mut headers = HeaderMap::new();
        assert_eq!(originals(&headers).count(), 0);
        headers.insert("x-forwarded-for", HeaderValue::from_static("10.0.0.1, 10.0.0.2"));
        headers.insert("x-forwarded-host", HeaderValue::from_static("evil.test"));
        let kept: Vec<_> = originals(&headers).map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        assert_eq!(kept, ["x-original-forwarded-for: 10.0.0.1, 10.0.0.2", "x-original-forwarded-host: evil.test"]);
    }

    #[test]
    fn client_headers_that_an_upstream_would_believe_are_dropped() {
        for (name, expected) in [
            ("proxy", true),
            ("forwarded", true),
            ("x-forwarded-for", true),
            ("x-forwarded-prefix", true),
            ("x-original-forwarded-for", true),
            ("x_real_ip", true),
            ("content_length", true),
            ("proxy-authorization", false),
            ("x-forward", false),
            ("x-request-id", false),
            ("accept", false),
        ] {
            assert_eq!(is_dropped(&HeaderName::from_static(name)), expected, "{name}");
        }
    }
}
