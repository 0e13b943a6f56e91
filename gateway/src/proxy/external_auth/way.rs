//! Where the server that is asked is to be found: behind a route of this gateway, or anywhere else. Pure.

use std::sync::Arc;

use super::{Fault, Question};
use crate::proxy::sources;
use crate::table::{Action, Backend, Destination, Endpoint, HostPattern, Original, Protocol, Route, Rule, Selection, path};

/// How the server is reached.
#[derive(Debug)]
pub(super) enum Way<'a> {
    /// A route of this gateway serves it, by this backend.
    Own(&'a Arc<Route>, &'a Backend),
    /// By its name or address.
    Network,
}

/// Finds the way to the server that is asked about a request.
///
/// The table is asked first, for it knows what the world sees under a name of ours, while an address of ours may not even be reachable from here. But a name
/// in the table proves nothing about who owns it elsewhere: only the request's own host, which led here, and names of the route's own namespace are looked
/// for in it. All others are resolved, as ingress-nginx does it.
pub(super) fn way<'a>(question: &Question<'a>, original: &Original<'_>, destination: &Destination, public_https_port: u16) -> Result<Way<'a>, Fault> {
    let own_host = original.host.strip_suffix('.').unwrap_or(original.host);
    let is_own_host = destination.host.strip_suffix('.').unwrap_or(&destination.host).eq_ignore_ascii_case(own_host);
    let is_own_port =
        destination.port.is_none_or(|port| [80, 443, public_https_port].contains(&port) || original.authority.ends_with(&format!(":{port}")));
    let path = destination.target.split('?').next().unwrap_or_default();
    if is_own_port && path::check(path).is_ok() {
        match question.snapshot.table.select(&destination.host, path) {
            Selection::Route(rule) if is_own_host || is_neighbour(rule, question.route) => return own(&rule.route, question),
            Selection::NoPath(_) | Selection::Ambiguous { .. } if is_own_host => return Err(Fault::NoRoute),
            _ => {}
        }
    } else if is_own_port && is_own_host {
        return Err(Fault::NoRoute);
    }
    // Who asks for a host of his own would have his own server asked.
    let host = &question.route.id.host;
    let is_chosen = destination.is_of_request && (host.is_empty() || host.starts_with("*."));
    if is_chosen { Err(Fault::ChosenByClient) } else { Ok(Way::Network) }
}

/// Whether a rule is for a host that the route's own namespace has.
fn is_neighbour(rule: &Rule, route: &Route) -> bool {
    *rule.host() != HostPattern::Any && rule.route.id.namespace == route.id.namespace
}

fn own<'a>(route: &'a Arc<Route>, question: &Question<'_>) -> Result<Way<'a>, Fault> {
    let policy = &route.policy;
    if policy.external_auth.is_some() || policy.basic_auth.is_some() {
        return Err(Fault::Loop);
    }
    if policy.allowed_sources.as_ref().is_some_and(|networks| !sources::admits(networks, question.client)) {
        return Err(Fault::Forbidden);
    }
    match &route.action {
        Action::Forward(backend) if backend.protocol.is_http2() => Err(Fault::Protocol),
        Action::Forward(backend) => Ok(Way::Own(route, backend)),
        Action::Fail(_) => Err(Fault::NoRoute),
    }
}

/// The server as a backend of the route's namespace, which connections to it are pooled for.
pub(super) fn network_backend(route: &Route, destination: &Destination) -> Backend {
    let host = destination.host.trim_start_matches('[').trim_end_matches(']');
    let port = destination.port.unwrap_or(if destination.tls { 443 } else { 80 });
    Backend {
        name: String::new(),
        namespace: route.id.namespace.clone(),
        // No Service is called so: the pool of one is never this one's.
        service: format!("auth-url {host}"),
        port: port.to_string(),
        protocol: if destination.tls { Protocol::Https } else { Protocol::Http },
        server_name: host.to_owned(),
        endpoints: vec![Endpoint::Name(host.to_owned(), port)],
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use http::HeaderValue;
    use pingora_http::RequestHeader;

    use super::*;
    use crate::table::{AuthUrl, BasicAuth, PathMatch, Policy, RouteId};
    use crate::{RoutingTable, Snapshot};

    fn route(namespace: &str, name: &str, policy: Policy, protocol: Protocol) -> Arc<Route> {
        let host = match name {
            "any" => "",
            "wildcard" => "*.w.test",
            _ => "app.test",
        };
        Arc::new(Route::new(
            RouteId { namespace: namespace.into(), ingress: name.into(), host: host.into(), path: "/".into() },
            Arc::new(policy),
            Action::Forward(Arc::new(Backend {
                name: name.into(),
                namespace: namespace.into(),
                service: name.into(),
                port: "80".into(),
                protocol,
                server_name: String::new(),
                endpoints: vec![],
            })),
        ))
    }

    fn snapshot() -> Snapshot {
        let exact = |host: &str| HostPattern::Exact(host.into());
        let open = Policy::default;
        let failing = Route { action: Action::fail(503, ""), ..(*route("ns", "fails", open(), Protocol::Http)).clone() };
        let basic = Policy { basic_auth: Some(Arc::new(BasicAuth::default())), ..open() };
        let fenced = Policy { allowed_sources: Some(vec!["198.51.100.0/24".parse().unwrap()]), ..open() };
        let rules = [
            (exact("app.test"), "/app", route("ns", "app", open(), Protocol::Http)),
            (exact("app.test"), "/oauth2", route("ns", "proxy", open(), Protocol::Http)),
            (exact("app.test"), "/shared", route("other", "shared", open(), Protocol::Http)),
            (exact("app.test"), "/basic", route("ns", "basic", basic, Protocol::Http)),
            (exact("app.test"), "/fenced", route("ns", "fenced", fenced, Protocol::Http)),
            (exact("app.test"), "/grpc", route("ns", "grpc", open(), Protocol::Grpc)),
            (exact("app.test"), "/fails", Arc::new(failing)),
            (exact("login.test"), "/", route("ns", "login", open(), Protocol::Http)),
            (exact("accounts.test"), "/", route("other", "claimed", open(), Protocol::Http)),
            (HostPattern::Wildcard("w.test".into()), "/", route("ns", "wildcard", open(), Protocol::Http)),
            (HostPattern::Any, "/", route("ns", "any", open(), Protocol::Http)),
        ];
        let rules = rules.map(|(host, path, route)| Rule::new(host, PathMatch::Prefix(path.into()), route));
        Snapshot { table: RoutingTable::build(rules), ..Snapshot::default() }
    }

    fn found(snapshot: &Snapshot, authority: &str, url: &str) -> String {
        let header = RequestHeader::build("GET", b"/app", None).unwrap();
        let host = authority.split(':').next().unwrap();
        let asking = snapshot.table.find(host, "/app").unwrap();
        let request_id = HeaderValue::from_static("id");
        let client = [192, 0, 2, 1].into();
        let question = Question { snapshot, route: asking, header: &header, client, tls: true, request_id: &request_id, now: Duration::ZERO };
        let original = Original { tls: true, method: "GET", host, authority, target: "/app", client };
        let destination = AuthUrl::parse(url).unwrap().fill(&original).unwrap();
        match way(&question, &original, &destination, 8443) {
            Ok(Way::Own(route, _)) => route.id.ingress.clone(),
            Ok(Way::Network) => "network".into(),
            Err(fault) => format!("{fault:?}"),
        }
    }

    #[test]
    fn the_requests_own_host_and_those_of_its_namespace_are_found_here_and_all_others_by_name() {
        let snapshot = snapshot();
        for (authority, url, expected) in [
            ("app.test", "https://$host/oauth2/auth", "proxy"),
            ("App.test.", "https://$host/oauth2/auth", "proxy"),
            ("app.test", "http://app.test/oauth2/auth", "proxy"),
            ("app.test:8443", "https://$http_host/oauth2/auth", "proxy"),
            ("app.test:9443", "https://$http_host/oauth2/auth", "proxy"),
            ("app.test", "https://app.test:4180/oauth2/auth", "network"),
            ("app.test", "https://$host/shared", "shared"),
            ("app.test", "https://login.test/auth", "login"),
            // Whoever writes a name into an Ingress here need not be who owns it in the world.
            ("app.test", "https://accounts.test/auth", "network"),
            ("app.test", "https://elsewhere.test/auth", "network"),
            // Reached by the catch-all itself.
            ("any.test", "https://$host/auth", "any"),
            ("any.test:4180", "https://$http_host/auth", "any"),
            // Whoever writes the Host header would choose the server.
            ("any.test", "https://$host:4180/auth", "ChosenByClient"),
            ("any.test", "https://auth-$host:4180/auth", "ChosenByClient"),
            ("a.w.test", "https://$host/auth", "wildcard"),
            ("a.w.test", "https://$host:4180/auth", "ChosenByClient"),
            ("any.test", "https://a.test:4180/auth", "network"),
            ("app.test", "https://auth-$host/auth", "network"),
            ("app.test", "https://$host/none", "NoRoute"),
            ("app.test", "https://$host/oauth2/../app", "NoRoute"),
            ("app.test", "https://$host/fails", "NoRoute"),
            ("app.test", "https://$host/basic", "Loop"),
            ("app.test", "https://$host/fenced", "Forbidden"),
            ("app.test", "https://$host/grpc", "Protocol"),
        ] {
            assert_eq!(found(&snapshot, authority, url), expected, "{authority} {url}");
        }
    }

    #[test]
    fn a_server_elsewhere_is_a_backend_of_the_namespace() {
        let route = route("ns", "app", Policy::default(), Protocol::Http);
        for (url, endpoint, protocol) in [
            ("https://a.test/x", Endpoint::Name("a.test".into(), 443), Protocol::Https),
            ("http://a.test/x", Endpoint::Name("a.test".into(), 80), Protocol::Http),
            ("http://[2001:db8::1]:81/x", Endpoint::Name("2001:db8::1".into(), 81), Protocol::Http),
        ] {
            let original = Original { tls: true, method: "GET", host: "h", authority: "h", target: "/", client: [192, 0, 2, 1].into() };
            let backend = network_backend(&route, &AuthUrl::parse(url).unwrap().fill(&original).unwrap());
            assert_eq!((backend.endpoints, backend.protocol, backend.namespace.as_str()), (vec![endpoint], protocol, "ns"), "{url}");
        }
    }
}
