//! The status page: rendered here, no script, no external asset, readable on a phone and in the dark. Pure.

use std::sync::Arc;

use std::collections::HashMap;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::compile::{CertificateReport, CertificateStatus, ServiceReport, TlsReport, TlsStatus};
use crate::ownership::CATCH_ALL;
use crate::problem::{Problem, Severity};
use crate::status::{HostStatus, RouteStatus, Status, ZoneStatus};

/// Nothing but the page itself may be loaded, and nobody may frame it.
pub(super) const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// Rows shown of each table; the JSON has them all.
const MOST_ROWS: usize = 500;

const STYLE: &str = "
:root{color-scheme:light dark;--line:#8884;--bad:#c33;--warn:#b70;--good:#283}
@media(prefers-color-scheme:dark){:root{--bad:#f77;--warn:#fb5;--good:#7d8}}
body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:0 auto;padding:1rem;overflow-wrap:anywhere}
h1{font-size:1.4rem;margin:.2rem 0}h2{font-size:1.1rem;margin:1.8rem 0 .4rem}p{margin:.2rem 0}
.note{opacity:.75}.bad{color:var(--bad)}.warn{color:var(--warn)}.good{color:var(--good)}
article p+p{color:CanvasText}article{border-left:4px solid;padding:.3rem .8rem;margin:.5rem 0;background:#8881}
table{border-collapse:collapse;width:100%;overflow-wrap:break-word}th{white-space:nowrap}th,td{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid var(--line)}
code{font-size:.9em}
@media(max-width:44rem){thead{display:none}tr{display:block;padding:.5rem 0;border-bottom:1px solid var(--line)}
td{overflow-wrap:anywhere;display:grid;grid-template-columns:6.5rem 1fr;border:0;padding:.1rem 0}td::before{content:attr(data-l);opacity:.7}}";

/// Renders the page.
pub(super) fn render(status: &Status<'_>) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Vrata" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (heading(status))
                (problems(status.problems))
                (hosts(&status.hosts, &status.routes))
                (certificates(status.certificates))
                (addresses(status.addresses))
                (zones(&status.zones))
                p.note { "As JSON: " a href="/api/v1/status" { "/api/v1/status" } ", metrics: " a href="/metrics" { "/metrics" } }
            }
        }
    }
    .into_string()
}

fn heading(status: &Status<'_>) -> Markup {
    let errors = status.problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    html! {
        h1 { "Vrata" }
        p {
            @if status.ready { span.good { "Serving" } } @else { span.warn { "Not ready" } }
            ": " (count(status.hosts.len(), "host")) ", " (count(status.certificates.len(), "certificate")) ", "
            (count(status.addresses.len(), "LoadBalancer Service")) ", "
            @if errors == 0 { span.good { "no errors" } } @else { span.bad { (count(errors, "error")) } }
            span.note { " (generation " (status.generation) ")" }
            @if let Some(replica) = status.replica {
                span.note { ", replica " (replica.identity) @if replica.leader { ", which leads" } @else { ", which does not lead" } }
            }
        }
    }
}

fn count(n: usize, word: &str) -> String {
    format!("{n} {word}{}", if n == 1 { "" } else { "s" })
}

fn problems(problems: &[Problem]) -> Markup {
    html! {
        h2 { "Problems" }
        @if problems.is_empty() { p.good { "None." } }
        @for problem in problems.iter().take(MOST_ROWS) {
            article class=(severity(problem.severity)) {
                p {
                    strong { (problem.reason) } " "
                    @if let Some(object) = &problem.object { (object) }
                    @if !problem.field.is_empty() { " " code { (problem.field) } }
                }
                p { (problem.message) }
                @if let Some(origin) = &problem.origin { p.note { (origin.file.display()) ", line " (origin.line) } }
            }
        }
        (more(problems.len()))
    }
}

const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "bad",
        Severity::Warning => "warn",
        Severity::Hint => "note",
    }
}

fn more(rows: usize) -> Markup {
    html! { @if rows > MOST_ROWS { p.note { "and " (rows - MOST_ROWS) " more in the JSON" } } }
}

fn table(columns: &[&str], rows: Vec<Vec<Markup>>, total: usize) -> Markup {
    html! {
        @if rows.is_empty() { p.note { "None." } } @else {
            table {
                thead { tr { @for column in columns { th { (column) } } } }
                tbody {
                    @for row in rows {
                        tr { @for (column, cell) in columns.iter().zip(row) { td data-l=(column) { span { (cell) } } } }
                    }
                }
            }
            (more(total))
        }
    }
}

fn hosts(hosts: &[HostStatus<'_>], routes: &[RouteStatus<'_>]) -> Markup {
    let mut by_host: HashMap<&str, Vec<&RouteStatus<'_>>> = HashMap::new();
    for route in routes {
        by_host.entry(route.host).or_default().push(route);
    }
    let rows = hosts.iter().take(MOST_ROWS).map(|host| {
        let routes = by_host.remove(host.host).unwrap_or_default();
        let elsewhere = routes.is_empty() && &*host.owner.kind != "Ingress";
        vec![
            html! { @if host.host == CATCH_ALL { "any other host" } @else { code { (host.host) } } },
            html! { (host.namespace) },
            // The gateway does not serve what leads to a Service's own address.
            if elsewhere {
                html! { span.note { "–" } }
            } else {
                tls(host.tls)
            },
            dns(host),
            if elsewhere {
                html! { span.note { (host.owner.kind) " " (host.owner.name) } }
            } else {
                html! { @for route in &routes { (self::route(route)) br; } }
            },
        ]
    });
    html! { h2 { "Hosts" } (table(&["Host", "Namespace", "HTTPS", "DNS", "Leads to"], rows.collect(), hosts.len())) }
}

fn dns(host: &HostStatus<'_>) -> Markup {
    match host.dns {
        Some(dns) if dns.records.is_empty() => html! { span.note { "no record" } },
        Some(dns) => html! { (dns.records.join(", ")) },
        None if host.host == CATCH_ALL => html! { span.note { "–" } },
        None => html! { span.note { "outside our zones" } },
    }
}

fn route(route: &RouteStatus<'_>) -> Markup {
    html! {
        code { (route.path) } " → "
        @if let Some(why) = route.refused { span.bad { "refused: " (why) } } @else {
            (route.backend) " "
            @if route.endpoints == 0 { span.bad { "no endpoint" } } @else { span.note { "(" (route.endpoints) ")" } }
        }
    }
}

fn tls(tls: &TlsReport) -> Markup {
    let (class, text) = match tls.status {
        TlsStatus::Own => ("good", "own certificate"),
        TlsStatus::Wildcard => ("good", "wildcard"),
        TlsStatus::Issuing => ("warn", "being ordered"),
        TlsStatus::Failed => ("bad", "failed"),
        TlsStatus::None => ("note", "default certificate"),
    };
    html! { span class=(class) { (text) } @if let Some(end) = tls.not_after { " until " (day(end)) } }
}

fn day(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%d").to_string()
}

fn certificates(certificates: &[Arc<CertificateReport>]) -> Markup {
    let rows = certificates.iter().take(MOST_ROWS).map(|certificate| {
        let (class, text) = match certificate.status {
            CertificateStatus::Ready => ("good", "ready"),
            CertificateStatus::RenewalFailing => ("warn", "renewal failing"),
            CertificateStatus::Issuing => ("warn", "being ordered"),
            CertificateStatus::Failed => ("bad", "failed"),
        };
        vec![
            html! { (certificate.secret) },
            html! { (certificate.names.join(", ")) },
            html! { (certificate.issuer) },
            html! { span class=(class) { (text) } @if let Some(failure) = &certificate.failure { ": " (failure) } },
            html! { @if let Some(end) = certificate.not_after { (day(end)) } },
            html! { @if let Some(next) = certificate.next_attempt { (day(next)) } },
        ]
    });
    html! { h2 { "Certificates" } (table(&["Secret", "Names", "Issuer", "State", "Expires", "Next attempt"], rows.collect(), certificates.len())) }
}

fn addresses(services: &[Arc<ServiceReport>]) -> Markup {
    let rows = services.iter().take(MOST_ROWS).map(|service| {
        let addresses: Vec<_> = service.addresses.iter().map(ToString::to_string).collect();
        vec![
            html! { (service.namespace) "/" (service.name) },
            html! { @if addresses.is_empty() { span.bad { "none" } } @else { (addresses.join(", ")) } },
            html! { @for port in &service.ports { (port.port) "/" (port.protocol) " (" (port.endpoints) ") " } },
            html! { (service.hostnames.join(", ")) },
        ]
    });
    html! { h2 { "Addresses" } (table(&["Service", "Addresses", "Ports (endpoints)", "DNS names"], rows.collect(), services.len())) }
}

fn zones(zones: &[ZoneStatus]) -> Markup {
    let rows = zones.iter().map(|zone| vec![html! { (zone.name) }, html! { (zone.serial) }, html! { (zone.record_sets) }]);
    html! { h2 { "Zones" } (table(&["Zone", "Serial", "Record sets"], rows.collect(), zones.len())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Reason;
    use crate::status::Published;

    #[test]
    fn what_tenants_write_is_never_markup() {
        let problem = Problem {
            severity: Severity::Error,
            object: None,
            origin: None,
            field: "<b>".into(),
            reason: Reason::NotParsed,
            message: "<script>alert(1)</script>".into(),
        };
        let view = Arc::new(crate::status::View { problems: vec![problem], ..Default::default() });
        let published = Published { view, ..Published::default() };
        let page = render(&published.status());
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && !page.contains("<script"), "{page}");
        assert!(page.contains("1 error<") && page.contains("NotParsed"), "{page}");
    }
}
