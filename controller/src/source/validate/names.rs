//! Names of objects, hosts and ports. Pure.

use std::net::IpAddr;

/// An RFC 1123 label in lower case.
pub(super) fn is_label(text: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes.iter().all(|byte| alphanumeric(byte) || *byte == b'-')
}

/// An RFC 1123 subdomain in lower case: labels separated by dots.
pub(crate) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(|label| label.len() <= 63 && is_label(label))
}

/// An IANA service name (RFC 6335 section 5.1) in lower case.
pub(super) fn is_port_name(text: &str) -> bool {
    text.len() <= 15 && is_label(text) && text.bytes().any(|byte| byte.is_ascii_lowercase()) && !text.contains("--")
}

/// Why a text is no host of an Ingress or certificate; `None` when it is one.
pub(super) fn host_fault(host: &str) -> Option<&'static str> {
    let bare = host.strip_prefix("*.").unwrap_or(host);
    if host.parse::<IpAddr>().is_ok() || host.starts_with('[') {
        return Some("is an IP address. Write a DNS name.");
    }
    if host.contains(['/', ':']) {
        return Some("is more than a DNS name. Leave scheme, port and path away.");
    }
    if bare.contains('*') {
        return Some("has a wildcard in the wrong place. Only the whole first label may be '*'.");
    }
    if host.ends_with('.') {
        return Some("ends with a dot. Leave it away.");
    }
    if bare.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some("has capital letters. Write it in lower case.");
    }
    if !bare.is_ascii() {
        return Some("has letters outside of ASCII. Write it in its xn-- form.");
    }
    (!is_subdomain(bare)).then_some("is no DNS name: labels of at most 63 of a-z, 0-9 and '-', separated by dots, at most 253 in all.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_from_what_is_none() {
        let valid = ["a", "a.example", "*.a.example", "xn--nxasmq6b.example", "1.example"];
        assert_eq!(valid.map(host_fault), [None; 5]);
        let invalid = [
            "",
            "*",
            "a.*.example",
            "*a.example",
            "A.example",
            "a.example.",
            "192.0.2.1",
            "::1",
            "a:80",
            "http://a",
            "a_b.example",
            "-a.example",
            "č.example",
        ];
        for host in invalid {
            assert!(host_fault(host).is_some(), "{host}");
        }
    }

    #[test]
    fn port_names_are_service_names() {
        assert!(["http", "a-1", "8080-tcp"].into_iter().all(is_port_name));
        assert!(!["", "8080", "a--b", "HTTP", "-a", "sixteen-letters-"].into_iter().any(is_port_name));
    }
}
