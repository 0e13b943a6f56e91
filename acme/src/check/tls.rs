//! The TLS question: a handshake with ALPN `acme-tls/1`, and a look at the certificate's acmeIdentifier (RFC 8737 section 3).

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, PeerIncompatible, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_parser::extensions::GeneralName;

use crate::certificate::parse;
use crate::transport::causes;

const ALPN: &[u8] = b"acme-tls/1";
/// `id-pe-acmeIdentifier`.
const ACME_IDENTIFIER: &str = "1.3.6.1.5.5.7.1.31";

pub(super) async fn ask(listener: SocketAddr, host: &str, digest: &[u8; 32]) -> Result<(), String> {
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let connector = TlsConnector::from(Arc::new(config().map_err(|error| causes(&error))?));
    let stream = TcpStream::connect(listener).await.map_err(|error| error.to_string())?;
    let stream = connector.connect(name, stream).await.map_err(|error| causes(&error))?;
    let session = stream.get_ref().1;
    if session.alpn_protocol() != Some(ALPN) {
        return Err("the listener did not choose acme-tls/1".to_owned());
    }
    let leaf = session.peer_certificates().and_then(<[_]>::first).ok_or("no certificate came")?;
    judge(leaf, host, digest)
}

fn judge(leaf: &CertificateDer<'_>, host: &str, digest: &[u8; 32]) -> Result<(), String> {
    let certificate = parse(leaf).map_err(|error| error.to_string())?;
    let names = certificate.subject_alternative_name().ok().flatten().map(|extension| &extension.value.general_names);
    if !names.is_some_and(|names| matches!(names.as_slice(), [GeneralName::DNSName(name)] if name.eq_ignore_ascii_case(host))) {
        return Err(format!("the certificate is not for {host} alone"));
    }
    let identifier = certificate.extensions().iter().find(|extension| extension.oid.to_id_string() == ACME_IDENTIFIER);
    let identifier = identifier.ok_or("the certificate has no acmeIdentifier")?;
    // An OCTET STRING of 32 octets.
    if identifier.critical && identifier.value == [&[4, 32], digest.as_slice()].concat() {
        Ok(())
    } else {
        Err("the certificate's acmeIdentifier is not critical, or for another challenge".to_owned())
    }
}

fn config() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&rustls::version::TLS13])?;
    let mut config = builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate { provider })).with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// Takes any certificate: the one for a challenge signs itself, and is judged by its content. Nothing is sent over the connection.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(&self, _: &[u8], _: &CertificateDer<'_>, _: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
        // Not offered.
        Err(rustls::Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // By the key alone: the usual way refuses the certificate for its critical acmeIdentifier, which it does not know.
        let certificate = parse(certificate).map_err(|_| rustls::Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let key = SubjectPublicKeyInfoDer::from(certificate.public_key().raw);
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
