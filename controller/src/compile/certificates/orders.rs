//! Wanted certificates by Secret, and who wants them. Pure.

use std::collections::BTreeMap;

use acme::{CertificateState, SecretName, Wanted};

use crate::compile::Input;
use crate::compile::findings::{Findings, Subject};
use crate::objects::{Age, ObjectKey};
use crate::problem::{Reason, Severity};

/// A wish that is not yet compared with those of others.
pub(crate) struct Wish<'a> {
    pub(crate) secret: SecretName,
    pub(crate) wanted: Wanted,
    pub(crate) subject: Subject<'a>,
    pub(crate) age: &'a Age,
    /// The field that names the Secret.
    pub(crate) field: String,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Orders<'a> {
    wishes: Vec<Wish<'a>>,
    wanted: BTreeMap<SecretName, Wanted>,
    wanters: Vec<(SecretName, Subject<'a>, String)>,
}

impl<'a> Orders<'a> {
    /// Adds a wish.
    pub(crate) fn wish(&mut self, wish: Wish<'a>) {
        self.wishes.push(wish);
    }

    /// Lets the oldest have the Secret; others may want the same certificate in it.
    pub(super) fn settle(&mut self, findings: &mut Findings) {
        let mut wishes = std::mem::take(&mut self.wishes);
        wishes.sort_by(|a, b| a.age.cmp(b.age).then_with(|| a.subject.reference.cmp(b.subject.reference)).then_with(|| a.field.cmp(&b.field)));
        for wish in wishes {
            match self.wanted.get(&wish.secret) {
                Some(other) if !is_same(other, &wish.wanted) => {
                    let (name, by) = (&wish.secret.name, &other.wanted_by);
                    let message = format!("the Secret {name:?} already gets another certificate, for {by}, which is older; name another Secret");
                    findings.error(wish.subject, wish.field, Reason::SecretTaken, message);
                    continue;
                }
                Some(_) => {}
                None => drop(self.wanted.insert(wish.secret.clone(), wish.wanted)),
            }
            self.wanters.push((wish.secret, wish.subject, wish.field));
        }
    }

    /// Adds what the platform wants for somebody, who is told when it does not come.
    pub(super) fn add(&mut self, secret: SecretName, wanted: Wanted, subject: Subject<'a>, field: String) {
        self.wanted.insert(secret.clone(), wanted);
        self.wanters.push((secret, subject, field));
    }

    /// Adds what the platform wants for itself.
    pub(super) fn add_platform(&mut self, wanted: Vec<(SecretName, Wanted)>) {
        self.wanted.extend(wanted);
    }

    /// Whether the certificate is wanted.
    pub(crate) fn contains(&self, secret: &SecretName) -> bool {
        self.wanted.contains_key(secret)
    }

    /// All that are wanted, by Secret.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&SecretName, &Wanted)> {
        self.wanted.iter()
    }

    /// Tells those who want a certificate why it does not come.
    pub(super) fn report_failures(&self, input: Input<'_>, findings: &mut Findings) {
        for (secret, subject, field) in &self.wanters {
            if let Some((severity, message)) = failure(input.facts.held.states.get(secret)) {
                findings.push(severity, *subject, field.clone(), Reason::CertificateFailed, message);
            }
        }
    }
}

/// Tells why the wildcards of the zones do not come: at the platform's issuer.
pub(crate) fn report_platform_failures(input: Input<'_>, findings: &mut Findings) {
    let Some(issuer) = input.objects.cluster_issuers.get(&ObjectKey::new("", &input.settings.platform_issuer)) else { return };
    for zone in &input.settings.zones {
        if let Some((severity, message)) = failure(input.facts.held.states.get(&super::wildcard_secret(&zone.origin))) {
            let message = format!("the wildcard of the zone {}: {message}", zone.origin);
            findings.push(severity, Subject::from(&**issuer), "spec".into(), Reason::CertificateFailed, message);
        }
    }
}

fn failure(state: Option<&CertificateState>) -> Option<(Severity, String)> {
    let words = |failure: &acme::Failure| {
        let retry = jiff::Timestamp::try_from(failure.retry_at).map_or_else(|_| String::new(), |at| format!("; the next attempt starts at {at:.0}"));
        format!("{}{retry}", failure.message)
    };
    match state? {
        CertificateState::Issuing | CertificateState::Ready { renewal_failure: None, .. } => None,
        CertificateState::Ready { renewal_failure: Some(failure), .. } => {
            Some((Severity::Warning, format!("the renewal failed: {}", words(failure))))
        }
        CertificateState::Failed(failure) => Some((Severity::Error, format!("the certificate could not be had: {}", words(failure)))),
    }
}

fn is_same(a: &Wanted, b: &Wanted) -> bool {
    (&a.names, &a.issuer, a.key, a.duration, a.renew_before) == (&b.names, &b.issuer, b.key, b.duration, b.renew_before)
}
