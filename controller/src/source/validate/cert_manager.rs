//! cert-manager.io/v1 Issuer, ClusterIssuer, Certificate. Pure.

use super::names::{host_fault, is_subdomain};
use crate::objects::{CertificateSpec, IssuerSpec};
use crate::source::finding::Findings;

/// An Issuer or ClusterIssuer.
pub(in crate::source) fn issuer(spec: &mut IssuerSpec, found: &mut Findings) {
    let members = usize::from(spec.acme.is_some()) + usize::from(spec.self_signed.is_some()) + usize::from(spec.ca.is_some());
    if members != 1 {
        let wrong = if members == 0 { "There is no issuer that can be used here" } else { "There is more than one issuer" };
        found.refuse("spec", format!("{wrong}. Write exactly one of acme, selfSigned and ca."));
    }
    if let Some(acme) = &spec.acme {
        if !["https://", "http://"].iter().any(|scheme| acme.server.starts_with(scheme)) {
            found.refuse("spec.acme.server", format!("{:?} is no URL of an ACME directory. Write https://….", acme.server));
        }
        secret_name("spec.acme.privateKeySecretRef.name", &acme.private_key_secret_ref.name, found);
    }
    if let Some(ca) = &spec.ca {
        secret_name("spec.ca.secretName", &ca.secret_name, found);
    }
}

/// A Certificate.
pub(in crate::source) fn certificate(spec: &mut CertificateSpec, found: &mut Findings) {
    secret_name("spec.secretName", &spec.secret_name, found);
    if spec.issuer_ref.name.is_empty() {
        found.refuse("spec.issuerRef.name", "The name of the issuer is missing.");
    }
    if let Some(kind) = spec.issuer_ref.kind.as_deref().filter(|kind| !["Issuer", "ClusterIssuer"].contains(kind)) {
        found.refuse("spec.issuerRef.kind", format!("{kind:?} is no kind of issuer that is known here. Write Issuer or ClusterIssuer."));
    }
    if let Some(group) = spec.issuer_ref.group.as_deref().filter(|group| !["", "cert-manager.io"].contains(group)) {
        found.refuse("spec.issuerRef.group", format!("Issuers of {group:?} are not known here. Write cert-manager.io, or leave it away."));
    }
    let common_name = spec.common_name.as_deref().filter(|name| !name.is_empty());
    if spec.dns_names.is_empty() && common_name.is_none() {
        found.refuse("spec.dnsNames", "There is no DNS name. Write at least one.");
    }
    let names = spec.dns_names.iter().enumerate().map(|(index, name)| (format!("spec.dnsNames[{index}]"), name.as_str()));
    for (field, name) in names.chain(common_name.map(|name| ("spec.commonName".to_owned(), name))) {
        if let Some(fault) = host_fault(name) {
            found.refuse(field, format!("{name:?} {fault}"));
        }
    }
}

fn secret_name(field: &str, name: &str, found: &mut Findings) {
    if !is_subdomain(name) {
        let wrong = if name.is_empty() { "The name is missing".to_owned() } else { format!("{name:?} is no name") };
        found.refuse(field, format!("{wrong}. Name a Secret in lower case."));
    }
}
