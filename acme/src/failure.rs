//! What can go wrong with an attempt, by who has to do what about it, and how an answer of the CA is told apart.

use std::collections::BTreeSet;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// What kind of failure ended an attempt; decides how long the next one waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FailureKind {
    /// The CA's limit is used up.
    RateLimited,
    /// The CA does not answer, or answers with an error of its own.
    Unavailable,
    /// The CA looked and did not find the proof.
    Validation,
    /// The CA will not issue this: policy, CAA, a name or key that it does not take.
    Rejected,
    /// The account is not there, not valid, or has something to accept.
    Account,
    /// Our own listeners do not give the answer yet: the CA was not asked.
    SelfCheck,
    /// The fault is here: a file that cannot be written, an issuer that cannot be used.
    Local,
}

impl FailureKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [Self::RateLimited, Self::Unavailable, Self::Validation, Self::Rejected, Self::Account, Self::SelfCheck, Self::Local];

    /// The kind as a metric's label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::Validation => "validation",
            Self::Rejected => "rejected",
            Self::Account => "account",
            Self::SelfCheck => "self_check",
            Self::Local => "local",
        }
    }
}

/// Why an attempt ended without a certificate.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct AttemptFailure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// What happened, in the CA's words where it spoke.
    pub message: String,
    /// When the server wants to be asked again.
    pub retry_after: Option<SystemTime>,
    /// Names for which the next attempt should try another kind of challenge.
    pub other_challenge: BTreeSet<String>,
}

impl AttemptFailure {
    /// A failure with nothing more to say.
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: bounded(message.into()), retry_after: None, other_challenge: BTreeSet::new() }
    }

    /// A failure of our own.
    pub(crate) fn local(message: impl std::fmt::Display) -> Self {
        Self::new(FailureKind::Local, message.to_string())
    }
}

/// The longest message that is kept, in bytes: a CA may say a lot, and it goes into a status.
const LONGEST_MESSAGE: usize = 2048;

fn bounded(mut message: String) -> String {
    if message.len() > LONGEST_MESSAGE {
        message.truncate(message.floor_char_boundary(LONGEST_MESSAGE));
        message.push('…');
    }
    message
}

/// The kind of an ACME problem document (RFC 8555 section 6.7, RFC 9773 section 7.4).
pub(crate) fn kind_of_problem(problem_type: Option<&str>, status: Option<u16>) -> FailureKind {
    let name = problem_type.and_then(|full| full.strip_prefix("urn:ietf:params:acme:error:")).unwrap_or_default();
    match name {
        "rateLimited" => FailureKind::RateLimited,
        "serverInternal" | "badNonce" => FailureKind::Unavailable,
        "connection" | "dns" | "incorrectResponse" | "tls" | "unauthorized" => FailureKind::Validation,
        "accountDoesNotExist" | "externalAccountRequired" | "userActionRequired" | "invalidContact" | "unsupportedContact" => FailureKind::Account,
        "" => match status {
            Some(429) => FailureKind::RateLimited,
            Some(400..=499) => FailureKind::Rejected,
            _ => FailureKind::Unavailable,
        },
        _ => FailureKind::Rejected,
    }
}

/// Says a problem in the CA's words: its detail, its type without the common prefix, and its subproblems.
pub(crate) fn words(problem: &instant_acme::Problem) -> String {
    let mut said = say(problem.detail.as_deref(), problem.r#type.as_deref());
    for sub in &problem.subproblems {
        let name = sub.identifier.as_ref().map(|identifier| identifier.authorized(false).to_string());
        let prefix = name.map(|name| format!("{name}: ")).unwrap_or_default();
        said.push_str(&format!("; {prefix}{}", say(sub.detail.as_deref(), sub.r#type.as_deref())));
    }
    said
}

fn say(detail: Option<&str>, problem_type: Option<&str>) -> String {
    let name = problem_type.map(|full| full.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(full));
    match (detail, name) {
        (Some(detail), Some(name)) => format!("{detail} ({name})"),
        (Some(only), None) | (None, Some(only)) => only.to_owned(),
        (None, None) => "no reason given".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{AttemptFailure, FailureKind, LONGEST_MESSAGE, kind_of_problem, words};

    #[test]
    fn problem_types_fall_into_kinds() {
        let rows = [
            ("rateLimited", Some(429), FailureKind::RateLimited),
            ("serverInternal", Some(500), FailureKind::Unavailable),
            ("connection", Some(400), FailureKind::Validation),
            ("unauthorized", Some(403), FailureKind::Validation),
            ("rejectedIdentifier", Some(400), FailureKind::Rejected),
            ("caa", Some(403), FailureKind::Rejected),
            ("accountDoesNotExist", Some(400), FailureKind::Account),
            ("somethingNew", Some(400), FailureKind::Rejected),
        ];
        for (name, status, kind) in rows {
            assert_eq!(kind_of_problem(Some(&format!("urn:ietf:params:acme:error:{name}")), status), kind, "{name}");
        }
        assert_eq!(kind_of_problem(None, Some(429)), FailureKind::RateLimited);
        assert_eq!(kind_of_problem(None, Some(503)), FailureKind::Unavailable);
        assert_eq!(kind_of_problem(None, None), FailureKind::Unavailable);
    }

    #[test]
    fn the_words_of_the_ca_include_its_subproblems() {
        let problem = serde_json::from_str(
            r#"{"type":"urn:ietf:params:acme:error:malformed","detail":"Some were rejected","subproblems":[
                {"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"no","identifier":{"type":"dns","value":"a.example"}}]}"#,
        )
        .unwrap();
        assert_eq!(words(&problem), "Some were rejected (malformed); a.example: no (rejectedIdentifier)");
    }

    #[test]
    fn a_very_long_message_is_cut_at_a_character() {
        let failure = AttemptFailure::new(FailureKind::Local, "é".repeat(LONGEST_MESSAGE));
        assert!(failure.message.len() <= LONGEST_MESSAGE + 3 && failure.message.ends_with('…'));
    }
}
