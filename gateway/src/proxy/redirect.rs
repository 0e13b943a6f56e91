//! Where a request over plain HTTP is sent to (308). Pure.

use crate::table::TlsRedirect;

/// Requests below this path are never redirected: a certificate authority asks over plain HTTP (RFC 8555 section 8.3).
pub(super) const ACME_CHALLENGES: &str = "/.well-known/acme-challenge/";

/// Whether the request is to be redirected to HTTPS.
pub(super) fn is_due(rule: TlsRedirect, tls: bool, path: &str, covered: impl FnOnce() -> bool) -> bool {
    let wanted = match rule {
        TlsRedirect::Never => false,
        TlsRedirect::Always => true,
        TlsRedirect::WhenCertificate => !tls && covered(),
    };
    wanted && !tls && !path.starts_with(ACME_CHALLENGES)
}

/// The HTTPS location of a request: the host without its port, the public port unless it is 443, and the target without one trailing slash, as
/// ingress-nginx cuts it (`/` becomes nothing, `/a/` becomes `/a`).
pub(super) fn location(host: &str, public_port: u16, target: &str) -> String {
    let target = target.strip_suffix('/').unwrap_or(target);
    if public_port == 443 { format!("https://{host}{target}") } else { format!("https://{host}:{public_port}{target}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn location_cuts_one_trailing_slash_and_names_a_port_other_than_443() {
        for (port, target, expected) in [
            (443, "/", "https://a.test"),
            (443, "/x", "https://a.test/x"),
            (443, "/x/", "https://a.test/x"),
            (443, "/x//", "https://a.test/x/"),
            (443, "/x?y=1", "https://a.test/x?y=1"),
            (443, "/x?y=/", "https://a.test/x?y="),
            (8443, "/", "https://a.test:8443"),
            (8443, "/x", "https://a.test:8443/x"),
        ] {
            assert_eq!(location("a.test", port, target), expected);
        }
    }

    #[test]
    fn redirect_is_due_on_plain_http_only_and_never_for_challenges() {
        use TlsRedirect::{Always, Never, WhenCertificate};
        for (rule, tls, path, covered, expected) in [
            (Always, false, "/", false, true),
            (Always, true, "/", true, false),
            (Never, false, "/", true, false),
            (WhenCertificate, false, "/", true, true),
            (WhenCertificate, false, "/", false, false),
            (WhenCertificate, true, "/", true, false),
            (Always, false, "/.well-known/acme-challenge/token", true, false),
            (Always, false, "/.well-known/acme-challenge", true, true),
            (Always, false, "/x/.well-known/acme-challenge/token", true, true),
        ] {
            assert_eq!(is_due(rule, tls, path, || covered), expected, "{rule:?} {tls} {path} {covered}");
        }
    }
}
