//! Reads certificates: names, validity, the kind of their key. Pure. What it does not do: decide whether a client would trust them.

use std::time::{Duration, SystemTime};

use rcgen::PublicKeyData;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::{HeldCertificate, KeyKind};

/// Why a certificate cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// There is no certificate in the PEM text, or it is no PEM text.
    #[error("no certificate in PEM form")]
    NoCertificate,
    /// The certificate's DER does not parse.
    #[error("the certificate cannot be parsed: {0}")]
    Unreadable(String),
    /// The private key does not parse, or is of a kind that cannot be used.
    #[error("the private key cannot be parsed: {0}")]
    UnreadableKey(String),
    /// The key belongs to another certificate.
    #[error("the private key does not belong to the certificate")]
    OtherKey,
}

impl HeldCertificate {
    /// Reads a chain (leaf first) and its key, and makes sure that they belong together.
    ///
    /// # Errors
    /// When one of them does not parse, or the key belongs to another certificate.
    pub fn from_pem(chain_pem: String, key_pem: String, ca_pem: Option<String>, issuer: String) -> Result<Self, CertificateError> {
        let der = leaf(&chain_pem)?;
        let certificate = parse(&der)?;
        let key = rcgen::KeyPair::from_pem(&key_pem).map_err(|error| CertificateError::UnreadableKey(error.to_string()))?;
        if key.subject_public_key_info() != certificate.public_key().raw {
            return Err(CertificateError::OtherKey);
        }
        let (names, key_kind) = (dns_names(&certificate), key_kind(certificate.public_key()));
        let validity = certificate.validity();
        let (not_before, not_after) = (time_at(validity.not_before.timestamp()), time_at(validity.not_after.timestamp()));
        Ok(Self { chain_pem, key_pem, ca_pem, names, not_before, not_after, issuer, signer: None, key_kind })
    }

    /// The identifier that ARI knows this certificate by (RFC 9773 section 4.1); `None` when it has no authority key identifier.
    #[must_use]
    pub fn ari_identifier(&self) -> Option<String> {
        ari_identifier(&leaf(&self.chain_pem).ok()?).map(|identifier| identifier.to_string())
    }
}

/// See [`HeldCertificate::ari_identifier`].
pub(crate) fn ari_identifier(leaf: &CertificateDer<'_>) -> Option<instant_acme::CertificateIdentifier<'static>> {
    instant_acme::CertificateIdentifier::try_from(leaf).ok().map(instant_acme::CertificateIdentifier::into_owned)
}

/// The first certificate of a chain.
pub(crate) fn leaf(chain_pem: &str) -> Result<CertificateDer<'static>, CertificateError> {
    CertificateDer::from_pem_slice(chain_pem.as_bytes()).map_err(|_| CertificateError::NoCertificate)
}

/// Parses one certificate.
pub(crate) fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, CertificateError> {
    let parsed = x509_parser::parse_x509_certificate(der.as_ref());
    parsed.map(|(_, certificate)| certificate).map_err(|error| CertificateError::Unreadable(error.to_string()))
}

/// A time that X.509 gives, in seconds since 1970.
pub(crate) fn time_at(timestamp: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(timestamp).unwrap_or(0))
}

fn dns_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let extension = certificate.subject_alternative_name().ok().flatten();
    let names = extension.iter().flat_map(|extension| &extension.value.general_names);
    names.filter_map(|name| if let GeneralName::DNSName(name) = name { Some(name.to_ascii_lowercase()) } else { None }).collect()
}

/// The kind of a public key; `None` for kinds that are never issued here.
fn key_kind(spki: &SubjectPublicKeyInfo<'_>) -> Option<KeyKind> {
    if spki.algorithm.algorithm.to_id_string() == "1.3.101.112" {
        return Some(KeyKind::Ed25519);
    }
    match spki.parsed().ok()? {
        PublicKey::RSA(key) => u16::try_from(key.key_size()).ok().map(KeyKind::Rsa),
        PublicKey::EC(_) => match spki.algorithm.parameters.as_ref()?.as_oid().ok()?.to_id_string().as_str() {
            "1.2.840.10045.3.1.7" => Some(KeyKind::EcdsaP256),
            "1.3.132.0.34" => Some(KeyKind::EcdsaP384),
            _ => None,
        },
        _ => None,
    }
}
