//! The answers that the gateway gives itself: few, small, and readable by people, programs and gRPC clients alike. Pure.

mod accept;
mod grpc;
mod page;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// Why a request is answered here, in place of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reason {
    /// 308 to this location.
    Redirect(HeaderValue),
    /// 400: the request cannot be understood, or could be understood in two ways.
    BadRequest,
    /// 400: HTTP in the clear on a port for HTTPS.
    PlainHttp,
    /// 401, with the realm that the user is shown.
    Unauthorized(HeaderValue),
    /// 302 to where users sign in.
    SignIn(Box<SignIn>),
    /// 401 or 403: what the authentication server said.
    Denied(Box<Denied>),
    /// 500: the authentication server said neither yes nor no.
    NoVerdict,
    /// 403: the client's address may not ask.
    Forbidden,
    /// 404: no rule for this host and path.
    NotFound,
    /// 405: CONNECT.
    MethodNotAllowed,
    /// 413.
    BodyTooLarge,
    /// 414.
    TargetTooLong,
    /// 421: this connection's TLS session is not for this host.
    Misdirected,
    /// 431.
    HeadersTooLarge,
    /// 502: the upstream cannot be connected to or does not speak the protocol.
    BadGateway,
    /// 503: no endpoint, or refused by configuration or load.
    Unavailable,
    /// 504.
    GatewayTimeout,
    /// What a route was configured to answer.
    Refused(StatusCode),
}

/// Where users sign in, and the cookies that they take there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SignIn {
    /// The page.
    pub(super) location: HeaderValue,
    /// `Set-Cookie`.
    pub(super) cookies: Vec<HeaderValue>,
}

/// The no of an authentication server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Denied {
    /// 401 or 403.
    pub(super) status: StatusCode,
    /// `WWW-Authenticate`.
    pub(super) challenges: Vec<HeaderValue>,
    /// `Set-Cookie`.
    pub(super) cookies: Vec<HeaderValue>,
}

/// A whole answer, without what the connection adds to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Its status.
    pub(super) status: StatusCode,
    /// Its header fields; `Content-Length` among them.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// Its content; empty for HEAD.
    pub(super) body: Bytes,
    /// Set for gRPC: ends the answer in place of a body.
    pub(super) trailers: Option<HeaderMap>,
}

impl Reason {
    /// The status that it is answered with.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Redirect(_) => StatusCode::PERMANENT_REDIRECT,
            Self::BadRequest | Self::PlainHttp => StatusCode::BAD_REQUEST,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::SignIn(_) => StatusCode::FOUND,
            Self::Denied(denied) => denied.status,
            Self::NoVerdict => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BadGateway => StatusCode::BAD_GATEWAY,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::GatewayTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Refused(status) => *status,
        }
    }

    /// One sentence for the user: what happened, and where it helps, what to do.
    const fn detail(&self) -> &'static str {
        match self {
            Self::Redirect(_) => "This address is served over HTTPS.",
            Self::BadRequest => "The request is malformed or ambiguous.",
            Self::PlainHttp => "This port speaks HTTPS, and a plain HTTP request was sent.",
            Self::Unauthorized(_) => "A user name and password are needed here.",
            Self::SignIn(_) => "You have to sign in first.",
            Self::Denied(_) => "This site's login service does not let you in.",
            Self::NoVerdict => "This site's login service does not answer. Try again in a moment.",
            Self::Forbidden => "Your network address may not use this site.",
            Self::NotFound => "Nothing is published under this address.",
            Self::MethodNotAllowed => "Tunnels through this server are not allowed.",
            Self::BodyTooLarge => "What was sent is larger than this site accepts.",
            Self::TargetTooLong => "The address is too long.",
            Self::Misdirected => "This connection is for another host; open a new one.",
            Self::HeadersTooLarge => "The request's header is too large; deleting the site's cookies may help.",
            Self::BadGateway => "The application did not give a valid answer. Try again in a moment.",
            Self::Unavailable => "The application is not running right now. Try again in a moment.",
            Self::GatewayTimeout => "The application took too long to answer. Try again in a moment.",
            Self::Refused(_) => "This site cannot be served as it is configured.",
        }
    }

    fn own_headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let all = |name: HeaderName, values: &[HeaderValue]| values.iter().map(|value| (name.clone(), value.clone())).collect::<Vec<_>>();
        match self {
            Self::Redirect(location) => vec![(header::LOCATION, location.clone())],
            Self::MethodNotAllowed => vec![(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"))],
            Self::Unauthorized(challenge) => vec![(header::WWW_AUTHENTICATE, challenge.clone())],
            Self::SignIn(page) => [vec![(header::LOCATION, page.location.clone())], all(header::SET_COOKIE, &page.cookies)].concat(),
            Self::Denied(denied) => [all(header::WWW_AUTHENTICATE, &denied.challenges), all(header::SET_COOKIE, &denied.cookies)].concat(),
            _ => Vec::new(),
        }
    }
}

/// The `WWW-Authenticate` value for a realm (RFC 7617 section 2); quotes and backslashes are escaped, what no header may hold is left out.
pub(super) fn basic_challenge(realm: &str) -> HeaderValue {
    let mut value = String::from("Basic realm=\"");
    for c in realm.chars().filter(|c| matches!(c, ' '..='~')) {
        if matches!(c, '"' | '\\') {
            value.push('\\');
        }
        value.push(c);
    }
    value.push_str("\", charset=\"UTF-8\"");
    HeaderValue::try_from(value).unwrap_or_else(|_| HeaderValue::from_static("Basic"))
}

/// The answer for a request: gRPC for gRPC clients, else in the format that the `Accept` header prefers.
pub(super) fn answer(reason: &Reason, is_head: bool, headers: &HeaderMap, request_id: &HeaderValue) -> Answer {
    if grpc::is_grpc(headers) {
        return grpc::answer(reason.status(), reason.detail());
    }
    let format = accept::preferred(headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()));
    let id = request_id.to_str().unwrap_or_default();
    let body = page::render(format, reason.status(), reason.detail(), id);
    let mut answer = whole(reason.status(), format.content_type(), body, is_head);
    answer.headers.push((super::forwarded::X_REQUEST_ID, request_id.clone()));
    answer.headers.extend(reason.own_headers());
    answer
}

/// A plain text answer with 200: the key authorization of an HTTP-01 challenge (RFC 8555 section 8.3).
pub(super) fn key_authorization(text: &str, is_head: bool) -> Answer {
    whole(StatusCode::OK, HeaderValue::from_static("text/plain"), text.to_owned(), is_head)
}

fn whole(status: StatusCode, content_type: HeaderValue, body: String, is_head: bool) -> Answer {
    let headers = vec![
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_LENGTH, HeaderValue::from(body.len())),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Answer { status, headers, body: if is_head { Bytes::new() } else { body.into() }, trailers: None }
}

#[cfg(test)]
mod tests;
