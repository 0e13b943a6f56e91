//! `vrata explain`: which object decides about a URL, a DNS name or an address, and why. Pure.

use std::fmt::Write as _;
use std::net::IpAddr;

use dns::{RecordType, Step};
use gateway::table::{Action, HostPattern, PathMatch, Rule, Selection};

use crate::compile::{HostReport, ServiceReport, TlsReport, TlsStatus};
use crate::problem::Problem;
use crate::status::View;

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A URL.
    Url {
        /// Its host.
        host: String,
        /// Its path.
        path: String,
    },
    /// A DNS name.
    Name(String),
    /// An IP address.
    Address(IpAddr),
}

/// The text is none of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no URL (https://host/path), DNS name or IP address")]
pub struct TargetError(String);

/// Reads what is asked about.
///
/// # Errors
/// When it is no URL, name or address.
pub fn parse(text: &str) -> Result<Target, TargetError> {
    let bad = || TargetError(text.to_owned());
    if let Ok(address) = text.parse() {
        return Ok(Target::Address(address));
    }
    if text.contains("://") || text.contains('/') {
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let uri: http::Uri = with_scheme.parse().map_err(|_| bad())?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(bad)?;
        return Ok(Target::Url { host: host.to_ascii_lowercase(), path: uri.path().to_owned() });
    }
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    match name.parse::<dns::Name>() {
        Ok(_) if !name.is_empty() && !name.contains(char::is_whitespace) => Ok(Target::Name(name)),
        _ => Err(bad()),
    }
}

/// Explains, in lines for people.
#[must_use]
pub fn explain(view: &View, target: &Target) -> String {
    let mut text = String::new();
    match target {
        Target::Url { host, path } => url(&mut text, view, host, path),
        Target::Name(name) => {
            dns_name(&mut text, view, name);
            routes(&mut text, view, name);
        }
        Target::Address(address) => ip_address(&mut text, view, *address),
    }
    text
}

/// Adds a line.
fn line(text: &mut String, added: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{added}");
}

fn url(text: &mut String, view: &View, host: &str, path: &str) {
    line(text, format_args!("https://{host}{path}"));
    let table = &view.snapshot.table;
    if let Err(refusal) = gateway::table::path::check(path) {
        line(text, format_args!("  answered here with 400: {refusal}"));
        return;
    }
    match table.select(host, path) {
        Selection::Route(rule) => chosen(text, view, rule),
        Selection::UnknownHost => {
            line(text, format_args!("  answered here with 404: no Ingress serves this host"));
        }
        Selection::NoPath(pattern) => {
            line(text, format_args!("  answered here with 404: the host is served ({}), and none of its paths matches", pattern_text(pattern)));
        }
        Selection::Ambiguous { written, decoded } => {
            line(text, format_args!("  answered here with 400: the path reads differently once decoded, and would reach another route"));
            for (how, rule) in [("as written", written), ("decoded", decoded)] {
                line(text, format_args!("  {how}: {}", rule.map_or_else(|| "no route".into(), rule_text)));
            }
        }
    }
    if let Some(report) = host_report(view, host) {
        line(text, format_args!("  host held by namespace {} (first claimed by {})", report.namespace, report.owner));
        line(text, format_args!("  certificate: {}", tls_text(&report.tls)));
    }
    claims(text, view, host);
    dns_name(text, view, host);
}

fn chosen(text: &mut String, view: &View, rule: &Rule) {
    let route = &rule.route;
    line(text, format_args!("  decided by Ingress {}/{}: {}", route.id.namespace, route.id.ingress, rule_text(rule)));
    match &route.action {
        Action::Forward(backend) => {
            line(text, format_args!("  goes to Service {}/{} port {} ({:?})", backend.namespace, backend.service, backend.port, backend.protocol));
            if backend.endpoints.is_empty() {
                line(text, format_args!("  answered here with 503: the Service has no ready endpoint"));
            }
            for endpoint in &backend.endpoints {
                line(text, format_args!("    endpoint {endpoint:?}"));
            }
        }
        Action::Fail { status, reason } => {
            line(text, format_args!("  answered here with {status}: {reason}"));
        }
    }
    let concerns = |problem: &&Problem| {
        problem
            .object
            .as_ref()
            .is_some_and(|o| &*o.kind == "Ingress" && o.namespace.as_deref() == Some(&route.id.namespace) && *o.name == *route.id.ingress)
    };
    for problem in view.problems.iter().filter(concerns) {
        line(text, format_args!("  {:?}: {}: {}", problem.severity, problem.field, problem.message));
    }
}

fn rule_text(rule: &Rule) -> String {
    let path = match rule.path() {
        PathMatch::Exact(path) => format!("exactly {path}"),
        PathMatch::Prefix(path) => format!("{path} and below"),
    };
    format!("host {}, path {path}", pattern_text(rule.host()))
}

fn pattern_text(pattern: &HostPattern) -> String {
    match pattern {
        HostPattern::Exact(host) => host.to_string(),
        HostPattern::Wildcard(suffix) => format!("*.{suffix}"),
        HostPattern::Any => "any".into(),
    }
}

fn tls_text(tls: &TlsReport) -> String {
    let until = tls.not_after.map(|end| format!(", valid until {end}")).unwrap_or_default();
    let secret = tls.secret.as_deref().unwrap_or("-");
    match tls.status {
        TlsStatus::Own => format!("its own, Secret {secret}{until}"),
        TlsStatus::Wildcard => format!("the zone's wildcard{until}"),
        TlsStatus::Issuing => "being ordered; the default certificate answers until then".into(),
        TlsStatus::Failed => "cannot be had, see the problems; the default certificate answers".into(),
        TlsStatus::None => "none was asked for; the default certificate answers".into(),
    }
}

fn host_report<'a>(view: &'a View, host: &str) -> Option<&'a HostReport> {
    let wildcard = host.split_once('.').map(|(_, suffix)| format!("*.{suffix}"));
    let named = |name: &str| view.report.hosts.iter().find(|report| report.host == name);
    named(host).or_else(|| named(&wildcard?)).map(|report| &**report)
}

fn routes(text: &mut String, view: &View, host: &str) {
    if let Some(report) = host_report(view, host) {
        line(text, format_args!("  host {} held by namespace {} (first claimed by {})", report.host, report.namespace, report.owner));
        line(text, format_args!("  certificate: {}", tls_text(&report.tls)));
        for route in &report.routes {
            let to = route.refused.as_ref().map_or_else(|| route.backend.clone(), |why| format!("refused: {why}"));
            line(text, format_args!("  {} {} → {to} ({}, {} endpoints)", route.path_type, route.path, route.ingress, route.endpoints));
        }
    }
    claims(text, view, host);
    for service in view.report.services.iter().filter(|service| service.hostnames.iter().any(|name| name == host)) {
        line(text, format_args!("  name of Service {}/{}", service.namespace, service.name));
    }
}

fn claims(text: &mut String, view: &View, host: &str) {
    for claim in view.report.refused.iter().filter(|claim| claim.host == host) {
        line(text, format_args!("  refused to {}: {}", claim.object, claim.message));
    }
}

fn dns_name(text: &mut String, view: &View, name: &str) {
    let Ok(mut owner) = name.parse::<dns::Name>() else { return };
    owner.set_fqdn(true);
    let Some(zone) = view.zones.find(&owner) else {
        line(text, format_args!("DNS: {name} is outside the zones that are served here; queries for it are refused"));
        return;
    };
    line(text, format_args!("DNS: zone {} serial {}", zone.origin(), zone.serial()));
    for record_type in [RecordType::A, RecordType::AAAA] {
        let explanation = zone.lookup_explained(&owner, record_type);
        line(text, format_args!("  {record_type}:"));
        for step in &explanation.steps {
            line(text, format_args!("    {}", step_text(step)));
        }
        for set in &explanation.records {
            for value in &set.data {
                line(text, format_args!("    {} {} {value}", set.owner, set.ttl));
            }
        }
    }
}

fn step_text(step: &Step) -> String {
    match step {
        Step::OutsideZone(name) => format!("{name} is outside this zone"),
        Step::Found(name) => format!("{name} has records of this type"),
        Step::NoData(name) => format!("{name} exists and has no records of this type (NODATA)"),
        Step::EmptyNonTerminal(name) => format!("{name} has no records itself, only names below it (NODATA)"),
        Step::Wildcard { name, source } => format!("{name} is covered by {source}"),
        Step::Alias { name, target } => format!("{name} is an alias of {target}"),
        Step::Delegation { name, cut } => format!("{name} is delegated at {cut}"),
        Step::NxDomain { name, closest_encloser } => format!("{name} does not exist; {closest_encloser} is the nearest that does (NXDOMAIN)"),
        Step::ChainEnds(name) => format!("the chain of aliases ends at {name}: too long, or a loop"),
    }
}

fn ip_address(text: &mut String, view: &View, address: IpAddr) {
    let mut holders = view.report.services.iter().filter(|service| service.addresses.contains(&address)).peekable();
    if view.public_addresses.contains(&address) {
        line(text, format_args!("{address}: a public address of the gateway; HTTP and HTTPS of all Ingress hosts"));
    } else if holders.peek().is_none() {
        line(text, format_args!("{address}: nobody holds it"));
    }
    for service in holders {
        held(text, address, service);
    }
}

fn held(text: &mut String, address: IpAddr, service: &ServiceReport) {
    line(text, format_args!("{address}: held by Service {}/{}", service.namespace, service.name));
    for port in &service.ports {
        line(text, format_args!("  {}/{} → {} ready endpoints", port.port, port.protocol, port.endpoints));
    }
    for name in &service.hostnames {
        line(text, format_args!("  DNS name {name}"));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn urls_names_and_addresses_are_told_apart() {
        let url = |host: &str, path: &str| Ok(Target::Url { host: host.into(), path: path.into() });
        for (text, expected) in [
            ("https://App.example.org/x?y=1", url("app.example.org", "/x")),
            ("http://app.example.org:8080", url("app.example.org", "/")),
            ("app.example.org/x", url("app.example.org", "/x")),
            ("App.Example.org.", Ok(Target::Name("app.example.org".into()))),
            ("192.0.2.1", Ok(Target::Address([192, 0, 2, 1].into()))),
            ("2001:db8::1", Ok(Target::Address("2001:db8::1".parse().unwrap()))),
            ("", Err(TargetError(String::new()))),
            ("not a name", Err(TargetError("not a name".into()))),
            ("https:///x", Err(TargetError("https:///x".into()))),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn what_nobody_holds_is_said() {
        let view = View::default();
        assert_eq!(explain(&view, &Target::Address([192, 0, 2, 1].into())), "192.0.2.1: nobody holds it\n");
        let text = explain(&view, &parse("https://a.test/").unwrap());
        assert!(text.contains("404: no Ingress serves this host"), "{text}");
        assert!(text.contains("outside the zones"), "{text}");
    }
}
