//! What is done with a request before any user or body is looked at, in this order: refuse CONNECT, answer a challenge of a certificate authority, refuse
//! what is malformed, select the route, redirect to HTTPS, check the client's address. Pure.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::answer::Reason;
use super::request::{self, Malformed};
use super::{redirect, sources};
use crate::Snapshot;
use crate::table::{Action, Route, Selection, path};

/// A request, as far as it decides anything.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    /// Its method.
    pub(super) method: &'a Method,
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
    // A tunnel to wherever the client likes is no backend's business.
    if request.method == Method::CONNECT {
        return Decision::Answer(Reason::MethodNotAllowed, None);
    }
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
    if let Action::Fail(failure) = &route.action {
        return refuse(Reason::Refused(StatusCode::from_u16(failure.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)));
    }
    let policy = &route.policy;
    if redirect::is_due(policy.tls_redirect, request.tls, request.path, || snapshot.certificates.covers(&host.to_ascii_lowercase())) {
        let location = HeaderValue::try_from(redirect::location(host, public_https_port, request.target));
        return refuse(location.map_or(Reason::BadRequest, Reason::Redirect));
    }
    let asks_further = policy.satisfy_any && (policy.basic_auth.is_some() || policy.external_auth.is_some());
    if !asks_further && policy.allowed_sources.as_ref().is_some_and(|networks| !sources::admits(networks, request.client)) {
        return refuse(Reason::Forbidden);
    }
    Decision::Serve(route)
}

/// Whether the certificate that the connection was opened with is not for this host while another one is (421, RFC 9110 section 15.5.20): the client never
/// verified this host, and on a connection of its own it can. A certificate that covers the host, though it has a better one, is enough: clients share
/// connections by that (RFC 9113 section 9.1.1). A host without a certificate is not better served elsewhere. Once TLS policies differ by host, they are
/// compared here too.
fn is_misdirected(snapshot: &Snapshot, server_name: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.eq_ignore_ascii_case(server_name) {
        return false;
    }
    let certificates = &snapshot.certificates;
    let served = certificates.certificate(server_name).or_else(|| certificates.default_certificate());
    certificates.covers(host) && !served.is_some_and(|served| served.is_for(&host.to_ascii_lowercase()))
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
    use crate::table::{Backend, HostPattern, PathMatch, Policy, Protocol, RouteId, Rule, TlsRedirect};
    use crate::{CertificateTable, ParsedCertificate, RoutingTable};

    fn certificate(names: &[&str]) -> Arc<ParsedCertificate> {
        let made = rcgen::generate_simple_self_signed(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).unwrap();
        Arc::new(ParsedCertificate::parse(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes()).unwrap())
    }

    fn certificates(default: Option<Arc<ParsedCertificate>>) -> CertificateTable {
        let (shared, own, wildcard) = (certificate(&["a.test", "b.test"]), certificate(&["c.test"]), certificate(&["*.w.test"]));
        let exact = certificate(&["x.w.test"]);
        let entries = [("a.test", &shared), ("b.test", &shared), ("c.test", &own), ("*.w.test", &wildcard), ("x.w.test", &exact)];
        CertificateTable::build(entries.map(|(name, held)| (name.to_owned(), Arc::clone(held))), default)
    }

    #[test]
    fn host_that_the_connections_certificate_does_not_cover_is_misdirected_where_another_does() {
        let snapshot = Snapshot { certificates: certificates(None), ..Snapshot::default() };
        for (server_name, host, expected) in [
            ("a.test", "a.test", false),
            ("a.test", "A.test.", false),
            ("a.test", "b.test", false),
            ("a.test", "c.test", true),
            ("a.test", "C.test.", true),
            ("unknown.test", "c.test", true),
            ("a.test", "unknown.test", false),
            // Under one wildcard, though the host has a certificate of its own.
            ("y.w.test", "z.w.test", false),
            ("y.w.test", "X.w.test", false),
            ("x.w.test", "y.w.test", true),
            ("y.w.test", "a.b.w.test", false),
        ] {
            assert_eq!(is_misdirected(&snapshot, server_name, host), expected, "{server_name} {host}");
        }
        let snapshot = Snapshot { certificates: certificates(Some(certificate(&["c.test"]))), ..Snapshot::default() };
        assert!(!is_misdirected(&snapshot, "unknown.test", "c.test"), "the default certificate is for the host");
    }

    struct Rules {
        policy: Policy,
        action: Action,
    }

    fn decided(rules: Rules, tls: Option<&str>, plain: bool, authority: &str, target: &str) -> String {
        let route = Arc::new(Route::new(
            RouteId { namespace: "ns".into(), ingress: "web".into(), host: "c.test".into(), path: "/".into() },
            Arc::new(rules.policy),
            rules.action,
        ));
        let table = RoutingTable::build(vec![Rule::new(HostPattern::Exact("c.test".into()), PathMatch::Prefix("/app".into()), route)]);
        let mut snapshot = Snapshot { table, certificates: certificates(None), ..Snapshot::default() };
        snapshot.challenges.http01.insert(("c.test".into(), "token".into()), "print".into());
        let headers = HeaderMap::new();
        let request = Request {
            method: &if target.is_empty() { Method::CONNECT } else { Method::GET },
            authority: if authority.is_empty() { Err(Malformed::NoHost) } else { Ok(authority) },
            target,
            path: target.split('?').next().unwrap_or_default(),
            headers: &headers,
            tls: !plain,
            server_name: tls,
            client: [192, 0, 2, 1].into(),
        };
        match decide(&snapshot, 443, &request) {
            Decision::Challenge(print) => format!("challenge {print}"),
            Decision::Serve(_) => "serve".into(),
            Decision::Answer(reason, route) => format!("{} {}", reason.status().as_u16(), if route.is_some() { "route" } else { "" }),
        }
    }

    #[test]
    fn order_is_challenge_shape_connection_route_configuration_redirect_source() {
        let fail = || Action::fail(503, "auth");
        let forward = || {
            Action::Forward(Arc::new(Backend {
                name: "b".into(),
                namespace: "ns".into(),
                service: "b".into(),
                port: "80".into(),
                protocol: Protocol::Http,
                server_name: String::new(),
                endpoints: vec![],
            }))
        };
        let strict = || Policy { tls_redirect: TlsRedirect::Always, allowed_sources: Some(vec![]), ..Policy::default() };
        let open = || Policy { tls_redirect: TlsRedirect::Never, ..Policy::default() };
        let any = || Policy { satisfy_any: true, allowed_sources: Some(vec![]), ..open() };
        let any_or_password = || Policy { basic_auth: Some(Arc::default()), ..any() };
        let challenge = "/.well-known/acme-challenge/token";
        for (policy, action, sni, plain, authority, target, expected) in [
            // A challenge comes before everything that could refuse it.
            (strict(), fail(), Some("a.test"), false, "c.test", challenge, "challenge print"),
            (strict(), fail(), None, true, "C.test.:80", challenge, "challenge print"),
            // Also to a host that is served.
            (open(), forward(), None, true, "c.test", "", "405 "),
            // What is malformed is not looked at further.
            (strict(), fail(), Some("a.test"), false, "", "/app", "400 "),
            (strict(), fail(), Some("a.test"), false, "c test", "/app", "400 "),
            (strict(), fail(), Some("a.test"), false, "c.test", "/app/../x", "400 "),
            // The connection before the route.
            (strict(), fail(), Some("a.test"), false, "c.test", "/app", "421 "),
            // Without a server name every host is served: an address in the URL, a health check.
            (open(), forward(), None, false, "c.test", "/app", "serve"),
            (open(), forward(), None, true, "c.test", "/app", "serve"),
            // Nothing is said of a route that is not there.
            (strict(), fail(), None, true, "unknown.test", "/app", "404 "),
            (strict(), fail(), None, true, "c.test", "/other", "404 "),
            // A route that cannot be served as asked serves nobody, not even a redirect.
            (strict(), fail(), None, true, "c.test", "/app", "503 route"),
            // The redirect before the list, as in ingress-nginx.
            (strict(), forward(), None, true, "c.test", "/app", "308 route"),
            (strict(), forward(), Some("c.test"), false, "c.test", "/app", "403 route"),
            // One of several restrictions may be enough; the others are looked at later.
            (any(), forward(), Some("c.test"), false, "c.test", "/app", "403 route"),
            (any_or_password(), forward(), Some("c.test"), false, "c.test", "/app", "serve"),
            (open(), forward(), Some("c.test"), false, "c.test", "/app?x", "serve"),
        ] {
            assert_eq!(decided(Rules { policy, action }, sni, plain, authority, target), expected, "{sni:?} {plain} {authority} {target}");
        }
    }
}
