//! Answers for gRPC clients: HTTP status 200 and a gRPC status in the trailers, as the gRPC protocol over HTTP/2 asks for. Pure.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::Answer;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Whether the request is a gRPC call.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    match content_type.and_then(|value| value.strip_prefix(b"application/grpc")) {
        Some(rest) => matches!(rest.first(), None | Some(b'+' | b';')),
        None => false,
    }
}

/// The gRPC status for an HTTP status (gRPC's own mapping, with what only a gateway answers added).
const fn code(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 | 414 | 431 => "3",
        // A call cannot be sent to a page where users sign in.
        302 | 401 => "16",
        403 => "7",
        404 => "12",
        413 => "8",
        421 | 429 | 502 | 503 => "14",
        504 => "4",
        _ => "2",
    }
}

/// The trailers that end a call with a status.
fn trailers(status: StatusCode, message: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    trailers.insert(GRPC_STATUS, HeaderValue::from_static(code(status)));
    trailers.insert(GRPC_MESSAGE, HeaderValue::from_static(message));
    trailers
}

/// The answer that ends a call with a status.
pub(super) fn answer(status: StatusCode, message: &'static str) -> Answer {
    Answer {
        status: StatusCode::OK,
        headers: vec![
            (header::CONTENT_TYPE, HeaderValue::from_static("application/grpc")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ],
        body: Bytes::new(),
        trailers: Some(trailers(status, message)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_told_by_its_content_type() {
        for (content_type, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc; charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))]);
            assert_eq!(is_grpc(&headers), expected, "{content_type}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[test]
    fn http_statuses_have_their_grpc_status() {
        for (status, expected) in [
            (StatusCode::BAD_REQUEST, "3"),
            (StatusCode::UNAUTHORIZED, "16"),
            (StatusCode::FOUND, "16"),
            (StatusCode::FORBIDDEN, "7"),
            (StatusCode::NOT_FOUND, "12"),
            (StatusCode::PAYLOAD_TOO_LARGE, "8"),
            (StatusCode::MISDIRECTED_REQUEST, "14"),
            (StatusCode::BAD_GATEWAY, "14"),
            (StatusCode::SERVICE_UNAVAILABLE, "14"),
            (StatusCode::GATEWAY_TIMEOUT, "4"),
            (StatusCode::PERMANENT_REDIRECT, "2"),
        ] {
            assert_eq!(trailers(status, "x")[GRPC_STATUS], expected, "{status}");
        }
    }
}
