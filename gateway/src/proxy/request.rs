//! Whether a request is well formed enough to be looked at, and which host and path it is for. Pure.

use http::{HeaderMap, Uri, header};

/// Longest request target, in bytes.
pub(super) const MAX_TARGET: usize = 16 << 10;
/// Largest sum of header names, values and the request target, in bytes.
pub(super) const MAX_HEADER_BYTES: usize = 32 << 10;
/// Largest number of header fields.
pub(super) const MAX_HEADER_FIELDS: usize = 100;
/// Longest DNS name in text form, with its trailing dot (RFC 1035 section 3.1).
const MAX_HOST: usize = 254;

/// Why a request is refused before anything is decided about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Malformed {
    /// 414.
    TargetTooLong,
    /// 431.
    HeadersTooLarge,
    /// 400: no Host header and no authority.
    NoHost,
    /// 400: the host is not a name or address with an optional port.
    BadHost,
}

/// Checks the sizes of the request target and the header.
///
/// # Errors
/// What is too large.
pub(super) fn check_size(target_bytes: usize, headers: &HeaderMap) -> Result<(), Malformed> {
    if target_bytes > MAX_TARGET {
        return Err(Malformed::TargetTooLong);
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > MAX_HEADER_FIELDS || target_bytes + bytes > MAX_HEADER_BYTES {
        return Err(Malformed::HeadersTooLarge);
    }
    Ok(())
}

/// The authority as the client wrote it: `:authority`, or the Host header (that both agree is checked where the request is parsed).
///
/// # Errors
/// There is none, or it is not text.
pub(super) fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<&'a str, Malformed> {
    match (uri.authority(), headers.get(header::HOST)) {
        (Some(authority), _) => Ok(authority.as_str()),
        (None, Some(host)) => host.to_str().map_err(|_| Malformed::BadHost),
        (None, None) => Err(Malformed::NoHost),
    }
}

/// The host without its port: a name (letters, digits, `-`, `_`, dots), an IPv4 address or an IPv6 address in brackets.
///
/// # Errors
/// It is empty, too long or has other characters, or the port is not a number.
pub(super) fn host(authority: &str) -> Result<&str, Malformed> {
    let (host, port) = split_port(authority).ok_or(Malformed::BadHost)?;
    let port_is_sane = port.is_none_or(|port| port.is_empty() || port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok());
    if port_is_sane && (is_name(host) || is_bracketed_v6(host)) { Ok(host) } else { Err(Malformed::BadHost) }
}

fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if authority.starts_with('[') {
        let end = authority.find(']')? + 1;
        let (host, rest) = authority.split_at(end);
        return if rest.is_empty() { Some((host, None)) } else { Some((host, Some(rest.strip_prefix(':')?))) };
    }
    Some(match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    })
}

fn is_name(host: &str) -> bool {
    let labels = host.strip_suffix('.').unwrap_or(host);
    let is_label_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    // One pass: no empty label, no foreign byte.
    let mut after_dot = true;
    for b in labels.bytes() {
        match b {
            b'.' if after_dot => return false,
            b'.' => after_dot = true,
            b if is_label_byte(b) => after_dot = false,
            _ => return false,
        }
    }
    !after_dot && host.len() <= MAX_HOST
}

fn is_bracketed_v6(host: &str) -> bool {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
}

/// The origin-form of an absolute-form request target (`http://host/path?query` becomes `/path?query`, RFC 9112 section 3.2.2).
/// `None` when the target is not in absolute-form.
pub(super) fn origin_form(target: &[u8]) -> Option<Vec<u8>> {
    let scheme_end = target.windows(3).position(|w| w == b"://")?;
    let scheme = &target[..scheme_end];
    if !(scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"https")) {
        return None;
    }
    let rest = &target[scheme_end + 3..];
    let path_start = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let path = &rest[path_start..];
    Some(if path.starts_with(b"/") { path.to_vec() } else { [b"/", path].concat() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http::HeaderValue;

    use super::*;

    #[test]
    fn host_is_a_name_or_address_with_an_optional_port() {
        for (authority, expected) in [
            ("example.org", Some("example.org")),
            ("EXAMPLE.org:8443", Some("EXAMPLE.org")),
            ("example.org.", Some("example.org.")),
            ("example.org:", Some("example.org")),
            ("a_b.example.org", Some("a_b.example.org")),
            ("192.0.2.1:80", Some("192.0.2.1")),
            ("[2001:db8::1]", Some("[2001:db8::1]")),
            ("[2001:db8::1]:443", Some("[2001:db8::1]")),
            ("", None),
            (":80", None),
            (".", None),
            ("a..b", None),
            (".a", None),
            ("a b", None),
            ("a/b", None),
            ("a<script>", None),
            ("user@host", None),
            ("host:99999", None),
            ("host:80x", None),
            ("host:+80", None),
            ("host:80:80", None),
            ("[::1", None),
            ("[::1]x", None),
            ("[name]", None),
            ("*.example.org", None),
            ("příklad.cz", None),
        ] {
            assert_eq!(host(authority).ok(), expected, "{authority}");
        }
        assert_eq!(host(&"a".repeat(300)), Err(Malformed::BadHost));
    }

    #[test]
    fn authority_prefers_the_pseudo_header_and_needs_one_of_both() {
        let mut headers = HeaderMap::new();
        assert_eq!(authority(&Uri::from_static("/x"), &headers), Err(Malformed::NoHost));
        assert_eq!(authority(&Uri::from_static("https://a.test/x"), &headers), Ok("a.test"));
        headers.insert(header::HOST, HeaderValue::from_static("b.test:81"));
        assert_eq!(authority(&Uri::from_static("/x"), &headers), Ok("b.test:81"));
        headers.insert(header::HOST, HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(authority(&Uri::from_static("/x"), &headers), Err(Malformed::BadHost));
    }

    #[test]
    fn sizes_are_bounded() {
        let mut headers = HeaderMap::new();
        assert_eq!(check_size(MAX_TARGET, &headers), Ok(()));
        assert_eq!(check_size(MAX_TARGET + 1, &headers), Err(Malformed::TargetTooLong));
        for _ in 0..MAX_HEADER_FIELDS {
            headers.append("x", HeaderValue::from_static("y"));
        }
        assert_eq!(check_size(1, &headers), Ok(()));
        headers.append("x", HeaderValue::from_static("y"));
        assert_eq!(check_size(1, &headers), Err(Malformed::HeadersTooLarge));
        let mut headers = HeaderMap::new();
        headers.insert("x", HeaderValue::from_str(&"y".repeat(MAX_HEADER_BYTES - 2)).unwrap());
        assert_eq!(check_size(1, &headers), Ok(()));
        assert_eq!(check_size(2, &headers), Err(Malformed::HeadersTooLarge));
    }

    #[test]
    fn absolute_form_becomes_origin_form() {
        for (target, expected) in [
            ("http://a.test/x?y", Some("/x?y")),
            ("HTTPS://a.test", Some("/")),
            ("http://a.test?y", Some("/?y")),
            ("/x", None),
            ("*", None),
            ("/redirect?to=http://a.test/", None),
            ("ftp://a.test/", None),
        ] {
            assert_eq!(origin_form(target.as_bytes()), expected.map(|e| e.as_bytes().to_vec()), "{target}");
        }
    }
}
