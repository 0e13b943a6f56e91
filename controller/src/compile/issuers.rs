//! Issuers and ClusterIssuers, checked. Pure.

use std::collections::BTreeMap;

use acme::{AcmeIssuer, CaKeyPair, Issuer, IssuerId, SecretName};
use base64::Engine as _;
use x509_parser::pem::Pem;

use super::Input;
use super::findings::Findings;
use super::parsed::Parser;
use super::secrets::{find, tls_pair};
use crate::objects::{AcmeSpec, CaSpec, IssuerSpec, ObjectKey, Stored};
use crate::problem::Reason;

/// What is wrong with an issuer.
struct Fault {
    field: &'static str,
    reason: Reason,
    message: String,
}

/// All issuers that can be used.
pub(crate) type Issuers = BTreeMap<IssuerId, Issuer>;

/// The ClusterIssuers that can be used.
pub(crate) fn of_cluster(input: Input<'_>, parser: &mut Parser<'_>, findings: &mut Findings) -> Issuers {
    let usable = input.objects.cluster_issuers.iter().filter_map(|(key, stored)| {
        let issuer = usable(input, &input.settings.cluster_resource_namespace, stored, parser, findings)?;
        Some((IssuerId { namespace: None, name: key.name.clone() }, issuer))
    });
    usable.collect()
}

/// The Issuers of the namespaces that are compiled.
pub(crate) fn of_namespaces(input: Input<'_>, parser: &mut Parser<'_>, findings: &mut Findings) -> Issuers {
    let usable = input.own(&input.objects.issuers).filter_map(|(key, stored)| {
        let ObjectKey { namespace, name } = key;
        let issuer = usable(input, namespace, stored, parser, findings)?;
        Some((IssuerId { namespace: Some(namespace.clone()), name: name.clone() }, issuer))
    });
    usable.collect()
}

/// An issuer whose Secrets are in `namespace`; `None` after a finding.
fn usable(input: Input<'_>, namespace: &str, stored: &Stored<IssuerSpec>, parser: &mut Parser<'_>, findings: &mut Findings) -> Option<Issuer> {
    let issuer = issuer(input, namespace, &stored.object, parser);
    issuer.map_err(|fault| findings.error(stored, fault.field, fault.reason, fault.message)).ok()
}

fn issuer(input: Input<'_>, namespace: &str, spec: &IssuerSpec, parser: &mut Parser<'_>) -> Result<Issuer, Fault> {
    match (&spec.acme, &spec.self_signed, &spec.ca) {
        (Some(spec), None, None) => acme(namespace, spec).map(Issuer::Acme),
        (None, Some(_), None) => Ok(Issuer::SelfSigned),
        (None, None, Some(spec)) => ca(input, namespace, spec, parser).map(Issuer::Ca),
        (None, None, None) => {
            Err(fault("spec", Reason::InvalidField, "has none of acme, selfSigned and ca, the kinds that are supported; set one of them"))
        }
        _ => Err(fault("spec", Reason::InvalidField, "has more than one of acme, selfSigned and ca; set one of them")),
    }
}

fn fault(field: &'static str, reason: Reason, message: impl Into<String>) -> Fault {
    Fault { field, reason, message: message.into() }
}

fn acme(namespace: &str, spec: &AcmeSpec) -> Result<AcmeIssuer, Fault> {
    let server = spec.server.parse::<http::Uri>().ok().filter(|uri| uri.scheme_str() == Some("https") && uri.host().is_some());
    if server.is_none() {
        return Err(fault(
            "spec.acme.server",
            Reason::InvalidField,
            format!("{:?} is no https URL; write the directory URL of the ACME server", spec.server),
        ));
    }
    if spec.private_key_secret_ref.name.is_empty() {
        return Err(fault("spec.acme.privateKeySecretRef.name", Reason::InvalidField, "is empty; name the Secret that keeps the account key"));
    }
    Ok(AcmeIssuer {
        server: spec.server.clone(),
        email: spec.email.clone(),
        ca_bundle: spec.ca_bundle.as_deref().map(ca_bundle).transpose()?,
        account_key: SecretName { namespace: namespace.to_owned(), name: spec.private_key_secret_ref.name.clone() },
        profile: spec.profile.clone(),
    })
}

fn ca_bundle(text: &str) -> Result<String, Fault> {
    let unreadable =
        || fault("spec.acme.caBundle", Reason::InvalidField, "is not the base64 of PEM certificates; encode the PEM file with base64 -w0");
    let compact: String = text.split_whitespace().collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(compact).map_err(|_| unreadable())?;
    let certificates = Pem::iter_from_buffer(&bytes).map(|pem| pem.is_ok_and(|pem| pem.parse_x509().is_ok())).collect::<Vec<_>>();
    if certificates.is_empty() || certificates.contains(&false) {
        return Err(unreadable());
    }
    String::from_utf8(bytes).map_err(|_| unreadable())
}

fn ca(input: Input<'_>, namespace: &str, spec: &CaSpec, parser: &mut Parser<'_>) -> Result<CaKeyPair, Fault> {
    let field = "spec.ca.secretName";
    let name = SecretName { namespace: namespace.to_owned(), name: spec.secret_name.clone() };
    let missing = || fault(field, Reason::MissingReference, format!("there is no Secret {name}; create it with the CA's tls.crt and tls.key"));
    let invalid = |why: &str| fault(field, Reason::InvalidSecret, format!("the Secret {name} cannot sign certificates: {why}"));
    let held = input.facts.held.certificates.get(&name);
    let (chain, key) = match (find(input.objects, &name), held) {
        (Some(secret), _) => tls_pair(secret).ok_or_else(|| invalid("it has not both of tls.crt and tls.key"))?,
        (None, Some(held)) => (held.chain_pem.as_bytes(), held.key_pem.as_bytes()),
        (None, None) => return Err(missing()),
    };
    parser.parse(&name, chain, key).map_err(|error| invalid(&error.to_string()))?;
    let first = Pem::iter_from_buffer(chain).find_map(Result::ok).ok_or_else(|| invalid("tls.crt holds no certificate"))?;
    let is_ca =
        first.parse_x509().ok().and_then(|certificate| certificate.basic_constraints().ok().flatten().map(|constraints| constraints.value.ca));
    if is_ca != Some(true) {
        return Err(invalid("its certificate is not that of a CA (basicConstraints CA:TRUE is missing)"));
    }
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| invalid("it is not text"));
    Ok(CaKeyPair { chain_pem: text(chain)?, key_pem: text(key)? })
}
