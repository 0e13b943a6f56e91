//! Carries out what `forwarded` says on Pingora's header types, and cleans the upstream's answer.

use std::mem;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use pingora_core::Result;
use pingora_http::{RequestHeader, ResponseHeader};

use super::forwarded::{self, Client};

/// Has browsers use HTTPS for a host from now on.
pub(super) const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000; includeSubDomains");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
/// Fields that an upstream gets in addition to those of the client, at most.
const ADDED: usize = 11;
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Makes the request what an upstream is to see.
///
/// # Errors
/// None in practice: the request target is one that was read before.
pub(super) fn prepare_request(request: &mut RequestHeader, client: &Client<'_>, is_http2: bool, consumed_authorization: bool) -> Result<()> {
    edit(request, |fields| {
        let originals = forwarded::originals(fields);
        let dropped: Vec<HeaderName> = fields.keys().filter(|name| forwarded::is_dropped(name)).cloned().collect();
        for name in &dropped {
            fields.remove(name);
        }
        if consumed_authorization {
            fields.remove(header::AUTHORIZATION);
        }
        fields.reserve(ADDED);
        for (name, value) in forwarded::set(client).into_iter().chain(originals) {
            fields.insert(name, value);
        }
        if is_http2 {
            // gRPC servers insist on it, and it is hop-by-hop: ours to say.
            fields.insert(header::TE, HeaderValue::from_static("trailers"));
        }
    })
}

/// Forgets in which case the client wrote the names of fields: it means nothing (RFC 9110 section 5.1), HTTP/2 has none, and each further step of the
/// request would carry a second map for it.
///
/// # Errors
/// None in practice: the request target is one that was read before.
pub(super) fn forget_case(request: &mut RequestHeader) -> Result<()> {
    if request.has_case() { edit(request, |_| ()) } else { Ok(()) }
}

/// Changes the fields as a plain map. The request target stays as it was sent, also where it cannot be told from the URI.
fn edit(request: &mut RequestHeader, change: impl FnOnce(&mut HeaderMap)) -> Result<()> {
    let as_parsed = request.uri.path_and_query().is_some_and(|target| target.as_str().as_bytes() == request.raw_path());
    let target = if as_parsed { None } else { Some(request.raw_path().to_vec()) };
    let nothing = RequestHeader::from(http::Request::new(()).into_parts().0);
    let mut parts = http::request::Parts::from(mem::replace(request, nothing));
    change(&mut parts.headers);
    *request = RequestHeader::from(parts);
    target.map_or(Ok(()), |target| request.set_raw_path(&target))
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
