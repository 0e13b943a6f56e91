//! `vrata explain`: which object decides about a URL, a DNS name or an address, and why. Pure.

mod names;
mod platform;
mod target;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

pub use target::{Target, TargetError, parse};

use gateway::table::{Action, HostPattern, PathMatch, Rule, Selection};

use crate::addresses::status_addresses;
use crate::compile::{HostReport, ServiceReport, TlsReport, TlsStatus};
use crate::objects::ObjectKey;
use crate::problem::{ObjectRef, Problem, Reason};
use crate::status::View;

/// Explains, in lines for people.
#[must_use]
pub fn explain(view: &View, target: &Target) -> String {
    let mut text = String::new();
    match target {
        Target::Url { scheme, host, path } => {
            line(&mut text, format_args!("{scheme}://{host}{path}"));
            url(&mut text, view, host, path);
        }
        Target::Name(name) => {
            names::explain(&mut text, view, name);
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
    if let Err(refusal) = gateway::table::path::check(path) {
        line(text, format_args!("  answered here with 400: {refusal}"));
        return;
    }
    selected(text, view, host, path);
    if let Some(report) = host_report(view, host) {
        line(text, format_args!("  host held by namespace {} (first claimed by {})", report.namespace, report.owner));
        line(text, format_args!("  certificate: {}", tls_text(&report.tls)));
    }
    claims(text, view, host);
    let addresses = names::explain(text, view, host);
    names::elsewhere(text, view, &addresses);
}

fn selected(text: &mut String, view: &View, host: &str, path: &str) {
    match view.snapshot.table.select(host, path) {
        // The platform's names are closed to a catch-all by a rule that is no Ingress's.
        Selection::Route(rule) if rule.route.id.ingress.is_empty() => unserved(text, view, host),
        Selection::Route(rule) => chosen(text, view, rule),
        Selection::UnknownHost => unserved(text, view, host),
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
}

/// A host that no Ingress serves, because none may or because none does.
fn unserved(text: &mut String, view: &View, host: &str) {
    match platform::keeper(view, host) {
        Some(keeper) => {
            line(text, format_args!("  decided by {keeper}"));
            line(text, format_args!("  answered here with 404: no Ingress can serve this host, which is the platform's"));
        }
        None => line(text, format_args!("  answered here with 404: no Ingress serves this host")),
    }
}

fn chosen(text: &mut String, view: &View, rule: &Rule) {
    let route = &rule.route;
    line(text, format_args!("  decided by Ingress {}/{}: {}", route.id.namespace, route.id.ingress, rule_text(rule)));
    match &route.action {
        Action::Forward(backend) => {
            line(text, format_args!("  goes to Service {}/{} port {} ({})", backend.namespace, backend.service, backend.port, backend.protocol));
            if backend.endpoints.is_empty() {
                line(text, format_args!("  answered here with 503: the Service has no ready endpoint"));
            }
            for endpoint in &backend.endpoints {
                line(text, format_args!("    endpoint {endpoint}"));
            }
        }
        Action::Fail(failure) => {
            line(text, format_args!("  answered here with {}: {}", failure.status, failure.reason));
        }
    }
    let concerns = |problem: &&Problem| {
        problem
            .object
            .as_ref()
            .is_some_and(|o| &*o.kind == "Ingress" && o.namespace.as_deref() == Some(&route.id.namespace) && *o.name == *route.id.ingress)
    };
    for problem in view.problems.iter().filter(concerns) {
        line(text, format_args!("  {}: {}: {}", problem.severity, problem.field, problem.message));
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
    if let Some(keeper) = platform::keeper(view, host) {
        let answer = match view.snapshot.table.select(host, "/") {
            Selection::Route(Rule { route, .. }) if !route.id.ingress.is_empty() => {
                format!("the catch-all of Ingress {}/{} answers HTTP here", route.id.namespace, route.id.ingress)
            }
            _ => "HTTP is answered with 404 here".to_owned(),
        };
        line(text, format_args!("  decided by {keeper}; no Ingress can have it, and {answer}"));
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

fn ip_address(text: &mut String, view: &View, address: IpAddr) {
    let services = || view.report.services.iter();
    let is_public = view.public_addresses.contains(&address);
    if is_public {
        line(text, format_args!("{address}: a public address of the gateway; HTTP and HTTPS of all Ingress hosts"));
    } else if !services().any(|service| service.addresses.contains(&address) || service.pending.contains(&address)) {
        line(text, format_args!("{address}: nobody holds it"));
    }
    for service in services().filter(|service| service.addresses.contains(&address)) {
        held(text, view, address, service);
    }
    for service in services().filter(|service| service.pending.contains(&address)) {
        line(text, format_args!("{address}: allocated to Service {}/{}, and not served before its status has it", service.namespace, service.name));
        conflicts(text, view, service);
    }
    if !is_public {
        foreign(text, view, address);
    }
}

fn held(text: &mut String, view: &View, address: IpAddr, service: &ServiceReport) {
    line(text, format_args!("{address}: held by Service {}/{}", service.namespace, service.name));
    for port in &service.ports {
        line(text, format_args!("  {}/{} → {} ready endpoints", port.port, port.protocol, port.endpoints));
    }
    for name in &service.hostnames {
        line(text, format_args!("  DNS name {name}"));
    }
    conflicts(text, view, service);
}

/// Which other controllers write the status of a Service, as far as this replica knows.
fn conflicts(text: &mut String, view: &View, service: &ServiceReport) {
    let is_of =
        |object: &ObjectRef| &*object.kind == "Service" && object.namespace.as_deref() == Some(&*service.namespace) && *object.name == *service.name;
    let of_service = |problem: &&Problem| problem.reason == Reason::StatusConflict && problem.object.as_ref().is_some_and(is_of);
    for problem in view.problems.iter().filter(of_service) {
        line(text, format_args!("  {:?}: {}: {}", problem.severity, problem.field, problem.message));
    }
}

/// Services whose status has the address although they do not hold it.
fn foreign(text: &mut String, view: &View, address: IpAddr) {
    let services = view.basis.iter().flat_map(|basis| &basis.read.objects.services);
    let shown = services.filter(|(_, stored)| status_addresses(&stored.object).any(|shown| shown == address));
    let holds = |key: &ObjectKey| {
        let of = |service: &&Arc<ServiceReport>| service.namespace == key.namespace && service.name == key.name;
        view.report.services.iter().find(of).is_some_and(|service| service.addresses.contains(&address))
    };
    for (key, _) in shown.filter(|(key, _)| !holds(key)) {
        line(text, format_args!("{address}: in the status of Service {key}, where another controller has written it"));
    }
}
