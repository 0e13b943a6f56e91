//! Annotations of cert-manager and external-dns that exist and do less here than there: each is told, so that nobody waits for what does not come. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::Ingress;

use super::annotation;
use super::values::nearest;
use crate::compile::findings::{Findings, Subject};
use crate::compile::names::host_name;
use crate::objects::Stored;
use crate::problem::{Reason, Severity};

/// external-dns's prefix since 0.22; it wins over the older one.
pub(crate) const PREFIX: &str = "external-dns.kubernetes.io/";
/// The older one.
pub(crate) const OLD_PREFIX: &str = "external-dns.alpha.kubernetes.io/";
const CERT_MANAGER: &str = "cert-manager.io/";
const ACME: &str = "acme.cert-manager.io/";

/// cert-manager's annotations on an Ingress that work here.
const SUPPORTED: [&str; 11] = [
    "cluster-issuer",
    "common-name",
    "duration",
    "issuer",
    "issuer-group",
    "issuer-kind",
    "private-key-algorithm",
    "private-key-size",
    "renew-before",
    "renew-before-percentage",
    "secret-template",
];

/// Those that do not: the value that asks for what happens anyway, and what happens.
const LESS: [(&str, &str, Severity, &str); 18] = [
    ("alt-names", "", Severity::Warning, "write the names under spec.tls[].hosts"),
    ("email-sans", "", Severity::Warning, "the certificate has DNS names only"),
    ("ip-sans", "", Severity::Warning, "the certificate has DNS names only"),
    ("issue-temporary-certificate", "", Severity::Hint, "until the certificate comes, the zone's wildcard or the default certificate answers"),
    ("private-key-encoding", "PKCS8", Severity::Warning, "the key is written as PKCS#8"),
    ("private-key-rotation-policy", "Always", Severity::Hint, "the key is new at each renewal"),
    ("revision-history-limit", "", Severity::Hint, "there are no CertificateRequests here"),
    ("subject-countries", "", Severity::Hint, SUBJECT),
    ("subject-localities", "", Severity::Hint, SUBJECT),
    ("subject-organizationalunits", "", Severity::Hint, SUBJECT),
    ("subject-organizations", "", Severity::Hint, SUBJECT),
    ("subject-postalcodes", "", Severity::Hint, SUBJECT),
    ("subject-provinces", "", Severity::Hint, SUBJECT),
    ("subject-serialnumber", "", Severity::Hint, SUBJECT),
    ("subject-streetaddresses", "", Severity::Hint, SUBJECT),
    ("uri-sans", "", Severity::Warning, "the certificate has DNS names only"),
    ("usages", "", Severity::Hint, "certificates are for TLS servers, which is what an Ingress needs"),
    ("literal-subject", "", Severity::Hint, SUBJECT),
];
const SUBJECT: &str = "public CAs put nothing but DNS names into a certificate";

/// Tells what an Ingress asks for in vain; whether another DNS controller is to publish its names.
pub(crate) fn judge_ingress(
    stored: &Stored<Ingress>,
    rule_hosts: &[Option<String>],
    tls_hosts: &[Vec<Option<String>>],
    findings: &mut Findings,
) -> bool {
    let Some(annotations) = &stored.object.metadata.annotations else { return false };
    let elsewhere = is_dns_elsewhere(annotations);
    let published = |name: &str| rule_hosts.iter().chain(tls_hosts.iter().flatten()).flatten().any(|host| host == name);
    for (full, value) in annotations {
        if let Some(name) = full.strip_prefix(CERT_MANAGER) {
            cert_manager(stored, full, name, value.trim(), findings);
        } else if full.starts_with(ACME) {
            let message = "has no effect here: the gateway answers challenges itself, without an Ingress of a solver; remove it";
            findings.hint(stored, annotation(full), Reason::NoEffect, message);
        } else if let Some(name) = external_dns(full).filter(|_| !elsewhere) {
            let in_vain = |name: &str| !host_name(name).is_ok_and(|name| published(&name));
            match name {
                "hostname" if value.split(',').map(str::trim).filter(|name| !name.is_empty()).any(in_vain) => {
                    let message = "not supported yet on an Ingress: the hosts of its rules and tls entries get DNS names; write a rule for each name";
                    findings.warning(stored, annotation(full), Reason::NotSupportedYet, message);
                }
                "hostname" | "controller" => {}
                "ttl" => {
                    let message = "not supported yet on an Ingress and without effect: its records have the zone's TTL";
                    findings.warning(stored, annotation(full), Reason::NotSupportedYet, message);
                }
                _ => dns(stored, full, name, "the gateway", findings),
            }
        }
    }
    elsewhere
}

/// Tells what a Service asks for in vain.
pub(crate) fn judge_service(stored: &Stored<Service>, annotations: &BTreeMap<String, String>, findings: &mut Findings) {
    for full in annotations.keys() {
        match external_dns(full) {
            None | Some("hostname" | "ttl" | "controller") => {}
            Some(name) => dns(stored, full, name, "the Service's own address", findings),
        }
    }
}

/// Whether another DNS controller is to publish the names of the object.
pub(crate) fn is_dns_elsewhere(annotations: &BTreeMap<String, String>) -> bool {
    let controller = [PREFIX, OLD_PREFIX].iter().find_map(|prefix| annotations.get(&format!("{prefix}controller")));
    controller.is_some_and(|controller| controller != "dns-controller")
}

fn external_dns(key: &str) -> Option<&str> {
    key.strip_prefix(PREFIX).or_else(|| key.strip_prefix(OLD_PREFIX))
}

fn cert_manager(stored: &Stored<Ingress>, full: &str, name: &str, value: &str, findings: &mut Findings) {
    if SUPPORTED.contains(&name) {
        return;
    }
    let Some((_, default, severity, doc)) = LESS.iter().find(|(known, ..)| *known == name) else {
        let near = nearest(name, SUPPORTED.into_iter().chain(LESS.iter().map(|(name, ..)| *name)));
        let hint = near.map_or_else(|| "remove it".to_owned(), |near| format!("did you mean {CERT_MANAGER}{near}?"));
        let message = format!("is no annotation of cert-manager for an Ingress and has no effect; {hint}");
        return findings.warning(stored, annotation(full), Reason::NoEffect, message);
    };
    if value.is_empty() || value == *default {
        return;
    }
    let (reason, message) = match severity {
        Severity::Hint => (Reason::NoEffect, format!("has no effect here: {doc}")),
        _ => (Reason::NotSupportedYet, format!("not supported yet and without effect: {doc}")),
    };
    findings.push(*severity, stored.into(), annotation(full), reason, message);
}

/// Whom a name leads to is decided by who owns it and what serves it, never by an address that the owner writes: that would let a name of the platform's
/// zone lead anywhere.
fn dns<'a>(subject: impl Into<Subject<'a>>, full: &str, name: &str, leads_to: &str, findings: &mut Findings) {
    let subject = subject.into();
    match name {
        "target" => {
            let message = format!("is refused: a name of this platform leads to {leads_to} and nowhere else; remove it, or use a domain of your own");
            findings.warning(subject, annotation(full), Reason::Refused, message);
        }
        "internal-hostname" => {
            let message = "not supported yet and without effect: cluster addresses get no DNS names here";
            findings.warning(subject, annotation(full), Reason::NotSupportedYet, message);
        }
        _ => {
            let message = format!("has no effect here: names lead to {leads_to}, and other DNS providers and sources are not used; remove it");
            findings.hint(subject, annotation(full), Reason::NoEffect, message);
        }
    }
}
