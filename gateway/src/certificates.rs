//! Which certificate answers for a server name: exact name, then the one-label wildcard, then the default. Pure.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::sign::CertifiedKey;

/// A certificate chain with its key, parsed once and shared by all snapshots that hold it.
#[derive(Debug)]
pub struct ParsedCertificate {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
    not_before: SystemTime,
    not_after: SystemTime,
}

/// Why a chain and key cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The chain has no certificate.
    #[error("the chain holds no PEM block CERTIFICATE")]
    NoCertificate,
}

impl ParsedCertificate {
    /// Parses a chain (leaf first) and its private key (PKCS#8, PKCS#1 or SEC1), both PEM. An expired certificate is accepted.
    ///
    /// # Errors
    /// Names which of the two cannot be used, and why.
    pub fn parse(_chain_pem: &[u8], _key_pem: &[u8]) -> Result<Self, CertificateError> {
        Err(CertificateError::NoCertificate)
    }

    /// The chain and key as the TLS server uses them.
    #[must_use]
    pub const fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    /// DNS names of the leaf (subject alternative names), lower case, as they are written there.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Since when the leaf is valid.
    #[must_use]
    pub const fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// Until when the leaf is valid.
    #[must_use]
    pub const fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Whether the leaf is for this host or wildcard (`*.example.org`), lower case.
    #[must_use]
    pub fn is_for(&self, _name: &str) -> bool {
        false
    }
}

/// Certificates by server name.
#[derive(Debug, Default)]
pub struct CertificateTable {
    default: Option<Arc<ParsedCertificate>>,
}

impl CertificateTable {
    /// Builds the table from names (a host, or `*.suffix`; lower case) with their certificates; the first entry of a name is kept. An entry whose
    /// certificate is not for its name ([`ParsedCertificate::is_for`]) is left out: such a host is answered with the default, as by ingress-nginx.
    ///
    /// `default` answers for all other names; without it a self-signed certificate does, made when the gateway starts.
    #[must_use]
    pub fn build(_entries: impl IntoIterator<Item = (String, Arc<ParsedCertificate>)>, default: Option<Arc<ParsedCertificate>>) -> Self {
        Self { default }
    }

    /// The certificate for a server name: exact, else the wildcard one label up. `None`: the default answers.
    #[must_use]
    pub fn resolve(&self, _server_name: &str) -> Option<&Arc<CertifiedKey>> {
        None
    }

    /// The configured default.
    #[must_use]
    pub fn default_certificate(&self) -> Option<&Arc<ParsedCertificate>> {
        self.default.as_ref()
    }

    /// Whether a certificate other than the default answers for this host.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        self.resolve(host).is_some()
    }

    /// All names with their certificates, in no particular order.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Arc<ParsedCertificate>)> {
        std::iter::empty()
    }
}
