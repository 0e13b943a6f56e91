//! What is done with a request before any user or body is looked at, in this order: answer a challenge of a certificate authority, refuse what is malformed,
//! select the route, redirect to HTTPS, check the client's address. Pure.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode};

use super::answer::Reason;
use super::request::{self, Malformed};
use super::{redirect, sources};
use crate::Snapshot;
use crate::table::{Action, Route, Selection, path};

/// A request, as far as it decides anything.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    /// Host with its port, or what stands in its place.
    pub(super) authority: Result<&'a str, Malformed>,
    /// Path and query, as sent.
    pub(super) target: &'a str,
    /// The path alone.
    pub(super) path: &'a str,
    /// Its header.
    pub(super) headers: &'a HeaderMap,
    /// Whether it came over HTTPS.
    pub(super) tls: bool,
    /// Server name of the TLS handshake, lower case.
    pub(super) server_name: Option<&'a str>,
    /// The client.
    pub(super) client: IpAddr,
}

/// What is done with it.
#[derive(Debug, PartialEq)]
pub(super) enum Decision<'a> {
    /// The key authorization of an HTTP-01 challenge.
    Challenge(&'a str),
    /// An answer of our own; with the route that asked for it, if one did.
    Answer(Reason, Option<&'a Arc<Route>>),
    /// Its route is to serve it.
    Serve(&'a Arc<Route>),
}

/// Decides.
pub(super) fn decide<'a>(snapshot: &'a Snapshot, public_https_port: u16, request: &Request<'_>) -> Decision<'a> {
    if let Some(authorization) = challenge(snapshot, request) {
        return Decision::Challenge(authorization);
    }
    let sane = request::check_size(request.target.len(), request.headers).and(request.authority).and_then(request::host);
    let host = match sane {
        Ok(host) if path::check(request.path).is_ok() => host,
        Ok(_) => return Decision::Answer(Reason::BadRequest, None),
        Err(malformed) => return Decision::Answer(malformed.into(), None),
    };
    if request.server_name.is_some_and(|server_name| is_misdirected(snapshot, server_name, host)) {
        return Decision::Answer(Reason::Misdirected, None);
    }
    match snapshot.table.select(host, request.path) {
        Selection::Route(rule) => serve(snapshot, public_https_port, request, host, &rule.route),
        Selection::UnknownHost | Selection::NoPath(_) => Decision::Answer(Reason::NotFound, None),
        Selection::Ambiguous { .. } => Decision::Answer(Reason::BadRequest, None),
    }
}

fn serve<'a>(snapshot: &'a Snapshot, public_https_port: u16, request: &Request<'_>, host: &str, route: &'a Arc<Route>) -> Decision<'a> {
    let refuse = |reason| Decision::Answer(reason, Some(route));
    if let Action::Fail { status, .. } = &route.action {
        return refuse(Reason::Refused(StatusCode::from_u16(*status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)));
    }
    let policy = &route.policy;
    if redirect::is_due(policy.tls_redirect, request.tls, request.path, || snapshot.certificates.covers(&host.to_ascii_lowercase())) {
        let location = HeaderValue::try_from(redirect::location(host, public_https_port, request.target));
        return refuse(location.map_or(Reason::BadRequest, Reason::Redirect));
    }
    if policy.allowed_sources.as_ref().is_some_and(|networks| !sources::admits(networks, request.client)) {
        return refuse(Reason::Forbidden);
    }
    Decision::Serve(route)
}

/// Whether the connection's TLS handshake was for a host with another certificate than this host has (421, RFC 9110 section 15.5.20): the client never
/// verified this host, and on a connection of its own it can. Hosts that share a certificate share connections (RFC 9113 section 9.1.1), and a host without
/// one is not better served elsewhere. Once TLS policies differ by host, they are compared here too.
fn is_misdirected(snapshot: &Snapshot, server_name: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.eq_ignore_ascii_case(server_name) {
        return false;
    }
    let wanted = snapshot.certificates.resolve(&host.to_ascii_lowercase());
    wanted.is_some_and(|wanted| !snapshot.certificates.resolve(server_name).is_some_and(|served| Arc::ptr_eq(wanted, served)))
}

/// The key authorization for a challenge that is under way for this very host and token (RFC 8555 section 8.3).
fn challenge<'a>(snapshot: &'a Snapshot, request: &Request<'_>) -> Option<&'a str> {
    let token = request.path.strip_prefix(redirect::ACME_CHALLENGES)?;
    let host = request::host(request.authority.ok()?).ok()?;
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    snapshot.challenges.http01.get(&(host, token.to_owned())).map(String::as_str)
}

impl From<Malformed> for Reason {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::TargetTooLong => Self::TargetTooLong,
            Malformed::HeadersTooLarge => Self::HeadersTooLarge,
            Malformed::NoHost | Malformed::BadHost => Self::BadRequest,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{CertificateTable, ParsedCertificate};

    #[test]
    fn host_with_another_certificate_than_the_connection_is_misdirected() {
        let certificate = |names: &[&str]| {
            let made = rcgen::generate_simple_self_signed(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).unwrap();
            Arc::new(ParsedCertificate::parse(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes()).unwrap())
        };
        let (shared, own) = (certificate(&["a.test", "b.test"]), certificate(&["c.test"]));
        let entries = [("a.test", &shared), ("b.test", &shared), ("c.test", &own)].map(|(name, held)| (name.to_owned(), Arc::clone(held)));
        let snapshot = Snapshot { certificates: CertificateTable::build(entries, None), ..Snapshot::default() };
        for (server_name, host, expected) in [
            ("a.test", "a.test", false),
            ("a.test", "A.test.", false),
            ("a.test", "b.test", false),
            ("a.test", "c.test", true),
            ("unknown.test", "c.test", true),
            ("a.test", "unknown.test", false),
        ] {
            assert_eq!(is_misdirected(&snapshot, server_name, host), expected, "{server_name} {host}");
        }
    }
}
