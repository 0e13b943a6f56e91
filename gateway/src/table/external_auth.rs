//! Authentication by subrequest (annotations `auth-url`, `auth-signin` and their companions), as a value. Pure.

use http::{HeaderName, Method};

use super::template::{Original, Template, TemplateError};

/// Another server that says whether a request may pass.
#[derive(Debug, Clone, PartialEq)]
pub struct ExternalAuth {
    /// Where it is asked.
    pub url: AuthUrl,
    /// How it is asked, where that is said; else GET.
    pub method: Option<Method>,
    /// Where browsers are sent (302) that it does not know (401); made by [`sign_in`].
    pub sign_in: Option<Template>,
    /// `X-Auth-Request-Redirect`, where it is not the request's own target.
    pub request_redirect: Option<Template>,
    /// Headers of its answer that the upstream gets; never what the client sends under these names.
    pub response_headers: Vec<HeaderName>,
    /// Whether its cookies reach the client with every answer, not only with a good one.
    pub always_set_cookie: bool,
}

/// `auth-url`, taken apart: variables can stand where they mean the same as in nginx and cannot move the border between its parts.
#[derive(Debug, Clone, PartialEq)]
pub struct AuthUrl {
    scheme: Scheme,
    authority: Template,
    target: Template,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
    /// `$scheme`.
    OfRequest,
}

/// Why an `auth-url` cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthUrlError {
    /// It begins with neither.
    #[error("it starts with neither http:// nor https:// nor $scheme://")]
    Scheme,
    /// No host, or not a host and a port.
    #[error("its host is not a name or address with an optional port")]
    Authority,
    /// A variable that the client could choose the server with.
    #[error("of all variables its host may have $host, $http_host and $best_http_host only")]
    HostVariable,
    /// A fragment is never sent.
    #[error("it has a #, and what follows that is never sent to a server")]
    Fragment,
    /// Its variables or characters.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// Where a request is authenticated, filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    /// Whether TLS is spoken.
    pub(crate) tls: bool,
    /// Name or address, the latter in brackets where it is IPv6; lower case.
    pub(crate) host: String,
    /// Port, where the URL names one.
    pub(crate) port: Option<u16>,
    /// Path and query.
    pub(crate) target: String,
    /// Whether the request's own host is a part of the host.
    pub(crate) is_of_request: bool,
}

impl AuthUrl {
    /// Parses the value of `auth-url`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, AuthUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(AuthUrlError::Scheme)?;
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "$scheme" | "${scheme}" | "$pass_access_scheme" | "${pass_access_scheme}" => Scheme::OfRequest,
            _ => return Err(AuthUrlError::Scheme),
        };
        if rest.contains('#') {
            return Err(AuthUrlError::Fragment);
        }
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let slash = if target.starts_with('/') { "" } else { "/" };
        let (authority, target) = (Template::parse(authority)?, Template::parse(&format!("{slash}{target}"))?);
        if !authority.has_host_variables_only() {
            return Err(AuthUrlError::HostVariable);
        }
        let url = Self { scheme, authority, target };
        let sample = Original { tls: true, method: "GET", host: "a", authority: "a", target: "/", client: [192, 0, 2, 1].into() };
        url.fill(&sample).ok_or(AuthUrlError::Authority).map(|_| url)
    }

    /// The host, without its port, where the URL names a certain one.
    #[must_use]
    pub fn fixed_host(&self) -> Option<&str> {
        self.authority.fixed().and_then(split_port).map(|(host, _)| host)
    }

    /// The URL for a request; `None` where the request's own host makes it no URL.
    pub(crate) fn fill(&self, request: &Original<'_>) -> Option<Destination> {
        let authority = self.authority.fill(request);
        let (host, port) = split_port(&authority)?;
        let tls = match self.scheme {
            Scheme::Http => false,
            Scheme::Https => true,
            Scheme::OfRequest => request.tls,
        };
        Some(Destination {
            tls,
            host: host.to_ascii_lowercase(),
            port,
            target: self.target.fill(request),
            is_of_request: self.authority.fixed().is_none(),
        })
    }
}

/// Host and port of an authority, neither of which may be anything but that.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let end = if authority.starts_with('[') { authority.find(']')? + 1 } else { authority.find(':').unwrap_or(authority.len()) };
    let (host, rest) = authority.split_at(end);
    let is_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.contains("..") && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')),
    };
    let port = match rest.strip_prefix(':') {
        None => rest.is_empty().then_some(None)?,
        Some("") => None,
        Some(digits) => Some(digits.parse::<u16>().ok().filter(|port| *port > 0 && digits.bytes().all(|b| b.is_ascii_digit()))?),
    };
    is_host.then_some((host, port))
}

/// The value of `auth-signin` with the page that was asked for as parameter, unless the value has that parameter already.
///
/// # Errors
/// What is wrong with the value.
pub fn sign_in(url: &str, parameter: &str) -> Result<Template, TemplateError> {
    // nginx makes a path absolute before it sends it.
    let absolute = if url.starts_with('/') && !url.starts_with("//") { "$scheme://$http_host" } else { "" };
    let page = format!("{parameter}=$pass_access_scheme://$http_host$escaped_request_uri");
    let query = url.split('#').next().and_then(|whole| whole.split_once('?')).map(|(_, query)| query).unwrap_or_default();
    let names_page = |pair: &str| pair.split_once('=').is_some_and(|(name, value)| name == parameter && !value.is_empty());
    let (separator, page) = match query {
        "" if url.ends_with('?') => ("", page.as_str()),
        "" => ("?", page.as_str()),
        query if query.split('&').any(names_page) => ("", ""),
        _ => ("&", page.as_str()),
    };
    Template::parse(&format!("{absolute}{url}{separator}{page}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn original(tls: bool) -> Original<'static> {
        Original { tls, method: "GET", host: "App.test", authority: "App.test:8443", target: "/x?y=1", client: [192, 0, 2, 1].into() }
    }

    fn filled(url: &str, tls: bool) -> String {
        let Destination { tls, host, port, target, .. } = AuthUrl::parse(url).unwrap().fill(&original(tls)).unwrap();
        format!("{} {host} {port:?} {target}", if tls { "tls" } else { "plain" })
    }

    #[test]
    fn urls_are_taken_apart_before_they_are_filled_in() {
        for (url, expected) in [
            ("https://$host/oauth2/auth?allowed_emails=a@b.cz", "tls app.test None /oauth2/auth?allowed_emails=a@b.cz"),
            ("http://auth.ns.svc.cluster.local:4180/auth", "plain auth.ns.svc.cluster.local Some(4180) /auth"),
            ("$scheme://$http_host/auth", "tls app.test Some(8443) /auth"),
            ("https://auth-$host", "tls auth-app.test None /"),
            ("https://Auth.test:", "tls auth.test None /"),
            ("https://a.test?x", "tls a.test None /?x"),
            ("https://a.test/u$request_uri", "tls a.test None /u/x?y=1"),
            ("http://[2001:db8::1]:80/", "plain [2001:db8::1] Some(80) /"),
        ] {
            assert_eq!(filled(url, true), expected, "{url}");
        }
        assert_eq!(filled("$scheme://a.test/", false), "plain a.test None /");
    }

    #[test]
    fn what_is_no_url_of_a_server_is_refused() {
        use AuthUrlError::{Authority, Fragment, HostVariable, Scheme};
        for (url, expected) in [
            ("", Scheme),
            ("/auth", Scheme),
            ("ftp://a.test/", Scheme),
            ("$host://a.test/", Scheme),
            ("https://", Authority),
            ("https:///auth", Authority),
            ("https://user@a.test/", Authority),
            ("https://a..b/", Authority),
            ("https://a.test:0/", Authority),
            ("https://a.test:99999/", Authority),
            ("https://a.test:+80/", Authority),
            ("https://[::1/", Authority),
            ("https://[a]/", Authority),
            ("https://a;b/", Authority),
            ("https://$args/", HostVariable),
            ("https://a$request_uri/", HostVariable),
            ("https://a.test/#x", Fragment),
            ("https://a.test/$cookie_x", TemplateError::UnknownVariable("cookie_x".into()).into()),
            ("https://a.test/a b", TemplateError::Character(' ').into()),
        ] {
            assert_eq!(AuthUrl::parse(url).unwrap_err(), expected, "{url}");
        }
    }

    #[test]
    fn the_host_is_known_beforehand_unless_it_has_a_variable() {
        for (url, expected) in [("http://127.0.0.1:80/", Some("127.0.0.1")), ("http://[::1]/", Some("[::1]")), ("http://$host/", None)] {
            assert_eq!(AuthUrl::parse(url).unwrap().fixed_host(), expected, "{url}");
        }
    }

    #[test]
    fn the_sign_in_page_is_told_where_to_return_to_once() {
        let page = "https://App.test:8443%2Fx%3Fy%3D1";
        for (url, parameter, expected) in [
            ("https://a.test/start", "rd", format!("https://a.test/start?rd={page}")),
            ("https://a.test/start?", "rd", format!("https://a.test/start?rd={page}")),
            ("https://a.test/start?x=1", "rd", format!("https://a.test/start?x=1&rd={page}")),
            ("https://a.test/start?x=1", "next", format!("https://a.test/start?x=1&next={page}")),
            (
                "https://a.test/start?rd=$scheme%3A%2F%2F$host$escaped_request_uri",
                "rd",
                "https://a.test/start?rd=https%3A%2F%2Fapp.test%2Fx%3Fy%3D1".into(),
            ),
            ("https://a.test/start?rd=", "rd", format!("https://a.test/start?rd=&rd={page}")),
            ("https://a.test/start?ord=1", "rd", format!("https://a.test/start?ord=1&rd={page}")),
            ("/start", "rd", format!("https://App.test:8443/start?rd={page}")),
        ] {
            assert_eq!(sign_in(url, parameter).unwrap().fill(&original(true)), expected, "{url}");
        }
        assert!(sign_in("https://a.test/\n", "rd").is_err());
    }
}
