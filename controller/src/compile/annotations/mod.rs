//! Annotations of ingress-nginx: each is parsed once, here, into plain values; what is not understood becomes a problem, and where ignoring it would
//! weaken protection, a refusal of the whole Ingress. Pure.

mod basic_auth;
mod external_auth;
pub(crate) mod others;
mod table;
pub(crate) mod values;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use gateway::table::{Policy, Protocol};

use super::Input;
use super::findings::{Findings, Subject, annotation};
use crate::problem::{Reason, Severity};
use table::{KEYS, PREFIX};

/// One annotation key.
#[derive(Debug)]
pub(crate) struct Key {
    /// Without the prefix.
    name: &'static str,
    /// What its value is.
    value: ValueType,
    /// What becomes of it.
    verdict: Verdict,
    /// What it is about.
    scope: Scope,
    /// The value that asks for nothing.
    default: &'static str,
    /// For the documentation and the problem.
    doc: &'static str,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ValueType {
    /// Go's `ParseBool`.
    Bool,
    /// Addresses and CIDRs, separated by commas.
    Cidrs,
    /// A whole number.
    Number,
    /// A whole number of seconds.
    Seconds,
    /// Bytes, with an optional unit.
    Size,
    /// Anything else.
    Text,
}

/// What becomes of an annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Works.
    Supported,
    /// A warning; the routes are served without it.
    NotSupportedYet,
    /// An error; the routes answer 503 because ignoring it would weaken protection.
    FailsClosed,
    /// An error for good; the routes answer 503.
    Refused,
    /// A hint: it means nothing here.
    NoEffect,
}

/// What an annotation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// The routes of its Ingress.
    Ingress,
    /// In ingress-nginx the whole host.
    Host,
}

/// `ssl-redirect` and `force-ssl-redirect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Redirect {
    /// When the host has a certificate.
    #[default]
    WithCertificate,
    /// Never.
    Never,
    /// Always.
    Always,
}

/// What the annotations of an Ingress amount to.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Protocol of all its backends.
    pub(crate) protocol: Protocol,
    /// Policy; its `tls_redirect` is settled by host.
    pub(crate) policy: Policy,
    /// Redirects to HTTPS.
    pub(crate) redirect: Redirect,
    /// Why its routes answer 503, if they do.
    pub(crate) refusal: Option<String>,
    /// Whether it is a canary, which gets no traffic yet.
    pub(crate) canary: bool,
}

/// Why an annotation that protects cannot be used.
struct Unusable {
    field: &'static str,
    reason: Reason,
    message: String,
}

fn unusable(field: &'static str, reason: Reason, message: impl Into<String>) -> Unusable {
    Unusable { field, reason, message: message.into() }
}

/// Reads the annotations of one object while collecting findings.
struct Reader<'a, 'f> {
    input: Input<'a>,
    namespace: &'a str,
    subject: Subject<'a>,
    annotations: &'a BTreeMap<String, String>,
    findings: &'f mut Findings,
    refusal: Option<String>,
}

/// Reads the annotations of an Ingress.
pub(crate) fn read<'a>(
    input: Input<'a>,
    subject: Subject<'a>,
    namespace: &'a str,
    annotations: Option<&'a BTreeMap<String, String>>,
    findings: &mut Findings,
) -> Options {
    let Some(annotations) = annotations else { return Options::default() };
    let mut reader = Reader { input, namespace, subject, annotations, findings, refusal: None };
    reader.judge_keys();
    if !annotations.keys().any(|key| key.starts_with(PREFIX)) {
        return Options::default();
    }
    let canary = reader.value("canary").is_some_and(|value| values::boolean(value) == Some(true));
    let (protocol, policy, redirect) = (reader.protocol(), reader.policy(), reader.redirect());
    Options { protocol, policy, redirect, refusal: reader.refusal, canary }
}

impl<'a> Reader<'a, '_> {
    fn value(&self, name: &str) -> Option<&'a str> {
        self.annotations.get(&format!("{PREFIX}{name}")).map(|value| value.trim())
    }

    fn judge_keys(&mut self) {
        for (full, value) in self.annotations {
            match full.strip_prefix(PREFIX) {
                Some(name) => match KEYS.binary_search_by(|key| key.name.cmp(name)) {
                    Ok(index) => self.judge(&KEYS[index], value),
                    Err(_) => self.unknown(full, name),
                },
                None => self.foreign(full),
            }
        }
    }

    fn judge(&mut self, key: &Key, value: &str) {
        if key.verdict == Verdict::Supported || key.asks_nothing(value) {
            return;
        }
        let (severity, reason, message) = match key.verdict {
            Verdict::Supported => return,
            Verdict::NotSupportedYet => (Severity::Warning, Reason::NotSupportedYet, format!("not supported yet and without effect: {}", key.doc)),
            Verdict::FailsClosed => {
                let message =
                    format!("not supported yet ({}); ignoring it would weaken protection, so the routes answer 503 until it is removed", key.doc);
                (Severity::Error, Reason::NotSupportedYet, message)
            }
            Verdict::Refused => (Severity::Error, Reason::Refused, format!("refused: {}; the routes answer 503 until it is removed", key.doc)),
            Verdict::NoEffect => (Severity::Hint, Reason::NoEffect, format!("has no effect here: {}", key.doc)),
        };
        self.findings.push(severity, self.subject, annotation(&format!("{PREFIX}{}", key.name)), reason, message);
        if matches!(key.verdict, Verdict::FailsClosed | Verdict::Refused) {
            self.refuse(key.name, "is not supported");
        }
    }

    fn unknown(&mut self, full: &str, name: &str) {
        let leftovers = ["enable-websockets", "websocket-services", "use-forwarded-headers", "session-cookie-hash", "secure-backends"];
        let near = values::nearest(name, KEYS.iter().map(|key| key.name));
        if means_protection(name) {
            let instead = near.map_or_else(|| ".".to_owned(), |near| format!("; did you mean {PREFIX}{near}?"));
            let message = format!(
                "is no annotation of ingress-nginx{instead} By its name it is to protect the app, so the routes answer 503 until it is mended or removed"
            );
            self.findings.error(self.subject, annotation(full), Reason::InvalidAnnotation, message);
            return self.refuse(name, "is unknown");
        }
        let message = match (leftovers.contains(&name), near) {
            (true, _) => "is a leftover of old releases of ingress-nginx and has no effect; remove it".to_owned(),
            (false, Some(near)) => format!("is no annotation of ingress-nginx and has no effect; did you mean {PREFIX}{near}?"),
            (false, None) => "is no annotation of ingress-nginx and has no effect; remove it".to_owned(),
        };
        self.findings.warning(self.subject, annotation(full), Reason::NoEffect, message);
    }

    fn foreign(&mut self, full: &str) {
        if let Some(name) = full.strip_prefix("nginx.org/") {
            let instead = match name {
                "client-max-body-size" => format!("; {PREFIX}proxy-body-size is the annotation for it"),
                "proxy-read-timeout" | "proxy-send-timeout" | "proxy-connect-timeout" => format!("; {PREFIX}{name} is the annotation for it"),
                _ => String::new(),
            };
            self.findings.hint(
                self.subject,
                annotation(full),
                Reason::NoEffect,
                format!("belongs to another product (NGINX Inc.) and has no effect here{instead}"),
            );
        }
    }

    fn refuse(&mut self, name: &str, why: &str) {
        self.refusal.get_or_insert_with(|| format!("annotation {name} {why}"));
    }

    /// Tells why, and closes the routes.
    fn close(&mut self, unusable: &Unusable) {
        let message = format!("{}; the routes answer 503 until then", unusable.message);
        self.findings.error(self.subject, annotation(&format!("{PREFIX}{}", unusable.field)), unusable.reason, message);
        self.refuse(unusable.field, "cannot be used");
    }

    fn invalid(&mut self, name: &str, message: String) {
        self.findings.warning(self.subject, annotation(&format!("{PREFIX}{name}")), Reason::InvalidAnnotation, message);
    }

    fn protocol(&mut self) -> Protocol {
        let Some(value) = self.value("backend-protocol") else { return Protocol::Http };
        match value.to_ascii_uppercase().as_str() {
            "HTTP" => return Protocol::Http,
            "HTTPS" => return Protocol::Https,
            "GRPC" => return Protocol::Grpc,
            "GRPCS" => return Protocol::Grpcs,
            "FCGI" | "AUTO_HTTP" => {
                let message = format!("{value:?} is not supported; use HTTP, HTTPS, GRPC or GRPCS; the routes answer 503 until then");
                self.findings.error(self.subject, annotation(&format!("{PREFIX}backend-protocol")), Reason::NotSupportedYet, message);
                self.refuse("backend-protocol", "names a protocol that is not supported");
            }
            _ => self.invalid("backend-protocol", format!("{value:?} is none of HTTP, HTTPS, GRPC, GRPCS; served as HTTP, as ingress-nginx does")),
        }
        Protocol::Http
    }

    fn policy(&mut self) -> Policy {
        let default = Policy::default();
        Policy {
            body_limit: self.body_limit(default.body_limit),
            allowed_sources: self.allowed_sources(),
            basic_auth: self.basic_auth().map(Arc::new),
            external_auth: self.external_auth().map(Arc::new),
            satisfy_any: self.satisfy_any(),
            connect_timeout: self.seconds("proxy-connect-timeout", default.connect_timeout),
            read_timeout: self.seconds("proxy-read-timeout", default.read_timeout),
            send_timeout: self.seconds("proxy-send-timeout", default.send_timeout),
            ..default
        }
    }

    fn body_limit(&mut self, default: Option<u64>) -> Option<u64> {
        let Some(value) = self.value("proxy-body-size") else { return default };
        match values::size(value) {
            Some(0) => None,
            Some(bytes) => Some(bytes),
            None => {
                self.invalid(
                    "proxy-body-size",
                    format!("{value:?} is no size; write bytes, or a number with k, m or g (8m), or 0 for no limit; 1m is used"),
                );
                default
            }
        }
    }

    fn allowed_sources(&mut self) -> Option<Vec<ipnet::IpNet>> {
        let name = ["allowlist-source-range", "whitelist-source-range"].into_iter().find(|name| self.value(name).is_some())?;
        let value = self.value(name).unwrap_or_default();
        match values::cidrs(value) {
            Ok(networks) => Some(networks),
            Err(part) => {
                let message =
                    format!("{part:?} is neither an address nor a CIDR; write for instance 192.0.2.0/24; nobody passes (503) until it is mended");
                self.findings.error(self.subject, annotation(&format!("{PREFIX}{name}")), Reason::InvalidAnnotation, message);
                self.refuse(name, "cannot be read");
                Some(Vec::new())
            }
        }
    }

    fn seconds(&mut self, name: &str, default: Duration) -> Duration {
        let Some(value) = self.value(name) else { return default };
        match value.parse::<u32>() {
            Ok(seconds) if seconds > 0 => Duration::from_secs(seconds.into()),
            _ => {
                let used = default.as_secs();
                self.invalid(name, format!("{value:?} is no whole number of seconds above 0; write it without a unit (3600); {used} is used"));
                default
            }
        }
    }

    fn flag(&mut self, name: &str, default: bool) -> bool {
        let Some(value) = self.value(name) else { return default };
        values::boolean(value).unwrap_or_else(|| {
            self.invalid(name, format!("{value:?} is neither \"true\" nor \"false\"; {default} is used"));
            default
        })
    }

    fn redirect(&mut self) -> Redirect {
        let (wanted, forced) = (self.flag("ssl-redirect", true), self.flag("force-ssl-redirect", false));
        match (wanted, forced) {
            (_, true) => Redirect::Always,
            (true, false) => Redirect::WithCertificate,
            (false, false) => Redirect::Never,
        }
    }
}

impl Key {
    /// Whether the value is the default one.
    fn asks_nothing(&self, value: &str) -> bool {
        let value = value.trim();
        match self.value {
            ValueType::Bool => values::boolean(value).is_some_and(|given| Some(given) == values::boolean(self.default)),
            _ => value.is_empty() || (!self.default.is_empty() && value.eq_ignore_ascii_case(self.default)),
        }
    }
}

/// What does not fit into the table.
const EXTERNAL_AUTH: &str = "
## Authentication by subrequest: `auth-url`

- **Variables** of auth-url, auth-signin and auth-request-redirect: `$args`, `$best_http_host`, `$escaped_request_uri`, `$host`, `$http_host`,
  `$pass_access_scheme`, `$query_string`, `$remote_addr`, `$request_method`, `$request_uri`, `$scheme`. In the host of auth-url only those that name the host,
  so that no client chooses the server. Another variable is an error and answers 503.
- **What is sent**: the client's headers without those of its connection, its body and its conditions (`If-None-Match`, `Range`), and `X-Original-URL`,
  `X-Original-Method`, `X-Auth-Request-Redirect`, `X-Sent-From`, `X-Real-IP`, `X-Forwarded-For`, `X-Request-ID`; with auth-method also `X-Original-URI` and
  `X-Scheme`. `Host` is the host of the URL. What the client says under these names is never sent.
- **Where the server is**: a URL with the request's own host, or with a host of an Ingress of the same namespace, is served by the rule for its path within
  the gateway: no DNS, no certificate, no way around. That rule must not ask for authentication itself, and its allow list counts for the client. Every
  other host is resolved as the system does, and connected to from the gateway; over HTTPS the certificate is not verified, as in ingress-nginx. Loopback,
  link-local, unspecified and multicast addresses are refused, as behind a Service of type ExternalName. On a route for many hosts (a wildcard, or no host)
  a URL with the request's host never leads out of the gateway: the client would choose the server.
- **Limits**: proxy-connect-timeout, proxy-send-timeout and proxy-read-timeout of the rule that serves the server, else of the protected one; 32 KiB of headers
  that are handed on. Timeouts, failed connections, loops and answers other than 2xx, 401 and 403 answer 500.
- With auth-type and allow lists every one has to let a request pass, in the order list, password, server; with `satisfy: any` one is enough. A 401 of any of
  them is sent to auth-signin where that is set; a 403 never is.
";

/// Whether a key that nobody knows is, by its name, one that would weaken protection if it were ignored: a slip of the pen must not open an app.
fn means_protection(name: &str) -> bool {
    name.starts_with("auth-") || name.starts_with("limit-") || name.contains("list")
}

/// The table as a page of the documentation (Markdown).
#[must_use]
pub fn documentation() -> String {
    let mut page = String::from(
        "# Annotations of ingress-nginx\n\nWhat becomes of each annotation `nginx.ingress.kubernetes.io/…`. This page is generated from the table that the program uses.\n\n\
         - **supported**: works as in ingress-nginx 1.15.\n- **not supported yet**: a warning; the routes are served without it.\n\
         - **fails closed**: not supported yet, and ignoring it would weaken protection: an error, and the routes of the Ingress answer 503.\n\
         - **refused**: never will be; an error, and the routes of the Ingress answer 503.\n- **no effect**: a hint; it means nothing here.\n\n\
         A value that equals the default asks for nothing and is no finding. A key that is not in the table is a warning and has no effect; one that begins with\n\
         `auth-` or `limit-` or has `list` in it fails closed: a slip of the pen must not open an app.\n\n| Annotation | Value | Default | About | Verdict | |\n|---|---|---|---|---|---|\n",
    );
    for key in KEYS {
        let value = match key.value {
            ValueType::Bool => "boolean",
            ValueType::Cidrs => "addresses and CIDRs",
            ValueType::Number => "number",
            ValueType::Seconds => "seconds",
            ValueType::Size => "size",
            ValueType::Text => "text",
        };
        let verdict = match key.verdict {
            Verdict::Supported => "supported",
            Verdict::NotSupportedYet => "not supported yet",
            Verdict::FailsClosed => "fails closed",
            Verdict::Refused => "refused",
            Verdict::NoEffect => "no effect",
        };
        let scope = if key.scope == Scope::Host { "host" } else { "Ingress" };
        let _ = writeln!(page, "| `{}` | {value} | {} | {scope} | {verdict} | {} |", key.name, key.default, key.doc);
    }
    page.push_str(EXTERNAL_AUTH);
    page
}

#[cfg(test)]
mod tests;
