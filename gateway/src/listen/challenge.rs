//! The certificate that answers a TLS-ALPN-01 challenge (RFC 8737 section 3).

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

/// The protocol that the certificate authority offers, alone.
pub(super) const ACME_TLS: &[u8] = b"acme-tls/1";

/// The answer could not be made; the fault is ours.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChallengeError {
    #[error("cannot make the challenge certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("cannot serve the challenge certificate: {0}")]
    Tls(#[from] rustls::Error),
}

/// A configuration that answers the challenge of one name and nothing else: a self-signed certificate with the name as its only subject alternative name
/// and the digest of the key authorization in the critical extension `acmeIdentifier`.
pub(super) fn challenge_config(name: &str, digest: &[u8; 32]) -> Result<ServerConfig, ChallengeError> {
    let key = rcgen::KeyPair::generate()?;
    let mut parameters = rcgen::CertificateParams::new(vec![name.to_owned()])?;
    parameters.custom_extensions.push(rcgen::CustomExtension::new_acme_identifier(digest));
    let certificate = parameters.self_signed(&key)?;
    let provider = aws_lc_rs::default_provider();
    let signing_key = provider.key_provider.load_private_key(PrivateKeyDer::Pkcs8(key.serialize_der().into()))?;
    // Not through `CertifiedKey::from_der`: it refuses the critical extension, which it does not know.
    let certified = CertifiedKey::new(vec![certificate.der().clone()], signing_key);
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(rustls::ALL_VERSIONS)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    Ok(config)
}
