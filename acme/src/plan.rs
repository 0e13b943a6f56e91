//! What to do now about every wanted certificate. One pure function: values in, actions out; no clock, no chance, no I/O.
//!
//! A certificate that nobody wants any more is neither renewed nor removed (cert-manager keeps Secrets too).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::ledger::{FailureRecord, Ledger, Record, issuer_fingerprint, spec_fingerprint};
use crate::renewal::renew_at;
use crate::{CertificateState, Failure, HeldCertificate, Issuer, IssuerId, SecretName, Wanted, WantedSet};

/// No CA keeps an order longer (Let's Encrypt: a week).
const LONGEST_ORDER: Duration = Duration::from_secs(8 * 24 * 60 * 60);

/// How much may run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Attempts with one issuer.
    pub per_issuer: usize,
    /// Requests for renewal advice.
    pub polls: usize,
}

/// What to do, what to say, and when to look again.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// What to start now, in this order.
    pub actions: Vec<Action>,
    /// Where each wanted certificate stands.
    pub states: BTreeMap<SecretName, CertificateState>,
    /// When something becomes due by time alone.
    pub wake_at: Option<SystemTime>,
}

/// One thing to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Obtain a certificate; an order on record is taken up again.
    Issue {
        /// Which.
        secret: SecretName,
        /// Why.
        reason: Reason,
    },
    /// Ask the CA when to renew.
    PollAdvice {
        /// For which.
        secret: SecretName,
    },
    /// Forget the order on record: it is for something else than what is wanted now, or done.
    ForgetOrder {
        /// Of which.
        secret: SecretName,
    },
}

/// Why a certificate is issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// There is none.
    Missing,
    /// There is one, but it lacks a name.
    NamesNotCovered,
    /// It comes from another issuer, or the issuer's server or CA is another one now.
    IssuerChanged,
    /// Its key is of another kind.
    KeyKindChanged,
    /// It is time.
    RenewalDue,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "there is none",
            Self::NamesNotCovered => "it lacks a name",
            Self::IssuerChanged => "its issuer is another one now",
            Self::KeyKindChanged => "its key is of another kind",
            Self::RenewalDue => "renewal is due",
        })
    }
}

/// Decides what to do at `now`.
#[must_use]
pub fn plan(wanted: &WantedSet, held: &BTreeMap<SecretName, Arc<HeldCertificate>>, ledger: &Ledger, limits: Limits, now: SystemTime) -> Plan {
    let fingerprints = wanted.issuers.iter().map(|(id, issuer)| (id, issuer_fingerprint(issuer))).collect();
    let desk = Desk { wanted, ledger, fingerprints, now };
    let mut plan = Plan::default();
    let (mut due, mut polls) = (Vec::new(), Vec::new());
    for (secret, want) in &wanted.certificates {
        let case = desk.case(secret, want, held.get(secret).map(Arc::as_ref));
        plan.actions.extend(desk.stale_order(&case).then(|| Action::ForgetOrder { secret: secret.clone() }));
        wake(&mut plan.wake_at, case.next_attempt(now));
        if let Some(poll_at) = desk.poll_at(&case) {
            if poll_at <= now { polls.push(secret) } else { wake(&mut plan.wake_at, Some(poll_at)) }
        }
        plan.states.insert(secret.clone(), case.state(now));
        if case.ready_to_start(ledger, now) {
            due.push(case);
        }
    }
    plan.actions.extend(outdated_orders(wanted, ledger, now));
    plan.actions.extend(admit(due, ledger, limits));
    let free = limits.polls.saturating_sub(ledger.polling.len());
    plan.actions.extend(polls.into_iter().take(free).map(|secret| Action::PollAdvice { secret: secret.clone() }));
    plan
}

fn wake(at: &mut Option<SystemTime>, candidate: Option<SystemTime>) {
    *at = [*at, candidate].into_iter().flatten().min();
}

/// Orders for certificates that nobody wants, once the CA has forgotten them too. Until then the wish may come back: it does when a restart begins
/// with nothing wanted.
fn outdated_orders(wanted: &WantedSet, ledger: &Ledger, now: SystemTime) -> Vec<Action> {
    let unwanted = ledger.orders.iter().filter(|(secret, _)| !wanted.certificates.contains_key(*secret) && !ledger.running.contains_key(*secret));
    let outdated = unwanted.filter(|(_, order)| order.created + LONGEST_ORDER < now);
    outdated.map(|(secret, _)| Action::ForgetOrder { secret: secret.clone() }).collect()
}

/// What the cases are judged against.
struct Desk<'a> {
    wanted: &'a WantedSet,
    ledger: &'a Ledger,
    fingerprints: BTreeMap<&'a IssuerId, String>,
    now: SystemTime,
}

/// One certificate's case.
struct Case<'a> {
    secret: &'a SecretName,
    want: &'a Wanted,
    issuer: Option<&'a Issuer>,
    held: Option<&'a HeldCertificate>,
    record: Option<&'a Record>,
    /// The failure that still counts.
    failure: Option<&'a FailureRecord>,
    /// Why the certificate must be replaced whatever its age.
    defect: Option<Reason>,
    renew_at: Option<SystemTime>,
}

impl<'a> Desk<'a> {
    fn case(&self, secret: &'a SecretName, want: &'a Wanted, held: Option<&'a HeldCertificate>) -> Case<'a> {
        let issuer = self.wanted.issuers.get(&want.issuer);
        let record = self.ledger.records.get(secret);
        let failure = record.and_then(|record| record.failure.as_ref());
        let failure = failure.filter(|failure| issuer.is_some_and(|issuer| failure.spec == spec_fingerprint(want, issuer)));
        let defect = match held {
            None => Some(Reason::Missing),
            Some(held) => self.defect(want, held),
        };
        let advice = record.and_then(|record| record.advice.as_ref());
        let renew_at = held.map(|held| renew_at(held, want.renew_before, advice));
        Case { secret, want, issuer, held, record, failure, defect, renew_at }
    }

    fn defect(&self, want: &Wanted, held: &HeldCertificate) -> Option<Reason> {
        let other_signer = matches!((&held.signer, self.fingerprints.get(&want.issuer)), (Some(then), Some(today)) if then != today);
        if !want.names.iter().all(|name| held.names.contains(name)) {
            Some(Reason::NamesNotCovered)
        } else if held.issuer != want.issuer.to_string() || other_signer {
            Some(Reason::IssuerChanged)
        } else if held.key_kind != Some(want.key) {
            Some(Reason::KeyKindChanged)
        } else {
            None
        }
    }

    /// An order that does not lead to what is wanted, or that has led there.
    fn stale_order(&self, case: &Case<'_>) -> bool {
        let Some(order) = self.ledger.orders.get(case.secret) else { return false };
        if self.ledger.running.contains_key(case.secret) {
            return false;
        }
        let for_this = case.issuer.is_some_and(|issuer| order.spec == spec_fingerprint(case.want, issuer));
        !for_this || case.reason(self.now).is_none()
    }

    /// When the CA is asked for its advice: at once for a certificate without any, and never for one that is due or expired.
    fn poll_at(&self, case: &Case<'_>) -> Option<SystemTime> {
        let held = case.held.filter(|held| matches!(case.issuer, Some(Issuer::Acme(_))) && held.not_after > self.now)?;
        if case.reason(self.now).is_some() || self.ledger.polling.contains(case.secret) || self.ledger.running.contains_key(case.secret) {
            return None;
        }
        let advice = case.record.and_then(|record| record.advice.as_ref()).filter(|advice| advice.not_after == held.not_after);
        Some(advice.map_or(self.now, |advice| advice.next_poll))
    }
}

impl<'a> Case<'a> {
    fn payer(&self) -> &'a str {
        self.want.payer(self.secret)
    }

    fn reason(&self, now: SystemTime) -> Option<Reason> {
        self.defect.or_else(|| self.renew_at.is_some_and(|at| at <= now).then_some(Reason::RenewalDue))
    }

    /// When time alone makes the next attempt possible.
    fn next_attempt(&self, now: SystemTime) -> Option<SystemTime> {
        self.issuer?;
        let retry = self.failure.map(|failure| failure.retry_at);
        let due = if self.defect.is_some() { retry } else { self.renew_at.max(retry) };
        due.filter(|at| *at > now)
    }

    fn ready_to_start(&self, ledger: &Ledger, now: SystemTime) -> bool {
        let waits = self.failure.is_some_and(|failure| failure.retry_at > now);
        self.issuer.is_some() && !self.want.names.is_empty() && self.reason(now).is_some() && !waits && !ledger.running.contains_key(self.secret)
    }

    fn state(&self, now: SystemTime) -> CertificateState {
        let failure = self.impossible(now).or_else(|| {
            let FailureRecord { message, attempts, retry_at, .. } = self.failure?;
            Some(Failure { message: message.clone(), attempts: *attempts, retry_at: *retry_at })
        });
        match (self.defect, self.renew_at, failure) {
            (None, Some(renew_at), renewal_failure) => CertificateState::Ready { renew_at, renewal_failure },
            (_, _, Some(failure)) => CertificateState::Failed(failure),
            (_, _, None) => CertificateState::Issuing,
        }
    }

    /// What no attempt can mend.
    fn impossible(&self, now: SystemTime) -> Option<Failure> {
        let message = if self.issuer.is_none() {
            format!("{} does not exist or cannot be used", self.want.issuer)
        } else if self.want.names.is_empty() {
            "no name is asked for".to_owned()
        } else {
            return None;
        };
        Some(Failure { message, attempts: 0, retry_at: now + Duration::from_secs(24 * 60 * 60) })
    }
}

/// Lets as many due cases start as the limits allow. What is most urgent goes first within a namespace; namespaces take turns, the one that had
/// least and longest ago first. Two attempts about one name never run at once: their challenges would be in each other's way.
fn admit(mut due: Vec<Case<'_>>, ledger: &Ledger, limits: Limits) -> Vec<Action> {
    let urgency = |case: &Case<'_>| case.held.filter(|_| case.defect.is_none()).map(|held| held.not_after);
    due.sort_by_cached_key(|case| (urgency(case), case.secret));
    let mut turns: BTreeMap<(&IssuerId, &str), usize> = BTreeMap::new();
    let mut running: BTreeMap<&IssuerId, usize> = BTreeMap::new();
    let mut busy: BTreeSet<&str> = BTreeSet::new();
    for attempt in ledger.running.values() {
        *turns.entry((&attempt.issuer, &attempt.payer)).or_default() += 1;
        *running.entry(&attempt.issuer).or_default() += 1;
        busy.extend(attempt.names.iter().map(String::as_str));
    }
    let mut ranked: Vec<_> = due.iter().map(|case| (rank(case, &mut turns), case)).collect();
    ranked.sort_by_key(|(turn, case)| (*turn, ledger.served.get(case.payer()), urgency(case), case.secret));
    let mut actions = Vec::new();
    for (_, case) in ranked {
        let with_issuer = running.entry(&case.want.issuer).or_default();
        if *with_issuer >= limits.per_issuer || case.want.names.iter().any(|name| busy.contains(name.as_str())) {
            continue;
        }
        *with_issuer += 1;
        busy.extend(case.want.names.iter().map(String::as_str));
        // Only cases with a reason come here; it is computed from the same facts.
        let reason = case.defect.unwrap_or(Reason::RenewalDue);
        actions.push(Action::Issue { secret: case.secret.clone(), reason });
    }
    actions
}

/// The how-manieth attempt of its namespace with its issuer this would be.
fn rank<'a>(case: &Case<'a>, turns: &mut BTreeMap<(&'a IssuerId, &'a str), usize>) -> usize {
    let turn = turns.entry((&case.want.issuer, case.payer())).or_default();
    *turn += 1;
    *turn
}

#[cfg(test)]
mod tests;
