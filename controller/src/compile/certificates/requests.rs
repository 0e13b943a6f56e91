//! What the tls entries of an Ingress ask for: a certificate by an issuer, or a Secret that the tenant brought. Pure.

use std::collections::{BTreeMap, BTreeSet};

use acme::{ChallengeKind, Issuer, IssuerId, SecretName};

use super::objects::{Terms, usual_key};
use super::orders::{Orders, Wish};
use super::{MOST_NAMES, Scene, ServeRequest};
use crate::compile::Input;
use crate::compile::annotations::values::boolean;
use crate::compile::findings::{Findings, Subject, annotation};
use crate::compile::ingresses::View;
use crate::compile::names::host_name;
use crate::compile::parsed::Parser;
use crate::compile::secrets::{find, is_issued, tls_pair};
use crate::objects::ObjectKey;
use crate::ownership::Ownership;
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
pub(in crate::compile) const COMMON_NAME: &str = "cert-manager.io/common-name";
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
    let (permit, permit_key) = (Ownership::permit, Ownership::permit_key);
    let is_shared =
        |host: &str| permit(scene.ownership, view.namespace(), host).is_ok() && permit_key(scene.ownership, view.namespace(), host).is_err();
    report_shared(view, is_shared, findings);
    let asked = asked(scene, view, findings);
    let common = common_name(scene, view, findings);
    for (index, (tls, hosts)) in view.spec.tls.iter().flatten().zip(&view.tls_hosts).enumerate() {
        let hosts = hosts.iter().flatten().filter(|host| scene.ownership.permit_key(view.namespace(), host).is_ok()).cloned().collect::<Vec<_>>();
        let secret = tls.secret_name.as_ref().filter(|name| !name.is_empty());
        let secret = secret.map(|name| SecretName { namespace: view.key.namespace.clone(), name: name.clone() });
        let entry = Entry { view, index, is_open: tls.hosts.as_ref().is_none_or(Vec::is_empty), hosts, secret };
        let wish = match &asked {
            Asked::Of(issuer, key) => entry.wish(scene, issuer, key, common.as_deref(), parser, findings),
            Asked::Nothing | Asked::Invalid => None,
        };
        let is_ordered = wish.is_some();
        wish.into_iter().for_each(|wish| orders.wish(wish));
        // An entry that the wildcard serves needs no Secret, unless the tenant brought one.
        if is_ordered || matches!(asked, Asked::Nothing) || entry.is_brought(scene) {
            serve.extend(entry.serve());
        }
    }
}

/// Tells what cannot be read of what the annotations ask for, without asking whether it can be had, and which hosts are shared.
pub(crate) fn judge(input: Input<'_>, view: &View<'_>, is_shared: impl Fn(&str) -> bool, findings: &mut Findings) {
    if !view.tls_hosts.is_empty() {
        report_shared(view, is_shared, findings);
        named(&input.settings.default_issuer, view, findings);
    }
}

/// Tells of hosts that the namespace shares by path: their certificate is the holder's.
fn report_shared(view: &View<'_>, is_shared: impl Fn(&str) -> bool, findings: &mut Findings) {
    for (entry, hosts) in view.tls_hosts.iter().enumerate() {
        for (index, host) in hosts.iter().enumerate().filter_map(|(index, host)| Some((index, host.as_deref().filter(|host| is_shared(host))?))) {
            let message = format!("{host:?} is shared by path and held by another namespace, whose certificate serves it; remove it here");
            findings.hint(view.stored, format!("spec.tls[{entry}].hosts[{index}]"), Reason::NoEffect, message);
        }
    }
}

/// One tls entry.
struct Entry<'a> {
    view: &'a View<'a>,
    index: usize,
    /// Whether it names no host: then the certificate's own names count.
    is_open: bool,
    /// Its hosts, as far as its namespace may use them.
    hosts: Vec<String>,
    secret: Option<SecretName>,
}

impl<'a> Entry<'a> {
    fn field(&self, name: &str) -> String {
        format!("spec.tls[{}].{name}", self.index)
    }

    /// Whether its Secret is there and is the tenant's own.
    fn is_brought(&self, scene: Scene<'_, '_>) -> bool {
        self.secret.as_ref().is_some_and(|secret| find(scene.input.objects, secret).is_some_and(|secret| !is_issued(secret)))
    }

    /// What to serve its hosts with.
    fn serve(self) -> Option<ServeRequest<'a>> {
        let field = self.field("secretName");
        let secret = self.secret.filter(|_| self.is_open || !self.hosts.is_empty())?;
        let hosts = (!self.is_open).then_some(self.hosts);
        Some(ServeRequest { secret, hosts, subject: Subject::from(self.view.stored), field, namespace: &self.view.key.namespace })
    }

    /// The certificate that it asks for; the key is the annotation that asks.
    fn wish(
        &self,
        scene: Scene<'a, '_>,
        issuer: &IssuerId,
        key: &str,
        common: Option<&str>,
        parser: &mut Parser<'_>,
        findings: &mut Findings,
    ) -> Option<Wish<'a>> {
        if self.hosts.iter().all(|host| scene.is_served_by_wildcard(host, issuer)) {
            if self.is_open {
                let message = format!("{key} asks for a certificate, but the entry names no host; write spec.tls[].hosts");
                findings.error(self.view.stored, self.field("hosts"), Reason::InvalidField, message);
            }
            return None;
        }
        let secret = self.writable_secret(scene, key, parser, findings)?;
        let terms = Terms::of_annotations(self.view, usual_key(scene.input, &secret), findings)?;
        let (names, challenges) = self.names(scene, issuer, common, findings)?;
        let wanted = terms.wanted(&secret.name, names, issuer.clone(), challenges, self.view.stored.reference.to_string());
        let stored = self.view.stored;
        Some(Wish { secret, wanted, subject: Subject::from(stored), age: &stored.age, field: self.field("secretName") })
    }

    /// The Secret, if an order may write it.
    fn writable_secret(&self, scene: Scene<'_, '_>, key: &str, parser: &mut Parser<'_>, findings: &mut Findings) -> Option<SecretName> {
        let Some(secret) = &self.secret else {
            let message = format!("{key} asks for a certificate, but no Secret is named to keep it in; name one");
            findings.error(self.view.stored, self.field("secretName"), Reason::InvalidField, message);
            return None;
        };
        let Some(existing) = find(scene.input.objects, secret).filter(|existing| !is_issued(existing)) else { return Some(secret.clone()) };
        // A certificate that the tenant brought is served and never written over, as long as it serves.
        let usable = tls_pair(existing).and_then(|(chain, key)| parser.parse(secret, chain, key).ok());
        if !usable.is_some_and(|parsed| parsed.not_after() > scene.input.facts.now && self.hosts.iter().all(|host| parsed.is_for(host))) {
            let message =
                format!("the Secret {:?} exists and was not made by an issuer, so it is not written over; remove it or name another", secret.name);
            findings.error(self.view.stored, self.field("secretName"), Reason::SecretTaken, message);
        }
        None
    }

    /// The names that the issuer can be shown control over, with the challenges for it.
    fn names(
        &self,
        scene: Scene<'_, '_>,
        issuer: &IssuerId,
        common: Option<&str>,
        findings: &mut Findings,
    ) -> Option<(BTreeSet<String>, Challenges)> {
        let is_acme = matches!(scene.issuers.get(issuer), Some(Issuer::Acme(_)));
        let mut challenges = Challenges::new();
        for host in self.hosts.iter().map(String::as_str).chain(common) {
            let ways = scene.challenges(host);
            if is_acme && ways.is_empty() {
                let message = format!(
                    "{host:?} is a wildcard outside the zones that are served here, for which no challenge can be answered; name its hosts one by one"
                );
                findings.error(self.view.stored, self.field("hosts"), Reason::CertificateFailed, message);
            } else {
                challenges.insert(host.to_owned(), ways.to_vec());
            }
        }
        if challenges.len() > MOST_NAMES {
            let message = format!("names {} hosts; one certificate has at most {MOST_NAMES}; write several tls entries", challenges.len());
            findings.error(self.view.stored, self.field("hosts"), Reason::InvalidField, message);
            return None;
        }
        let names: BTreeSet<String> = challenges.keys().cloned().collect();
        (!names.is_empty()).then(|| (names, if is_acme { challenges } else { Challenges::new() }))
    }
}

/// Challenges by name.
type Challenges = BTreeMap<String, Vec<ChallengeKind>>;

/// cert-manager's common-name, which is one of the names here; a host that the namespace holds, since an annotation claims none.
fn common_name(scene: Scene<'_, '_>, view: &View<'_>, findings: &mut Findings) -> Option<String> {
    let text = view.stored.object.metadata.annotations.as_ref()?.get(COMMON_NAME).filter(|text| !text.is_empty())?;
    let is_own = |name: &String| scene.ownership.holder(name).is_some_and(|holder| holder.namespace == view.namespace());
    let (reason, message) = match host_name(text) {
        Ok(name) if is_own(&name) => return Some(name),
        Ok(_) => {
            let message = format!("{text:?} is no host of this namespace; write it under spec.tls[].hosts too; the certificate comes without it");
            (Reason::HostOwnedByAnother, message)
        }
        Err(error) => (Reason::InvalidAnnotation, format!("{text:?} {error}; the certificate comes without it")),
    };
    findings.error(view.stored, annotation(COMMON_NAME), reason, message);
    None
}

/// What the annotations ask for, whether or not there is such an issuer.
fn named(default_issuer: &str, view: &View<'_>, findings: &mut Findings) -> Asked {
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
            Some(Some(true)) => (default_issuer, true, TLS_ACME),
            Some(None) => return invalid(TLS_ACME, "is neither \"true\" nor \"false\"".to_owned()),
            Some(Some(false)) | None => return Asked::Nothing,
        },
    };
    Asked::Of(IssuerId { namespace: (!cluster).then(|| view.key.namespace.clone()), name: name.to_owned() }, key)
}

fn asked(scene: Scene<'_, '_>, view: &View<'_>, findings: &mut Findings) -> Asked {
    let (id, key) = match named(&scene.input.settings.default_issuer, view, findings) {
        Asked::Of(id, key) => (id, key),
        other => return other,
    };
    if !scene.issuers.contains_key(&id) {
        let exists = match &id.namespace {
            None => scene.input.objects.cluster_issuers.contains_key(&ObjectKey::new("", &id.name)),
            Some(namespace) => scene.input.objects.issuers.contains_key(&ObjectKey::new(namespace, &id.name)),
        };
        let why = if exists { "cannot be used, see its own problem" } else { "does not exist; create it or name another" };
        findings.error(view.stored, annotation(key), Reason::MissingReference, format!("the {id} {why}; no certificate is ordered"));
        return Asked::Invalid;
    }
    Asked::Of(id, key)
}
