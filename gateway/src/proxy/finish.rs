//! What is left to do once a request is answered: count it and log it.

use std::time::{Instant, SystemTime};

use http::{Version, header};
use pingora_core::Error;
use pingora_proxy::Session;

use super::access_log::Entry;
use super::app::{App, client_address, is_tls};
use super::ctx::Ctx;
use super::metrics::Finished;
use super::request;

/// Status in log and metrics of a request whose client went away before an answer, nginx's number for it.
const CLIENT_GONE: u16 = 499;

/// Finishes a request.
pub(super) fn request(app: &App, session: &Session, error: Option<&Error>, ctx: &mut Ctx, now: Instant, at: SystemTime) {
    let answered = session.response_written().filter(|response| !response.status.is_informational() || response.status == 101);
    let status = answered.map_or(CLIENT_GONE, |response| response.status.as_u16());
    let upstream_bytes = session.upstream_body_bytes_received() as u64;
    ctx.end_try(if error.is_none() || answered.is_some() { status } else { CLIENT_GONE }, upstream_bytes, now);
    let request = session.req_header();
    let tries = ctx.tries.len() as u64;
    let finished = Finished {
        method: &request.method,
        status,
        duration: ctx.duration(now),
        received: session.body_bytes_read() as u64,
        sent: session.body_bytes_sent() as u64,
        connect_failures: ctx.tried.count() as u64,
        retries: tries.saturating_sub(1),
    };
    match ctx.route() {
        Some(route) => route.kept.record(&finished),
        None => app.runtime.unrouted.record(&finished),
    }
    log(app, session, ctx, &finished, at);
}

fn log(app: &App, session: &Session, ctx: &Ctx, finished: &Finished<'_>, at: SystemTime) {
    let Some(log) = &app.access_log else { return };
    let request = session.req_header();
    let header_bytes: usize = request.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    log.write(&Entry {
        at,
        client: client_address(session),
        user: ctx.user.as_deref(),
        method: request.method.as_str(),
        tls: is_tls(session),
        host: request::authority(&request.uri, &request.headers).unwrap_or_default(),
        target: request.uri.path_and_query().map_or(&b""[..], |target| target.as_str().as_bytes()),
        version: version(request.version),
        status: finished.status,
        sent: finished.sent,
        received: (request.method.as_str().len() + request.raw_path().len() + 14 + header_bytes) as u64 + finished.received,
        referer: request.headers.get(header::REFERER),
        user_agent: request.headers.get(header::USER_AGENT),
        duration: finished.duration,
        ingress: ctx.route().map(|route| (route.id.namespace.as_str(), route.id.ingress.as_str())),
        upstream: ctx.backend().map_or("", |(backend, _)| &backend.name),
        tries: &ctx.tries,
        request_id: ctx.request_id.to_str().unwrap_or_default(),
    });
}

/// How the log names a version of HTTP.
pub(super) const fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}
