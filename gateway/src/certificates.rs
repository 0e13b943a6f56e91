//! Which certificate answers for a server name: exact name, then the one-label wildcard, then the default. Pure.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::table::{FoldedHost, HostKey, HostMap, HostPattern};

/// Largest PEM text of a chain or key, in bytes.
const MAX_PEM: usize = 256 * 1024;
/// Most certificates in a chain.
const MAX_CHAIN: usize = 16;

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
    /// The chain or the key is unreasonably large.
    #[error("the PEM text is larger than {MAX_PEM} bytes, or the chain has more than {MAX_CHAIN} certificates")]
    TooLarge,
    /// A PEM block of the chain is damaged.
    #[error("the chain is not valid PEM: {0}")]
    MalformedChain(String),
    /// A certificate of the chain is not X.509.
    #[error("certificate {index} of the chain (0 is the leaf) is not a valid X.509 certificate: {reason}")]
    MalformedCertificate {
        /// Position in the chain.
        index: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no private key.
    #[error("the key holds no PEM block PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY")]
    NoKey,
    /// The PEM block of the key is damaged, or of a kind that cannot sign.
    #[error("the private key cannot be used: {0}")]
    UnusableKey(String),
    /// Key and leaf are both fine, and not of one another.
    #[error("the private key does not belong to the first certificate of the chain")]
    KeyMismatch,
}

impl ParsedCertificate {
    /// Parses a chain (leaf first) and its private key (PKCS#8, PKCS#1 or SEC1), both PEM. An expired certificate is accepted.
    ///
    /// # Errors
    /// Names which of the two cannot be used, and why.
    pub fn parse(chain_pem: &[u8], key_pem: &[u8]) -> Result<Self, CertificateError> {
        if chain_pem.len().max(key_pem.len()) > MAX_PEM {
            return Err(CertificateError::TooLarge);
        }
        let chain = parse_chain(chain_pem)?;
        Self::new(chain, parse_key(key_pem)?)
    }

    /// The self-signed certificate that answers where nothing else does. `key_pair` is new for each process.
    ///
    /// # Errors
    /// The key cannot sign.
    pub(crate) fn self_signed_default(key_pair: &rcgen::KeyPair) -> Result<Self, rcgen::Error> {
        let mut parameters = rcgen::CertificateParams::new(vec!["default.vrata.invalid".to_owned()])?;
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "Vrata default certificate");
        let certificate = parameters.self_signed(key_pair)?;
        let key = PrivateKeyDer::Pkcs8(key_pair.serialize_der().into());
        Self::new(vec![certificate.der().clone()], key).map_err(|_| rcgen::Error::CouldNotParseCertificate)
    }

    fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, CertificateError> {
        let leaf = Leaf::read(&chain)?;
        let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => CertificateError::KeyMismatch,
            other => CertificateError::UnusableKey(other.to_string()),
        })?;
        Ok(Self { key: Arc::new(key), names: leaf.names, not_before: leaf.not_before, not_after: leaf.not_after })
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

    /// Whether the leaf is for this host or wildcard (`*.example.org`), lower case: it names it, or the wildcard one label up (RFC 9525 section 6.3).
    #[must_use]
    pub fn is_for(&self, name: &str) -> bool {
        self.names.iter().any(|own| {
            own == name
                || own.strip_prefix("*.").is_some_and(|suffix| name.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == suffix))
        })
    }
}

/// What is read from the leaf.
struct Leaf {
    names: Vec<String>,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Leaf {
    /// Reads the first certificate and checks that the others are certificates.
    fn read(chain: &[CertificateDer<'_>]) -> Result<Self, CertificateError> {
        let mut leaf = None;
        for (index, der) in chain.iter().enumerate() {
            let malformed = |reason: String| CertificateError::MalformedCertificate { index, reason };
            let (rest, certificate) = X509Certificate::from_der(der).map_err(|error| malformed(error.to_string()))?;
            if !rest.is_empty() {
                return Err(malformed("bytes follow it".to_owned()));
            }
            if leaf.is_none() {
                leaf = Some(Self::of(&certificate).map_err(malformed)?);
            }
        }
        leaf.ok_or(CertificateError::NoCertificate)
    }

    fn of(certificate: &X509Certificate<'_>) -> Result<Self, String> {
        let alternatives = certificate.subject_alternative_name().map_err(|error| error.to_string())?;
        let names = alternatives.map_or_else(Vec::new, |alternatives| {
            let dns = alternatives.value.general_names.iter().filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                _ => None,
            });
            dns.collect()
        });
        let validity = certificate.validity();
        Ok(Self { names, not_before: time(validity.not_before.timestamp()), not_after: time(validity.not_after.timestamp()) })
    }
}

/// Times before 1970 become 1970.
fn time(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

fn parse_chain(chain_pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain_pem).take(MAX_CHAIN + 1).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(CertificateError::NoCertificate),
        Ok(chain) if chain.len() > MAX_CHAIN => Err(CertificateError::TooLarge),
        Ok(chain) => Ok(chain),
        Err(error) => Err(CertificateError::MalformedChain(error.to_string())),
    }
}

fn parse_key(key_pem: &[u8]) -> Result<PrivateKeyDer<'static>, CertificateError> {
    PrivateKeyDer::from_pem_slice(key_pem).map_err(|error| match error {
        pem::Error::NoItemsFound => CertificateError::NoKey,
        other => CertificateError::UnusableKey(other.to_string()),
    })
}

/// Certificates by server name.
#[derive(Debug, Default)]
pub struct CertificateTable {
    names: HostMap<Named>,
    default: Option<Arc<ParsedCertificate>>,
}

#[derive(Debug)]
struct Named {
    name: String,
    certificate: Arc<ParsedCertificate>,
}

impl CertificateTable {
    /// Builds the table from names (a host, or `*.suffix`; lower case) with their certificates; the first entry of a name is kept. An entry whose
    /// certificate is not for its name ([`ParsedCertificate::is_for`]) is left out: such a host is answered with the default, as by ingress-nginx.
    ///
    /// `default` answers for all other names; without it a self-signed certificate does, made when the gateway starts.
    #[must_use]
    pub fn build(entries: impl IntoIterator<Item = (String, Arc<ParsedCertificate>)>, default: Option<Arc<ParsedCertificate>>) -> Self {
        let mut names = HostMap::default();
        for (name, certificate) in entries {
            if certificate.is_for(&name) {
                let exact = || HostPattern::Exact(name.as_str().into());
                let pattern = name.strip_prefix("*.").map_or_else(exact, |suffix| HostPattern::Wildcard(suffix.into()));
                if let Some(key) = HostKey::new(&pattern) {
                    names.add(&key, || Named { name, certificate });
                }
            }
        }
        Self { names, default }
    }

    /// The certificate for a server name, in any case: exact, else the wildcard one label up. `None`: the default answers.
    #[must_use]
    pub fn resolve(&self, server_name: &str) -> Option<&Arc<CertifiedKey>> {
        self.certificate(server_name).map(|certificate| certificate.key())
    }

    /// As [`Self::resolve`], with all that is known of the certificate.
    #[must_use]
    pub fn certificate(&self, server_name: &str) -> Option<&Arc<ParsedCertificate>> {
        Some(&self.names.get(&FoldedHost::new(server_name)?)?.certificate)
    }

    /// The configured default.
    #[must_use]
    pub const fn default_certificate(&self) -> Option<&Arc<ParsedCertificate>> {
        self.default.as_ref()
    }

    /// Whether a certificate other than the default answers for this host.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        self.certificate(host).is_some()
    }

    /// All names with their certificates, in no particular order.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Arc<ParsedCertificate>)> {
        self.names.values().map(|named| (named.name.as_str(), &named.certificate))
    }
}

#[cfg(test)]
mod tests;
