//! Certificate objects, and the terms (key, lifetime, renewal) that they and Ingress annotations may set. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use acme::{ChallengeKind, Issuer, IssuerId, KeyKind, RenewBefore, SecretName, Wanted};

use super::orders::{Orders, Wish};
use super::{MOST_NAMES, Scene};
use crate::compile::Input;
use crate::compile::annotations::values::go_duration;
use crate::compile::findings::{Findings, Subject, annotation};
use crate::compile::ingresses::View;
use crate::compile::names::{host_name, wildcard_base};
use crate::compile::secrets::{ISSUER_NAME, find, is_issued};
use crate::compile::zones::zone_of;
use crate::objects::{Certificate, CertificateSpec, ObjectKey, SecretTemplate, Stored};
use crate::ownership::{Claim, Ownership};
use crate::problem::Reason;

/// Key, lifetime and renewal.
pub(super) struct Terms {
    pub(super) key: KeyKind,
    pub(super) duration: Option<Duration>,
    pub(super) renew_before: Option<RenewBefore>,
    /// Annotations and labels that the Secret gets.
    pub(super) template: SecretTemplate,
}

/// What is wrong with a Certificate.
struct Fault {
    field: String,
    reason: Reason,
    message: String,
}

fn fault(field: impl Into<String>, reason: Reason, message: impl Into<String>) -> Fault {
    Fault { field: field.into(), reason, message: message.into() }
}

/// A Certificate and the names that it claims.
pub(crate) struct Claimant<'a> {
    key: &'a ObjectKey,
    stored: &'a Stored<Certificate>,
    hosts: Vec<String>,
}

impl Claimant<'_> {
    /// Its names.
    pub(crate) fn claims(&self) -> impl Iterator<Item = Claim<'_>> {
        self.hosts.iter().map(|host| Claim { host, namespace: &self.key.namespace, age: &self.stored.age, object: &self.stored.reference })
    }
}

/// Who has a trusted key for a name can play its host, so a Certificate claims its names as an Ingress does: those in zones that are served here, and those
/// that a public CA signs. Names that only a private CA knows (`postgres`, `db.ns.svc`) may be used in every namespace.
pub(crate) fn claimants<'a>(input: Input<'a>, issuers: &BTreeMap<IssuerId, Issuer>) -> Vec<Claimant<'a>> {
    let claimant = |(key, stored): (&'a ObjectKey, &'a Arc<Stored<Certificate>>)| {
        let is_acme = issuer_id(key, stored).is_ok_and(|id| matches!(issuers.get(&id), Some(Issuer::Acme(_))));
        let claims = |name: &String| is_acme || zone_of(&input.settings.zones, wildcard_base(name).unwrap_or(name)).is_some();
        let spec = &stored.object.spec;
        let hosts = spec.dns_names.iter().chain(&spec.common_name).filter_map(|name| host_name(name).ok()).filter(claims).collect();
        Claimant { key, stored, hosts }
    };
    input.own(&input.objects.certificates).map(claimant).collect()
}

/// Reads all Certificates: each is wanted whole or not at all.
pub(super) fn read<'a>(scene: Scene<'a, '_>, orders: &mut Orders<'a>, findings: &mut Findings) {
    for (key, stored) in scene.input.own(&scene.input.objects.certificates) {
        match wanted(scene, key, stored) {
            Ok((secret, wanted)) => {
                let field = "spec.secretName".to_owned();
                orders.wish(Wish { secret, wanted, subject: Subject::from(&**stored), age: &stored.age, field });
            }
            Err(fault) => findings.error(&**stored, fault.field, fault.reason, fault.message),
        }
    }
}

fn wanted(scene: Scene<'_, '_>, key: &ObjectKey, stored: &Stored<Certificate>) -> Result<(SecretName, Wanted), Fault> {
    let spec = &stored.object.spec;
    let secret = SecretName { namespace: key.namespace.clone(), name: spec.secret_name.clone() };
    if secret.name.is_empty() {
        return Err(fault("spec.secretName", Reason::InvalidField, "is empty; name the Secret that receives the certificate"));
    }
    if find(scene.input.objects, &secret).is_some_and(|existing| !is_issued(existing)) {
        let message =
            format!("the Secret {:?} exists and was not made by an issuer, so it is not written over; remove it or name another", secret.name);
        return Err(fault("spec.secretName", Reason::SecretTaken, message));
    }
    let issuer = issuer(scene, key, stored)?;
    let is_acme = matches!(scene.issuers.get(&issuer), Some(Issuer::Acme(_)));
    let names = names(scene, key, stored, is_acme)?;
    let terms = Terms::of_certificate(stored, is_acme)?;
    let challenges = names.iter().map(|name| (name.clone(), scene.challenges(name).to_vec())).collect();
    let challenges = if is_acme { challenges } else { BTreeMap::new() };
    Ok((secret, terms.wanted(&key.name, names, issuer, challenges, stored.reference.to_string())))
}

fn issuer(scene: Scene<'_, '_>, key: &ObjectKey, stored: &Stored<Certificate>) -> Result<IssuerId, Fault> {
    let id = issuer_id(key, stored)?;
    if scene.issuers.contains_key(&id) {
        return Ok(id);
    }
    let message = format!("the {id} does not exist, or cannot be used (then it has a problem of its own); create it or name another");
    Err(fault("spec.issuerRef", Reason::MissingReference, message))
}

fn issuer_id(key: &ObjectKey, stored: &Stored<Certificate>) -> Result<IssuerId, Fault> {
    let named = &stored.object.spec.issuer_ref;
    if let Some(group) = named.group.as_deref().filter(|group| !matches!(*group, "" | "cert-manager.io")) {
        return Err(fault(
            "spec.issuerRef.group",
            Reason::InvalidField,
            format!("issuers of the group {group:?} are not supported; only cert-manager.io"),
        ));
    }
    let namespace = match named.kind.as_deref() {
        None | Some("" | "Issuer") => Some(key.namespace.clone()),
        Some("ClusterIssuer") => None,
        Some(other) => return Err(fault("spec.issuerRef.kind", Reason::InvalidField, format!("{other:?} is neither Issuer nor ClusterIssuer"))),
    };
    Ok(IssuerId { namespace, name: named.name.clone() })
}

fn names(scene: Scene<'_, '_>, key: &ObjectKey, stored: &Stored<Certificate>, is_acme: bool) -> Result<BTreeSet<String>, Fault> {
    let spec = &stored.object.spec;
    let listed = spec.dns_names.iter().enumerate().map(|(index, name)| (name, format!("spec.dnsNames[{index}]")));
    // cert-manager counts the common name among the names where it is one.
    let common =
        spec.common_name.iter().filter(|name| host_name(name).is_ok() || spec.dns_names.is_empty()).map(|name| (name, "spec.commonName".to_owned()));
    let mut names = BTreeSet::new();
    for (text, field) in listed.chain(common) {
        let name = host_name(text).map_err(|error| fault(&field, Reason::InvalidField, format!("{text:?} {error}")))?;
        // Who may not claim the host may not have its key either.
        let is_public = is_acme || zone_of(&scene.input.settings.zones, wildcard_base(&name).unwrap_or(&name)).is_some();
        let permit = if is_public { Ownership::permit_key } else { Ownership::permit_private };
        permit(scene.ownership, &key.namespace, &name).map_err(|refusal| fault(&field, Reason::HostOwnedByAnother, refusal.to_string()))?;
        if is_acme && scene.challenges(&name).is_empty() {
            let message = format!(
                "{name:?} is a wildcard outside the zones that are served here, for which no challenge can be answered; name its hosts one by one"
            );
            return Err(fault(&field, Reason::CertificateFailed, message));
        }
        names.insert(name);
    }
    if names.len() > MOST_NAMES {
        let message = format!("names {} hosts; one certificate has at most {MOST_NAMES}; write several Certificates", names.len());
        return Err(fault("spec.dnsNames", Reason::InvalidField, message));
    }
    if names.is_empty() {
        return Err(fault("spec.dnsNames", Reason::InvalidField, "is empty; write the names that the certificate is for"));
    }
    Ok(names)
}

impl Terms {
    fn of_certificate(stored: &Stored<Certificate>, is_acme: bool) -> Result<Self, Fault> {
        let spec = &stored.object.spec;
        let key = key_of(spec).map_err(|message| fault("spec.privateKey", Reason::InvalidField, message))?;
        if is_acme && key == KeyKind::Ed25519 {
            return Err(fault("spec.privateKey.algorithm", Reason::InvalidField, "public CAs do not sign Ed25519 keys; use ECDSA"));
        }
        let duration = lifetime(spec.duration.as_deref()).map_err(|message| fault("spec.duration", Reason::InvalidField, message))?;
        let renew_before = renewal(spec.renew_before.as_deref(), spec.renew_before_percentage);
        let renew_before = renew_before.map_err(|(key, message)| fault(format!("spec.{key}"), Reason::InvalidField, message))?;
        Ok(Self { key, duration, renew_before, template: spec.secret_template.clone().unwrap_or_default() })
    }

    /// The certificate on these terms.
    pub(super) fn wanted(
        self,
        certificate: &str,
        names: BTreeSet<String>,
        issuer: IssuerId,
        challenges: BTreeMap<String, Vec<ChallengeKind>>,
        wanted_by: String,
    ) -> Wanted {
        let Self { key, duration, renew_before, template } = self;
        let (mut secret_annotations, mut secret_labels) = (template.annotations, template.labels);
        // The template cannot change what is noted about the issuer: that decides whether the Secret may be written over.
        let (annotations, labels) = cert_manager_metadata(certificate, &issuer, &names);
        secret_annotations.extend(annotations);
        secret_labels.extend(labels);
        Wanted { names, issuer, key, duration, renew_before, challenges, obtained_for: None, wanted_by, secret_annotations, secret_labels }
    }

    /// Terms of cert-manager's annotations on an Ingress, with this key where they ask for none; `None` when one of them cannot be read, which has been
    /// told.
    pub(super) fn of_annotations(view: &View<'_>, usual: KeyKind, findings: &mut Findings) -> Option<Self> {
        let annotations = view.stored.object.metadata.annotations.as_ref();
        let value = |key: &str| annotations.and_then(|all| all.get(&format!("cert-manager.io/{key}"))).map(String::as_str);
        let number =
            |key: &str| value(key).map(|text| text.parse::<i64>().map_err(|_| (key.to_owned(), format!("{text:?} is no whole number")))).transpose();
        let read = || {
            let size = number("private-key-size")?;
            let key = match value("private-key-algorithm") {
                None if size.is_none() => usual,
                algorithm => key_kind(algorithm.unwrap_or("RSA"), size).map_err(|message| ("private-key-algorithm".to_owned(), message))?,
            };
            let duration = lifetime(value("duration")).map_err(|message| ("duration".to_owned(), message))?;
            let percentage = number("renew-before-percentage")?;
            let renew_before = renewal(value("renew-before"), percentage).map_err(|(_, message)| ("renew-before".to_owned(), message))?;
            let template = value("secret-template").map(serde_json::from_str::<SecretTemplate>).transpose();
            let template =
                template.map_err(|error| ("secret-template".to_owned(), format!("is no JSON object with annotations and labels: {error}")))?;
            Ok(Self { key, duration, renew_before, template: template.unwrap_or_default() })
        };
        let result: Result<Self, (String, String)> = read();
        result
            .map_err(|(key, message)| findings.error(view.stored, annotation(&format!("cert-manager.io/{key}")), Reason::InvalidAnnotation, message))
            .ok()
    }
}

/// The key that a Certificate asks for; by default cert-manager's, so that going back to it does not issue everything anew.
fn key_of(spec: &CertificateSpec) -> Result<KeyKind, String> {
    let (algorithm, size) = spec.private_key.as_ref().map_or((None, None), |key| (key.algorithm.as_deref(), key.size));
    key_kind(algorithm.unwrap_or("RSA"), size)
}

/// The key of a tls entry that asks for none: that of the Certificate which cert-manager made of the entry, named as its Secret, so that what is held is kept.
pub(super) fn usual_key(input: Input<'_>, secret: &SecretName) -> KeyKind {
    let made = input.objects.certificates.get(&ObjectKey::new(&secret.namespace, &secret.name));
    let made = made.map(|made| &made.object.spec).filter(|spec| spec.secret_name == secret.name);
    made.and_then(|spec| key_of(spec).ok()).unwrap_or_default()
}

fn key_kind(algorithm: &str, size: Option<i64>) -> Result<KeyKind, String> {
    match (algorithm, size) {
        ("RSA", None | Some(0 | 2048)) => Ok(KeyKind::Rsa(2048)),
        ("RSA", Some(3072)) => Ok(KeyKind::Rsa(3072)),
        ("RSA", Some(4096)) => Ok(KeyKind::Rsa(4096)),
        ("RSA", Some(size)) => Err(format!("RSA keys have 2048, 3072 or 4096 bits, not {size}")),
        ("ECDSA", None | Some(0 | 256)) => Ok(KeyKind::EcdsaP256),
        ("ECDSA", Some(384)) => Ok(KeyKind::EcdsaP384),
        ("ECDSA", Some(size)) => Err(format!("ECDSA keys have 256 or 384 bits here (public CAs sign no others), not {size}")),
        ("Ed25519", _) => Ok(KeyKind::Ed25519),
        (other, _) => Err(format!("{other:?} is none of RSA, ECDSA, Ed25519")),
    }
}

fn lifetime(text: Option<&str>) -> Result<Option<Duration>, String> {
    let Some(text) = text else { return Ok(None) };
    let duration = go_duration(text).filter(|duration| *duration >= Duration::from_secs(3600));
    duration.map(Some).ok_or_else(|| format!("{text:?} is no duration of at least an hour; write it like 2160h"))
}

fn renewal(before: Option<&str>, percentage: Option<i64>) -> Result<Option<RenewBefore>, (&'static str, String)> {
    match (before, percentage) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(("renewBefore", "and renewBeforePercentage are both set; keep one of them".to_owned())),
        (Some(text), None) => {
            let before = go_duration(text).filter(|duration| *duration >= Duration::from_secs(300));
            let before = before.ok_or_else(|| ("renewBefore", format!("{text:?} is no duration of at least five minutes; write it like 360h")))?;
            Ok(Some(RenewBefore::Duration(before)))
        }
        (None, Some(share)) => {
            let share = u8::try_from(share).ok().filter(|share| (1..=99).contains(share));
            share.map(|share| Some(RenewBefore::Percentage(share))).ok_or_else(|| ("renewBeforePercentage", "is not between 1 and 99".to_owned()))
        }
    }
}

/// Annotations and labels that cert-manager gives the Secret.
fn cert_manager_metadata(certificate: &str, issuer: &IssuerId, names: &BTreeSet<String>) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let kind = if issuer.namespace.is_some() { "Issuer" } else { "ClusterIssuer" };
    let names = names.iter().map(String::as_str).collect::<Vec<_>>().join(",");
    let annotations = [
        ("cert-manager.io/certificate-name", certificate),
        (ISSUER_NAME, issuer.name.as_str()),
        ("cert-manager.io/issuer-kind", kind),
        ("cert-manager.io/issuer-group", "cert-manager.io"),
        ("cert-manager.io/common-name", ""),
        ("cert-manager.io/alt-names", names.as_str()),
        ("cert-manager.io/ip-sans", ""),
        ("cert-manager.io/uri-sans", ""),
    ];
    let annotations = annotations.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    (annotations, BTreeMap::from([("controller.cert-manager.io/fao".to_owned(), "true".to_owned())]))
}
