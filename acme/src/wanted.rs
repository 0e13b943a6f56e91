//! What certificates are wanted, from whom. Plain values.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Everything that is wanted now; replaces what was wanted before.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WantedSet {
    /// Issuers that certificates refer to.
    pub issuers: BTreeMap<IssuerId, Issuer>,
    /// Wanted certificates by the Secret they are kept in.
    pub certificates: BTreeMap<SecretName, Wanted>,
}

/// Namespace and name of a Secret. Certificates of the platform itself (the wildcards, the default) are in [`SecretName::PLATFORM`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl SecretName {
    /// The namespace for what belongs to the platform. The leading underscore keeps it from being any tenant's: no Kubernetes namespace can start
    /// with one.
    pub const PLATFORM: &'static str = "_platform";
}

impl std::fmt::Display for SecretName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Which Issuer or ClusterIssuer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IssuerId {
    /// Namespace of an Issuer; `None` for a ClusterIssuer.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl std::fmt::Display for IssuerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "Issuer {namespace}/{}", self.name),
            None => write!(f, "ClusterIssuer {}", self.name),
        }
    }
}

/// Who signs.
#[derive(Debug, Clone, PartialEq)]
pub enum Issuer {
    /// An ACME server (RFC 8555).
    Acme(AcmeIssuer),
    /// Each certificate signs itself.
    SelfSigned,
    /// A key pair that is held here (cert-manager's `ca`).
    Ca(CaKeyPair),
}

/// The key pair of a CA issuer.
#[derive(Clone, PartialEq, Eq)]
pub struct CaKeyPair {
    /// Certificate and its chain, PEM.
    pub chain_pem: String,
    /// Private key, PKCS#8 PEM.
    pub key_pem: String,
}

impl std::fmt::Debug for CaKeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CaKeyPair(…)")
    }
}

/// An ACME server and the account with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeIssuer {
    /// URL of the directory.
    pub server: String,
    /// Contact; may be empty.
    pub email: String,
    /// PEM bundle that the server's own certificate is verified with; `None` for the system's roots.
    pub ca_bundle: Option<String>,
    /// Secret for the account key (`privateKeySecretRef`). One account per (server, Secret).
    pub account_key: SecretName,
    /// Profile to ask for (`profile`), if any.
    pub profile: Option<String>,
}

/// One certificate that is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// DNS names, lower case A-labels, at least one; `*.` wildcards allowed.
    pub names: BTreeSet<String>,
    /// Who is to sign.
    pub issuer: IssuerId,
    /// Kind of the private key; a new key is made for each certificate.
    pub key: KeyKind,
    /// Lifetime to ask for; for selfSigned and CA issuers. ACME servers choose their own.
    pub duration: Option<Duration>,
    /// When to renew, if the object says so.
    pub renew_before: Option<RenewBefore>,
    /// Challenges that may be used for a name, the preferred one first. Names that are missing here cannot be validated.
    pub challenges: BTreeMap<String, Vec<ChallengeKind>>,
    /// The namespace that it is obtained for, where its Secret is in another one: attempts take its turn, not the platform's.
    pub obtained_for: Option<String>,
    /// The object that wants it, `Kind namespace/name`, for problems and logs.
    pub wanted_by: String,
    /// Labels and annotations for the Secret (cert-manager's, and `secretTemplate`).
    pub secret_annotations: BTreeMap<String, String>,
    /// See `secret_annotations`.
    pub secret_labels: BTreeMap<String, String>,
}

impl Wanted {
    /// The namespace whose turn an attempt takes.
    #[must_use]
    pub fn payer<'a>(&'a self, secret: &'a SecretName) -> &'a str {
        self.obtained_for.as_deref().unwrap_or(&secret.namespace)
    }
}

/// Kind of a private key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on P-256.
    #[default]
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// RSA with a modulus of this many bits: 2048, 3072 or 4096.
    Rsa(u16),
    /// Ed25519.
    Ed25519,
}

/// When a certificate is renewed, before its end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RenewBefore {
    /// This long before.
    Duration(Duration),
    /// When this share of its lifetime, 1 to 99 percent, is left.
    Percentage(u8),
}

/// How control over a name is shown (RFC 8555 section 8, RFC 8737).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChallengeKind {
    /// A resource on port 80.
    Http01,
    /// A TXT record below `_acme-challenge`.
    Dns01,
    /// A certificate under ALPN `acme-tls/1` on port 443.
    TlsAlpn01,
}

/// As RFC 8555 and RFC 8737 name it.
impl std::fmt::Display for ChallengeKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Http01 => "http-01",
            Self::Dns01 => "dns-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        })
    }
}
