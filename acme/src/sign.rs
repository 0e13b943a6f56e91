//! Makes keys and requests, and signs for the issuers that need no server: `selfSigned` and `ca`. Pure but for the keys themselves.

use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PublicKeyData, RsaKeySize};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use time::OffsetDateTime;

use crate::certificate::{CertificateError, parse, time_at};
use crate::{CaKeyPair, HeldCertificate, KeyKind, Wanted};

/// Lifetime when the object asks for none (cert-manager's default).
const USUAL_LIFETIME: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// The longest common name (RFC 5280, ub-common-name).
const LONGEST_COMMON_NAME: usize = 64;

/// Why a certificate could not be made here.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The key size is none that is made here.
    #[error("RSA keys have 2048, 3072 or 4096 bits, not {0}")]
    RsaSize(u16),
    /// A name, a key or a signature was refused.
    #[error("cannot make the certificate: {0}")]
    Making(#[from] rcgen::Error),
    /// The CA's key pair cannot be used.
    #[error("the issuer's key pair cannot be used: {0}")]
    Ca(#[source] CertificateError),
    /// The CA's certificate is not a CA's.
    #[error("the issuer's certificate is not that of a CA")]
    NotACa,
    /// The CA's certificate is not valid now.
    #[error("the issuer's certificate is not valid now")]
    CaExpired,
    /// What was made does not read back.
    #[error("the certificate that was made cannot be used: {0}")]
    Made(#[source] CertificateError),
}

/// Makes a new private key.
///
/// # Errors
/// For an RSA size that is not made here, or when the library fails.
pub fn new_key(kind: KeyKind) -> Result<KeyPair, SignError> {
    let rsa = |size| KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size);
    Ok(match kind {
        KeyKind::EcdsaP256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?,
        KeyKind::EcdsaP384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384)?,
        KeyKind::Ed25519 => KeyPair::generate_for(&rcgen::PKCS_ED25519)?,
        KeyKind::Rsa(2048) => rsa(RsaKeySize::_2048)?,
        KeyKind::Rsa(3072) => rsa(RsaKeySize::_3072)?,
        KeyKind::Rsa(4096) => rsa(RsaKeySize::_4096)?,
        KeyKind::Rsa(bits) => return Err(SignError::RsaSize(bits)),
    })
}

/// The certificate request for these names, DER. It has no common name: CAs have stopped to set one.
///
/// # Errors
/// When the key does not parse or a name cannot be written into a certificate.
pub fn request(names: impl IntoIterator<Item = String>, key_pem: &str) -> Result<Vec<u8>, SignError> {
    let key = KeyPair::from_pem(key_pem)?;
    let mut params = CertificateParams::new(names.into_iter().collect::<Vec<_>>())?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(&key)?.der().to_vec())
}

/// Signs a certificate with its own key.
///
/// # Errors
/// When a name cannot be written into a certificate or the library fails.
pub fn self_signed(wanted: &Wanted, key: &KeyPair, now: SystemTime) -> Result<HeldCertificate, SignError> {
    let params = params(wanted, key, now, None)?;
    let pem = params.self_signed(key)?.pem();
    read_back(pem.clone(), key, Some(pem), wanted)
}

/// Signs a certificate with the CA's key. It does not outlive the CA's own certificate.
///
/// # Errors
/// When the CA's key pair does not parse or belong together, is not a CA's or not valid now, or when a name cannot be written into a certificate.
pub fn signed_by_ca(wanted: &Wanted, key: &KeyPair, ca: &CaKeyPair, now: SystemTime) -> Result<HeldCertificate, SignError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(ca.chain_pem.as_bytes()).filter_map(Result::ok).collect();
    let first = chain.first().ok_or(SignError::Ca(CertificateError::NoCertificate))?;
    let certificate = parse(first).map_err(SignError::Ca)?;
    let ca_key = KeyPair::from_pem(&ca.key_pem).map_err(|error| SignError::Ca(CertificateError::UnreadableKey(error.to_string())))?;
    if ca_key.subject_public_key_info() != certificate.public_key().raw {
        return Err(SignError::Ca(CertificateError::OtherKey));
    }
    if !certificate.is_ca() {
        return Err(SignError::NotACa);
    }
    let (from, until) = (time_at(certificate.validity().not_before.timestamp()), time_at(certificate.validity().not_after.timestamp()));
    if now < from || now >= until {
        return Err(SignError::CaExpired);
    }
    let issuer = rcgen::Issuer::from_ca_cert_der(first, ca_key)?;
    let leaf = params(wanted, key, now, Some(until))?.signed_by(key, &issuer)?;
    let (intermediates, root) = split(&chain)?;
    read_back(leaf.pem() + &intermediates, key, Some(root), wanted)
}

/// What is served besides the leaf, and what clients must trust: the last certificate of the chain. A self-signed one is not served.
fn split(chain: &[CertificateDer<'_>]) -> Result<(String, String), SignError> {
    let (mut served, mut last) = (String::new(), String::new());
    for der in chain {
        let certificate = parse(der).map_err(SignError::Ca)?;
        last = pem(der);
        if certificate.subject().as_raw() != certificate.issuer().as_raw() {
            served.push_str(&last);
        }
    }
    Ok((served, last))
}

fn pem(der: &CertificateDer<'_>) -> String {
    use base64::Engine as _;
    let text = base64::prelude::BASE64_STANDARD.encode(der.as_ref());
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base64 is ASCII")).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

fn params(wanted: &Wanted, key: &KeyPair, now: SystemTime, until: Option<SystemTime>) -> Result<CertificateParams, SignError> {
    let mut params = CertificateParams::new(wanted.names.iter().cloned().collect::<Vec<_>>())?;
    let end = now + wanted.duration.unwrap_or(USUAL_LIFETIME);
    params.not_before = OffsetDateTime::from(now);
    params.not_after = OffsetDateTime::from(until.map_or(end, |until| end.min(until)));
    params.distinguished_name = DistinguishedName::new();
    if let Some(name) = wanted.names.iter().find(|name| name.len() <= LONGEST_COMMON_NAME) {
        params.distinguished_name.push(DnType::CommonName, name.as_str());
    }
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    if key.is_compatible(&rcgen::PKCS_RSA_SHA256) {
        params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
    }
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn read_back(chain: String, key: &KeyPair, ca: Option<String>, wanted: &Wanted) -> Result<HeldCertificate, SignError> {
    HeldCertificate::from_pem(chain, key.serialize_pem(), ca, wanted.issuer.to_string()).map_err(SignError::Made)
}

#[cfg(test)]
mod tests;
