//! Certificates that cert-manager wrote: which are kept as they are, which would be issued anew, and why. Pure: the plan that would be carried out decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use acme::ledger::Ledger;
use acme::plan::{Action, Limits, Reason};
use acme::secret::from_manifest;
use acme::{CertificateState, HeldCertificate, KeyKind, SecretName, Wanted, WantedSet};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use serde::Serialize;

use super::Scene;
use crate::compile::{CertificateSource, is_issued};
use crate::objects::Objects;
use crate::problem::{Problem, Severity};

/// The label by which cert-manager and Vrata find the Secrets that an issuer had written.
const FILTERED: (&str, &str) = ("controller.cert-manager.io/fao", "true");

/// What becomes of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Fate {
    /// It would not be had; the findings say what to do.
    Refused,
    /// There is one, and another would be ordered at once.
    IssuedAnew,
    /// There is none, and it would be ordered at once.
    Ordered,
    /// It is kept, and its renewal is due now.
    RenewalDue,
    /// It is kept as it is.
    Kept,
    /// It was brought by somebody, who renews it.
    Brought,
    /// Its Secret may not be read.
    Unknown,
}

/// A certificate.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateRow {
    /// `namespace/name` of its Secret.
    pub secret: String,
    /// Its names.
    pub names: Vec<String>,
    /// Who would sign the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Who wants it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted_by: Option<String>,
    /// End of the one that is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// When its renewal starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewal: Option<String>,
    /// What becomes of it.
    pub fate: Fate,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Certificates that are found and taken over, as the store in a cluster finds them.
pub(super) fn held(objects: &Objects) -> BTreeMap<SecretName, Arc<HeldCertificate>> {
    let secrets = objects.secrets.iter().filter(|(_, stored)| is_issued(&stored.object) && is_labelled(&stored.object));
    let read = secrets.filter_map(|(key, stored)| {
        let secret = SecretName { namespace: key.namespace.clone(), name: key.name.clone() };
        let certificate = from_manifest(&secret, &serde_json::to_vec(&stored.object).ok()?).ok()?;
        Some((secret, Arc::new(certificate)))
    });
    read.collect()
}

fn is_labelled(secret: &Secret) -> bool {
    secret.metadata.labels.as_ref().and_then(|labels| labels.get(FILTERED.0)).is_some_and(|value| value == FILTERED.1)
}

/// A row for each certificate that is wanted, brought, or refused.
pub(super) fn rows(scene: &Scene<'_>, problems: &[Problem]) -> Vec<CertificateRow> {
    let wanted = &scene.compiled.wanted.certificates;
    let mut rows: Vec<_> = wanted.iter().map(|(secret, wanted)| wanted_row(scene, secret, wanted)).collect();
    rows.extend(brought(scene));
    rows.extend(refused(scene, problems));
    rows.sort_by(|a, b| (a.fate, &a.secret, &a.wanted_by).cmp(&(b.fate, &b.secret, &b.wanted_by)));
    rows
}

fn wanted_row(scene: &Scene<'_>, secret: &SecretName, wanted: &Wanted) -> CertificateRow {
    let held = scene.held.get(secret);
    let (fate, why, renewal) = fate(scene, secret, wanted, held);
    CertificateRow {
        secret: secret.to_string(),
        names: wanted.names.iter().cloned().collect(),
        issuer: Some(wanted.issuer.to_string()),
        wanted_by: Some(wanted.wanted_by.clone()),
        not_after: held.and_then(|held| text(held.not_after)),
        renewal: renewal.and_then(text),
        fate,
        why,
    }
}

fn text(time: SystemTime) -> Option<String> {
    Timestamp::try_from(time).ok().map(|time| format!("{time:.0}"))
}

/// What the engine would do about this certificate alone: with others it would do the same, later.
fn fate(scene: &Scene<'_>, secret: &SecretName, wanted: &Wanted, held: Option<&Arc<HeldCertificate>>) -> (Fate, Option<String>, Option<SystemTime>) {
    if held.is_none() && scene.cluster.hidden.contains(&secret.namespace) {
        return (Fate::Unknown, Some("its Secret may not be read".to_owned()), None);
    }
    let alone = WantedSet { issuers: scene.compiled.wanted.issuers.clone(), certificates: BTreeMap::from([(secret.clone(), wanted.clone())]) };
    let held_alone = held.map(|held| (secret.clone(), Arc::clone(held))).into_iter().collect();
    let plan = acme::plan::plan(&alone, &held_alone, &Ledger::default(), Limits { per_issuer: 1, polls: 0 }, scene.now);
    let renewal = match plan.states.get(secret) {
        Some(CertificateState::Ready { renew_at, .. }) => Some(*renew_at),
        _ => None,
    };
    let issue = plan.actions.iter().find_map(|action| match action {
        Action::Issue { reason, .. } => Some(*reason),
        _ => None,
    });
    match issue {
        None => (Fate::Kept, None, renewal),
        Some(Reason::RenewalDue) => (Fate::RenewalDue, None, renewal),
        Some(Reason::Missing) => match scene.cluster.objects.secrets.contains_key(&crate::objects::ObjectKey::new(&secret.namespace, &secret.name)) {
            true => (Fate::IssuedAnew, Some(unusable()), None),
            false => (Fate::Ordered, None, None),
        },
        Some(reason) => (Fate::IssuedAnew, held.map(|held| because(reason, held, wanted)), None),
    }
}

fn unusable() -> String {
    format!("its Secret has no usable certificate of type kubernetes.io/tls with the label {}={}, by which it is found", FILTERED.0, FILTERED.1)
}

fn because(reason: Reason, held: &HeldCertificate, wanted: &Wanted) -> String {
    match reason {
        Reason::NamesNotCovered => {
            let missing: Vec<_> = wanted.names.iter().filter(|name| !held.names.contains(name)).map(String::as_str).collect();
            format!("the one that is there lacks {}", missing.join(", "))
        }
        Reason::IssuerChanged => format!("the one that is there was signed by {:?}", held.issuer),
        Reason::KeyKindChanged => {
            let kind = held.key_kind.map_or_else(|| "of another kind".to_owned(), key);
            format!("the key that is there is {kind}, and {} is asked for", key(wanted.key))
        }
        Reason::Missing | Reason::RenewalDue => "it is time".to_owned(),
    }
}

fn key(kind: KeyKind) -> String {
    match kind {
        KeyKind::EcdsaP256 => "ECDSA P-256".to_owned(),
        KeyKind::EcdsaP384 => "ECDSA P-384".to_owned(),
        KeyKind::Rsa(bits) => format!("RSA {bits}"),
        KeyKind::Ed25519 => "Ed25519".to_owned(),
    }
}

/// Those that tenants brought.
fn brought<'a>(scene: &'a Scene<'_>) -> impl Iterator<Item = CertificateRow> + 'a {
    let served = scene.compiled.certificates.iter();
    served.filter_map(|served| {
        let CertificateSource::Tenant(secret) = &served.source else { return None };
        (!scene.compiled.wanted.certificates.contains_key(secret)).then(|| CertificateRow {
            secret: secret.to_string(),
            names: served.names.clone(),
            issuer: None,
            wanted_by: None,
            not_after: text(served.certificate.not_after()),
            renewal: None,
            fate: Fate::Brought,
            why: None,
        })
    })
}

/// Certificate objects that would not be looked after.
fn refused(scene: &Scene<'_>, problems: &[Problem]) -> Vec<CertificateRow> {
    let cared: BTreeSet<&str> = scene.compiled.wanted.certificates.values().map(|wanted| wanted.wanted_by.as_str()).collect();
    let certificates = scene.cluster.objects.certificates.iter().filter(|(_, stored)| !cared.contains(&*stored.reference.to_string()));
    let row = certificates.filter_map(|(key, stored)| {
        let about = |problem: &&Problem| problem.severity == Severity::Error && problem.object.as_ref() == Some(&stored.reference);
        let problem = problems.iter().find(about)?;
        let secret = SecretName { namespace: key.namespace.clone(), name: stored.object.spec.secret_name.clone() };
        let issuer = &stored.object.spec.issuer_ref;
        Some(CertificateRow {
            secret: secret.to_string(),
            names: stored.object.spec.dns_names.clone(),
            issuer: Some(format!("{} {}", issuer.kind.as_deref().unwrap_or("Issuer"), issuer.name)),
            wanted_by: Some(stored.reference.to_string()),
            not_after: scene.held.get(&secret).and_then(|held| text(held.not_after)),
            renewal: None,
            fate: Fate::Refused,
            why: Some(format!("{}: {}", problem.field, problem.message)),
        })
    });
    row.collect()
}
