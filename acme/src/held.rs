//! What is held and under way, as this crate publishes it. Plain values.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use crate::{KeyKind, SecretName};

/// Everything that is held now.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Held {
    /// Certificates that are on disk, by Secret. A certificate stays here, and served, while its successor is being ordered.
    pub certificates: BTreeMap<SecretName, Arc<HeldCertificate>>,
    /// State of each wanted certificate.
    pub states: BTreeMap<SecretName, CertificateState>,
    /// Challenges that must be answered now.
    pub challenges: Challenges,
}

/// One certificate with its key.
#[derive(Clone, PartialEq, Eq)]
pub struct HeldCertificate {
    /// Leaf and chain, PEM.
    pub chain_pem: String,
    /// Private key, PKCS#8 PEM.
    pub key_pem: String,
    /// The issuing CA's certificate, PEM, where the issuer is not public (`ca.crt`).
    pub ca_pem: Option<String>,
    /// DNS names of the leaf.
    pub names: Vec<String>,
    /// Validity of the leaf.
    pub not_before: SystemTime,
    /// Validity of the leaf.
    pub not_after: SystemTime,
    /// Who signed, as the object names it ([`crate::IssuerId`] in words).
    pub issuer: String,
    /// Which server or CA that was ([`crate::ledger::issuer_fingerprint`]): the object of the same name may mean another one today. `None` when that is
    /// not known.
    pub signer: Option<String>,
    /// Kind of the private key; `None` when it is of a kind that is never issued here.
    pub key_kind: Option<KeyKind>,
}

impl std::fmt::Debug for HeldCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeldCertificate").field("names", &self.names).field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// Where a wanted certificate stands.
#[derive(Debug, Clone, PartialEq)]
pub enum CertificateState {
    /// An order is under way and there is no certificate yet.
    Issuing,
    /// There is a certificate; it will be renewed at this time.
    Ready {
        /// When the renewal starts.
        renew_at: SystemTime,
        /// The last attempt to renew it, when that failed.
        renewal_failure: Option<Failure>,
    },
    /// The last attempt failed and there is no certificate.
    Failed(Failure),
}

/// A failed attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// What went wrong, in the CA's words where it spoke.
    pub message: String,
    /// How many attempts failed in a row.
    pub attempts: u32,
    /// When the next attempt starts.
    pub retry_at: SystemTime,
}

/// Answers to challenges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Challenges {
    /// HTTP-01: (host, token) to key authorization.
    pub http01: BTreeMap<(String, String), String>,
    /// TLS-ALPN-01: host to the SHA-256 digest of the key authorization.
    pub tls_alpn01: BTreeMap<String, [u8; 32]>,
    /// DNS-01: owner name (`_acme-challenge.…`, lower case, no trailing dot) to TXT values.
    pub dns01: BTreeMap<String, Vec<String>>,
}
