//! What the tls entries of an Ingress ask for: a certificate by an issuer, or a Secret that the tenant brought. Pure.

use std::collections::BTreeMap;

use acme::{Issuer, IssuerId, SecretName, Wanted};
use k8s_openapi::api::networking::v1::IngressTLS;

use super::objects::{Terms, cert_manager_metadata};
use super::orders::{Orders, Wish};
use super::{Scene, ServeRequest};
use crate::compile::annotations::values::boolean;
use crate::compile::findings::{Findings, Subject, annotation};
use crate::compile::ingresses::View;
use crate::compile::parsed::Parser;
use crate::compile::secrets::{find, is_issued, tls_pair};
use crate::objects::ObjectKey;
use crate::problem::Reason;

/// What the annotations ask for.
enum Asked {
    /// Nothing.
    Nothing,
    /// Certificates of this issuer; the key is the annotation that asks.
    Of(IssuerId, &'static str),
    /// Something that cannot be had; it has been told.
    Invalid,
}

const ISSUER: &str = "cert-manager.io/issuer";
const CLUSTER_ISSUER: &str = "cert-manager.io/cluster-issuer";
const TLS_ACME: &str = "kubernetes.io/tls-acme";

/// Reads all tls entries of an Ingress.
pub(super) fn read<'a>(
    scene: Scene<'a, '_>,
    view: &'a View<'a>,
    parser: &mut Parser<'_>,
    orders: &mut Orders<'a>,
    serve: &mut Vec<ServeRequest<'a>>,
    findings: &mut Findings,
) {
    if view.tls_hosts.is_empty() {
        return;
    }
    let asked = asked(scene, view, findings);
    for (index, (entry, hosts)) in view.spec.tls.iter().flatten().zip(&view.tls_hosts).enumerate() {
        let hosts = hosts.iter().flatten().filter(|host| scene.ownership.permit(view.namespace(), host).is_ok()).cloned().collect::<Vec<_>>();
        let field = format!("spec.tls[{index}].secretName");
        let secret = entry.secret_name.as_ref().filter(|name| !name.is_empty());
        let secret = secret.map(|name| SecretName { namespace: view.key.namespace.clone(), name: name.clone() });
        let wish = match (&asked, &secret) {
            (Asked::Of(issuer, key), _) => wish(scene, view, issuer, key, secret.clone(), &hosts, &field, parser, findings),
            _ => None,
        };
        // An entry that the wildcard serves needs no Secret, unless the tenant brought one.
        let brought = secret.as_ref().is_some_and(|secret| find(scene.input.objects, secret).is_some_and(|secret| !is_issued(secret)));
        let is_ordered = wish.is_some();
        wish.into_iter().for_each(|wish| orders.wish(wish));
        let hosts = (!entry_is_open(entry)).then_some(hosts);
        let is_refused = hosts.as_ref().is_some_and(Vec::is_empty);
        if let Some(secret) = secret.filter(|_| !is_refused && (is_ordered || brought || matches!(asked, Asked::Nothing))) {
            serve.push(ServeRequest { secret, hosts, subject: Subject::from(view.stored), field, namespace: &view.key.namespace });
        }
    }
}

/// Whether the entry names no host: then the certificate's own names count.
fn entry_is_open(entry: &IngressTLS) -> bool {
    entry.hosts.as_ref().is_none_or(Vec::is_empty)
}

fn asked(scene: Scene<'_, '_>, view: &View<'_>, findings: &mut Findings) -> Asked {
    let annotations = view.stored.object.metadata.annotations.as_ref();
    let value = |key: &str| annotations.and_then(|all| all.get(key)).map(String::as_str).filter(|value| !value.is_empty());
    let mut invalid = |key: &str, message: String| {
        findings.error(view.stored, annotation(key), Reason::InvalidAnnotation, message);
        Asked::Invalid
    };
    let (kind, group) = (value("cert-manager.io/issuer-kind"), value("cert-manager.io/issuer-group"));
    if let Some(group) = group.filter(|group| *group != "cert-manager.io") {
        return invalid("cert-manager.io/issuer-group", format!("issuers of the group {group:?} are not supported; only cert-manager.io"));
    }
    let (name, cluster, key) = match (value(ISSUER), value(CLUSTER_ISSUER)) {
        (Some(_), Some(_)) => return invalid(ISSUER, format!("{ISSUER} and {CLUSTER_ISSUER} are both set; keep one of them")),
        (None, Some(_)) if kind.is_some() || group.is_some() => {
            return invalid(CLUSTER_ISSUER, "goes without cert-manager.io/issuer-kind and issuer-group; remove them".to_owned());
        }
        (None, Some(name)) => (name, true, CLUSTER_ISSUER),
        (Some(name), None) => match kind {
            None | Some("Issuer") => (name, false, ISSUER),
            Some("ClusterIssuer") => (name, true, ISSUER),
            Some(other) => return invalid("cert-manager.io/issuer-kind", format!("{other:?} is neither Issuer nor ClusterIssuer")),
        },
        (None, None) => match value(TLS_ACME).map(boolean) {
            Some(Some(true)) => (scene.input.settings.default_issuer.as_str(), true, TLS_ACME),
            Some(None) => return invalid(TLS_ACME, "is neither \"true\" nor \"false\"".to_owned()),
            Some(Some(false)) | None => return Asked::Nothing,
        },
    };
    let id = IssuerId { namespace: (!cluster).then(|| view.key.namespace.clone()), name: name.to_owned() };
    if !scene.issuers.contains_key(&id) {
        let exists = if cluster {
            scene.input.objects.cluster_issuers.contains_key(&ObjectKey::new("", name))
        } else {
            scene.input.objects.issuers.contains_key(&ObjectKey::new(view.namespace(), name))
        };
        let why = if exists { "cannot be used, see its own problem" } else { "does not exist; create it or name another" };
        findings.error(view.stored, annotation(key), Reason::MissingReference, format!("the {id} {why}; no certificate is ordered"));
        return Asked::Invalid;
    }
    Asked::Of(id, key)
}

#[allow(clippy::too_many_arguments, reason = "one entry of one Ingress; a struct for it would be used once")]
fn wish<'a>(
    scene: Scene<'a, '_>,
    view: &'a View<'a>,
    issuer: &IssuerId,
    key: &str,
    secret: Option<SecretName>,
    hosts: &[String],
    field: &str,
    parser: &mut Parser<'_>,
    findings: &mut Findings,
) -> Option<Wish<'a>> {
    if hosts.iter().all(|host| scene.is_served_by_wildcard(host, issuer)) {
        if hosts.is_empty() && view.tls_hosts.iter().any(Vec::is_empty) {
            let message = format!("{key} asks for a certificate, but the entry names no host; write spec.tls[].hosts");
            findings.error(view.stored, field.replace("secretName", "hosts"), Reason::InvalidField, message);
        }
        return None;
    }
    let Some(secret) = secret else {
        findings.error(
            view.stored,
            field,
            Reason::InvalidField,
            format!("{key} asks for a certificate, but no Secret is named to keep it in; name one"),
        );
        return None;
    };
    if let Some(existing) = find(scene.input.objects, &secret).filter(|existing| !is_issued(existing)) {
        // A certificate that the tenant brought is served and never written over, as long as it serves.
        let usable = tls_pair(existing).and_then(|(chain, key)| parser.parse(&secret, chain, key).ok());
        if usable.is_some_and(|parsed| parsed.not_after() > scene.input.facts.now && hosts.iter().all(|host| parsed.is_for(host))) {
            return None;
        }
        let message =
            format!("the Secret {:?} exists and was not made by an issuer, so it is not written over; remove it or name another", secret.name);
        findings.error(view.stored, field, Reason::SecretTaken, message);
        return None;
    }
    let terms = Terms::of_annotations(view, findings)?;
    let challenges = nameable(scene, view, issuer, hosts, field, findings);
    let names = challenges.keys().cloned().collect::<std::collections::BTreeSet<_>>();
    if names.is_empty() {
        return None;
    }
    let is_acme = matches!(scene.issuers.get(issuer), Some(Issuer::Acme(_)));
    let (secret_annotations, secret_labels) = cert_manager_metadata(&secret.name, issuer, &names);
    let wanted = Wanted {
        names,
        issuer: issuer.clone(),
        key: terms.key,
        duration: terms.duration,
        renew_before: terms.renew_before,
        challenges: if is_acme { challenges } else { BTreeMap::new() },
        wanted_by: view.stored.reference.to_string(),
        secret_annotations,
        secret_labels,
    };
    Some(Wish { secret, wanted, subject: Subject::from(view.stored), age: &view.stored.age, field: field.to_owned() })
}

/// The hosts that the issuer can be shown control over, with the challenges for it.
fn nameable(
    scene: Scene<'_, '_>,
    view: &View<'_>,
    issuer: &IssuerId,
    hosts: &[String],
    field: &str,
    findings: &mut Findings,
) -> BTreeMap<String, Vec<acme::ChallengeKind>> {
    let is_acme = matches!(scene.issuers.get(issuer), Some(Issuer::Acme(_)));
    let mut names = BTreeMap::new();
    for host in hosts {
        let challenges = scene.challenges(host);
        if is_acme && challenges.is_empty() {
            let message = format!(
                "{host:?} is a wildcard outside the zones that are served here, for which no challenge can be answered; name its hosts one by one"
            );
            findings.error(view.stored, field.replace("secretName", "hosts"), Reason::CertificateFailed, message);
        } else {
            names.insert(host.clone(), challenges.to_vec());
        }
    }
    names
}
