//! What is known of each certificate besides the certificate itself: failures, the CA's advice, orders under way. Plain values, kept by the store.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::failure::FailureKind;
use crate::renewal::RenewalAdvice;
use crate::{Issuer, IssuerId, SecretName, Wanted};

/// Everything that `plan` needs to know of the past and of what runs now.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// What is known of each certificate; survives a restart.
    pub records: BTreeMap<SecretName, Record>,
    /// Orders that the CA has; they survive a restart.
    pub orders: BTreeMap<SecretName, OrderRecord>,
    /// Attempts that run now.
    pub running: BTreeMap<SecretName, Running>,
    /// Certificates whose advice is being asked for now.
    pub polling: BTreeSet<SecretName>,
    /// When each namespace last had an attempt started, for fairness.
    pub served: BTreeMap<String, SystemTime>,
}

/// An attempt that runs now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// With whom.
    pub issuer: IssuerId,
    /// Whose turn it takes.
    pub payer: String,
    /// For which names: no other attempt may be about one of them.
    pub names: BTreeSet<String>,
}

/// What is known of one certificate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Record {
    /// The last attempt, when it failed.
    pub failure: Option<FailureRecord>,
    /// The CA's advice.
    pub advice: Option<RenewalAdvice>,
    /// How often each name's challenge was changed after it failed.
    pub challenge_turns: BTreeMap<String, u32>,
}

/// A failed attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureRecord {
    /// What was wanted then ([`spec_fingerprint`]): a change starts afresh.
    pub spec: String,
    /// What kind of failure.
    pub kind: FailureKind,
    /// In the CA's words where it spoke.
    pub message: String,
    /// Failures in a row.
    pub attempts: u32,
    /// When the next attempt starts.
    pub retry_at: SystemTime,
}

/// An order that the CA has. Holds the private key of the certificate to come.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderRecord {
    /// URL of the order.
    pub url: String,
    /// What it was made for ([`spec_fingerprint`]).
    pub spec: String,
    /// Private key, PKCS#8 PEM.
    pub key_pem: String,
    /// When it was made.
    pub created: SystemTime,
}

impl std::fmt::Debug for OrderRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OrderRecord").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Tells one signer from another: the server's URL, or the CA's certificate.
#[must_use]
pub fn issuer_fingerprint(issuer: &Issuer) -> String {
    match issuer {
        Issuer::Acme(acme) => digest(["acme", &acme.server]),
        Issuer::SelfSigned => digest(["selfSigned", ""]),
        Issuer::Ca(ca) => digest(["ca", &ca.chain_pem]),
    }
}

/// Tells one request from another: everything that, when changed, makes a new attempt worth while.
#[must_use]
pub fn spec_fingerprint(wanted: &Wanted, issuer: &Issuer) -> String {
    let account = match issuer {
        Issuer::Acme(acme) => format!("{:?}", (&acme.email, &acme.ca_bundle, &acme.account_key, &acme.profile)),
        Issuer::SelfSigned | Issuer::Ca(_) => String::new(),
    };
    let request = format!("{:?}", (&wanted.names, &wanted.issuer, wanted.key, wanted.duration, &wanted.challenges));
    digest([&issuer_fingerprint(issuer), &account, &request])
}

/// Hex of the first half of a SHA-256 digest over the parts, each ended by a zero byte.
pub(crate) fn digest<const N: usize>(parts: [&str; N]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
