//! Puts an answer of ours on the wire, and keeps or ends the connection as is safe.

use std::time::Duration;

use http::{Version, header};
use pingora_core::Result;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::answer::Answer;
use super::headers;

/// A request body up to this size is read and thrown away, so that the connection can serve another request.
const MAX_DISCARDED: u64 = 64 << 10;
/// Longest time for that.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);

/// Writes the answer. Returns whether the connection ends with it.
pub(super) async fn write(session: &mut Session, answer: Answer, tls: bool) -> Result<bool> {
    let closes = settle_connection(session);
    let mut header = ResponseHeader::build(answer.status, Some(answer.headers.len() + 4))?;
    for (name, value) in answer.headers {
        header.append_header(name, value)?;
    }
    if tls {
        headers::set_hsts(&mut header)?;
    }
    match answer.trailers {
        Some(trailers) if session.req_header().version == Version::HTTP_2 => {
            session.write_response_header(Box::new(header), false).await?;
            session.as_downstream_mut().write_response_trailers(trailers).await?;
        }
        // HTTP/1 clients get a call's status in the header.
        Some(trailers) => {
            for (name, value) in &trailers {
                header.insert_header(name.clone(), value.clone())?;
            }
            header.insert_header(header::CONTENT_LENGTH, 0)?;
            session.write_response_header(Box::new(header), true).await?;
            session.write_response_body(None, true).await?;
        }
        None => {
            session.write_response_header(Box::new(header), answer.body.is_empty()).await?;
            session.write_response_body(Some(answer.body), true).await?;
        }
    }
    Ok(closes)
}

/// Reads and throws away what a client still sends over HTTP/2 after its answer. Without this the stream is reset as soon as the answer is out, and a client
/// that is busy sending (curl is one) sees the reset before it looks for an answer.
pub(super) async fn linger(session: &mut Session) {
    let downstream = session.as_downstream_mut();
    downstream.set_total_drain_timeout(Some(DISCARD_TIMEOUT));
    if let Err(error) = downstream.drain_request_body().await {
        tracing::debug!(%error, "a refused body did not end");
    }
}

/// Decides whether the connection can serve another request: not when a body is left on it that is large, of unknown size, or waiting for a
/// 100 (Continue) that will not come.
fn settle_connection(session: &mut Session) -> bool {
    if session.as_downstream_mut().is_body_done() {
        return false;
    }
    let request = session.req_header();
    let is_small = content_length(request).is_some_and(|length| length <= MAX_DISCARDED);
    let waits = request.headers.contains_key(header::EXPECT);
    if is_small && !waits {
        session.as_downstream_mut().set_total_drain_timeout(Some(DISCARD_TIMEOUT));
        session.as_downstream_mut().set_close_on_response_before_downstream_finish(false);
        return false;
    }
    session.as_downstream_mut().set_keepalive(None);
    true
}

/// The declared length of a request's body.
pub(super) fn content_length(request: &pingora_http::RequestHeader) -> Option<u64> {
    request.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
