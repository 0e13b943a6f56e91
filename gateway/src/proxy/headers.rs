//! Carries out what `forwarded` says on Pingora's header types, and cleans the upstream's answer.

use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};
use pingora_core::Result;
use pingora_http::{RequestHeader, ResponseHeader};

use super::forwarded::{self, Client};

const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000; includeSubDomains");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Makes the request what an upstream is to see.
///
/// # Errors
/// None in practice: all names and values are valid.
pub(super) fn prepare_request(request: &mut RequestHeader, client: &Client<'_>, is_http2: bool, consumed_authorization: bool) -> Result<()> {
    let originals: Vec<_> = forwarded::originals(&request.headers).collect();
    let dropped: Vec<HeaderName> = request.headers.keys().filter(|name| forwarded::is_dropped(name)).cloned().collect();
    for name in &dropped {
        request.remove_header(name);
    }
    if consumed_authorization {
        request.remove_header(&header::AUTHORIZATION);
    }
    for (name, value) in forwarded::set(client) {
        request.insert_header(name, value)?;
    }
    for (name, value) in originals {
        request.insert_header(name, value)?;
    }
    if is_http2 {
        // gRPC servers insist on it, and it is hop-by-hop: ours to say.
        request.insert_header(header::TE, HeaderValue::from_static("trailers"))?;
    }
    Ok(())
}

/// Puts what an authentication server said into the request, and nothing else under these names: the client could say anything.
///
/// # Errors
/// None in practice.
pub(super) fn hand_on(request: &mut RequestHeader, names: &[HeaderName], granted: Option<&HeaderMap>) -> Result<()> {
    for name in names {
        request.remove_header(name);
        for value in granted.into_iter().flat_map(|headers| headers.get_all(name)) {
            request.append_header(name.clone(), value.clone())?;
        }
    }
    Ok(())
}

/// Adds cookies to those of the upstream.
///
/// # Errors
/// None in practice.
pub(super) fn set_cookies(response: &mut ResponseHeader, cookies: &[HeaderValue]) -> Result<()> {
    cookies.iter().try_for_each(|cookie| response.append_header(header::SET_COOKIE, cookie.clone()).map(|_| ()))
}

/// Makes the upstream's answer what the client is to see.
///
/// # Errors
/// None in practice.
pub(super) fn prepare_response(response: &mut ResponseHeader, tls: bool) -> Result<()> {
    response.remove_header(&header::SERVER);
    response.remove_header(&KEEP_ALIVE);
    response.remove_header(&PROXY_CONNECTION);
    if tls {
        set_hsts(response)?;
    }
    Ok(())
}

/// Has browsers use HTTPS for this host from now on; replaces what the upstream says, as ingress-nginx does.
pub(super) fn set_hsts(response: &mut ResponseHeader) -> Result<()> {
    response.insert_header(header::STRICT_TRANSPORT_SECURITY, HSTS)
}
