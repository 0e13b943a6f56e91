//! What an authentication server is asked: the header of the request, without what belongs to its body or connection, and what ingress-nginx adds. Pure.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use pingora_core::Result;
use pingora_http::RequestHeader;

use crate::proxy::forwarded::{self, X_FORWARDED_FOR, X_REAL_IP, X_REQUEST_ID, X_SCHEME};
use crate::table::{Destination, ExternalAuth, Original};

const X_ORIGINAL_URL: HeaderName = HeaderName::from_static("x-original-url");
const X_ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");
const X_ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
const X_SENT_FROM: HeaderName = HeaderName::from_static("x-sent-from");
const X_AUTH_REQUEST_REDIRECT: HeaderName = HeaderName::from_static("x-auth-request-redirect");
/// Says which proxies a request went through (RFC 8586): the one way to see a loop that leads over the network.
const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");
const CDN_ID: &str = "vrata-auth-url";

/// Headers of the request that are not the server's business: those of its connection and its body, and conditions on what was asked for, which is not what
/// the server is asked for.
const LEFT_OUT: [&str; 21] = [
    "connection",
    "content-encoding",
    "content-length",
    "cookie",
    "expect",
    "host",
    "http2-settings",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-original-uri",
    "x-scheme",
];

/// Whether a request is such a subrequest itself, sent by this program.
pub(super) fn is_one(headers: &HeaderMap) -> bool {
    let mut ids = headers.get_all(CDN_LOOP).iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
    ids.any(|id| id.split(|b| *b == b';').next().is_some_and(|id| id.trim_ascii() == CDN_ID.as_bytes()))
}

/// The header of the subrequest.
///
/// # Errors
/// The URL is no request target.
pub(super) fn header(
    auth: &ExternalAuth,
    original: &Original<'_>,
    destination: &Destination,
    client: &RequestHeader,
    request_id: &HeaderValue,
) -> Result<RequestHeader> {
    let method = auth.method.clone().unwrap_or(Method::GET);
    let mut asked = RequestHeader::build(method, destination.target.as_bytes(), Some(client.headers.len() + 10))?;
    let nominated = nominated(&client.headers);
    for (name, value) in &client.headers {
        let is_left_out = LEFT_OUT.contains(&name.as_str()) || forwarded::is_dropped(name) || nominated.iter().any(|other| other == name.as_str());
        if !is_left_out {
            asked.append_header(name.clone(), value.clone())?;
        }
    }
    if let Some(cookies) = cookies(&client.headers) {
        asked.insert_header(header::COOKIE, cookies)?;
    }
    asked.insert_header(header::HOST, destination.host.as_str())?;
    let visible = |text: String| HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""));
    let page = format!("{}://{}{}", original.scheme(), original.authority, original.target);
    let redirect = auth.request_redirect.as_ref().map_or_else(|| original.target.to_owned(), |template| template.fill(original));
    let address = original.client.to_canonical().to_string();
    asked.insert_header(X_ORIGINAL_URL, visible(page))?;
    asked.insert_header(X_ORIGINAL_METHOD, original.method)?;
    asked.insert_header(X_AUTH_REQUEST_REDIRECT, visible(redirect))?;
    asked.insert_header(X_SENT_FROM, "nginx-ingress-controller")?;
    asked.insert_header(X_REAL_IP, address.as_str())?;
    asked.insert_header(X_FORWARDED_FOR, address.as_str())?;
    asked.insert_header(X_REQUEST_ID, request_id.clone())?;
    if auth.method.is_some() {
        asked.insert_header(X_ORIGINAL_URI, visible(original.target.to_owned()))?;
        asked.insert_header(X_SCHEME, original.scheme())?;
    }
    asked.append_header(CDN_LOOP, CDN_ID)?;
    Ok(asked)
}

/// Names that the client's `Connection` header makes hop-by-hop (RFC 9110 section 7.6.1).
fn nominated(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect()
}

/// All cookies in one field, as HTTP/1.1 wants it (RFC 9113 section 8.2.3).
fn cookies(headers: &HeaderMap) -> Option<HeaderValue> {
    let all: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    (!all.is_empty()).then(|| HeaderValue::from_bytes(&all.join(&b"; "[..])).ok())?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::table::{AuthUrl, Template};

    fn asked(auth: &ExternalAuth, headers: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut client = RequestHeader::build("POST", b"/page?x=1", None).unwrap();
        for (name, value) in headers {
            client.append_header(*name, *value).unwrap();
        }
        let original = Original {
            tls: true,
            method: "POST",
            host: "app.test",
            authority: "app.test:8443",
            target: "/page?x=1",
            client: "::ffff:192.0.2.7".parse().unwrap(),
        };
        let destination = auth.url.fill(&original).unwrap();
        let asked = header(auth, &original, &destination, &client, &HeaderValue::from_static("id")).unwrap();
        let mut lines: Vec<_> = asked.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines.insert(0, format!("{} {}", asked.method, asked.uri));
        lines
    }

    fn auth() -> ExternalAuth {
        ExternalAuth {
            url: AuthUrl::parse("https://$host/oauth2/auth?x=$request_method").unwrap(),
            method: None,
            sign_in: None,
            request_redirect: None,
            response_headers: vec![],
            always_set_cookie: false,
        }
    }

    #[test]
    fn the_server_is_told_what_ingress_nginx_tells() {
        let sent = [
            ("host", "app.test:8443"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("authorization", "Bearer x"),
            ("content-length", "5"),
            ("content-type", "text/plain"),
            ("if-none-match", "\"x\""),
            ("connection", "Upgrade, X-Hop"),
            ("upgrade", "websocket"),
            ("x-hop", "1"),
            ("x-original-url", "https://app.test/allowed"),
            ("x-original-method", "GET"),
            ("x-original-uri", "/allowed"),
            ("x-auth-request-redirect", "/elsewhere"),
            ("x-real-ip", "10.0.0.1"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-host", "evil.test"),
            ("x-scheme", "http"),
            ("x_under", "1"),
        ];
        let expected = [
            "GET /oauth2/auth?x=POST",
            "authorization: Bearer x",
            "cdn-loop: vrata-auth-url",
            "content-type: text/plain",
            "cookie: a=1; b=2",
            "host: app.test",
            "x-auth-request-redirect: /page?x=1",
            "x-forwarded-for: 192.0.2.7",
            "x-original-method: POST",
            "x-original-url: https://app.test:8443/page?x=1",
            "x-real-ip: 192.0.2.7",
            "x-request-id: id",
            "x-sent-from: nginx-ingress-controller",
        ];
        assert_eq!(asked(&auth(), &sent), expected);
    }

    #[test]
    fn a_method_adds_headers_and_a_redirect_replaces_the_target() {
        let redirect = Template::parse("https://$host/after").unwrap();
        let lines = asked(&ExternalAuth { method: Some(Method::HEAD), request_redirect: Some(redirect), ..auth() }, &[]);
        for line in ["HEAD /oauth2/auth?x=POST", "x-original-uri: /page?x=1", "x-scheme: https", "x-auth-request-redirect: https://app.test/after"] {
            assert!(lines.iter().any(|found| found == line), "{line} {lines:?}");
        }
    }

    #[test]
    fn a_subrequest_is_known_by_its_mark() {
        for (value, expected) in
            [("vrata-auth-url", true), ("cdn.test, vrata-auth-url;v=1", true), ("cdn.test", false), ("vrata-auth-url.test", false), ("", false)]
        {
            assert_eq!(is_one(&HeaderMap::from_iter([(CDN_LOOP, HeaderValue::from_static(value))])), expected, "{value}");
        }
        assert!(!is_one(&HeaderMap::new()));
    }
}
