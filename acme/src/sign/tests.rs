//! What is signed here, read by another library.
#![allow(clippy::unwrap_used, clippy::panic)]
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::{SignError, new_key, self_signed, signed_by_ca};
use crate::certificate::CertificateError;
use crate::{CaKeyPair, HeldCertificate, IssuerId, KeyKind, Wanted};

const DAY: Duration = Duration::from_secs(86_400);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + DAY * 20_000
}

fn wanted(names: &[&str], duration: Option<Duration>) -> Wanted {
    Wanted {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        issuer: IssuerId { namespace: Some("team".to_owned()), name: "local".to_owned() },
        key: KeyKind::EcdsaP256,
        duration,
        renew_before: None,
        challenges: BTreeMap::new(),
        obtained_for: None,
        wanted_by: String::new(),
        secret_annotations: BTreeMap::new(),
        secret_labels: BTreeMap::new(),
    }
}

fn ca(is_ca: bool, days: u32) -> CaKeyPair {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = if is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
    params.not_before = now().into();
    params.not_after = (now() + DAY * days).into();
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    CaKeyPair { chain_pem: issuer.pem(), key_pem: issuer.key().serialize_pem() }
}

#[test]
fn every_kind_of_key_signs_and_is_recognised() {
    let kinds = [KeyKind::EcdsaP256, KeyKind::EcdsaP384, KeyKind::Rsa(2048), KeyKind::Ed25519];
    for kind in kinds {
        let certificate = self_signed(&wanted(&["a.example"], None), &new_key(kind).unwrap(), now()).unwrap();
        assert_eq!(certificate.key_kind, Some(kind));
    }
    assert!(matches!(new_key(KeyKind::Rsa(1024)), Err(SignError::RsaSize(1024))));
}

#[test]
fn self_signed_certificates_say_what_was_asked() {
    let key = new_key(KeyKind::EcdsaP256).unwrap();
    let made = self_signed(&wanted(&["*.a.example", "a.example"], Some(DAY * 3)), &key, now()).unwrap();
    let expected = HeldCertificate {
        chain_pem: made.chain_pem.clone(),
        key_pem: key.serialize_pem(),
        ca_pem: Some(made.chain_pem.clone()),
        names: vec!["*.a.example".to_owned(), "a.example".to_owned()],
        not_before: now(),
        not_after: now() + DAY * 3,
        issuer: "Issuer team/local".to_owned(),
        signer: None,
        key_kind: Some(KeyKind::EcdsaP256),
    };
    assert_eq!(made, expected);
}

#[test]
fn a_ca_signs_with_its_root_beside_and_not_beyond_its_own_end() {
    let key = new_key(KeyKind::EcdsaP256).unwrap();
    let ca = ca(true, 50);
    let made = signed_by_ca(&wanted(&["a.example"], None), &key, &ca, now()).unwrap();
    assert_eq!(made.not_after, now() + DAY * 50);
    assert_eq!(made.ca_pem.as_deref().map(|pem| pem.replace("\r\n", "\n")), Some(ca.chain_pem.replace("\r\n", "\n")));
    assert_eq!(made.chain_pem.matches("BEGIN CERTIFICATE").count(), 1);
    assert!(made.ari_identifier().is_some());
}

#[test]
fn an_unusable_ca_is_refused_with_the_reason() {
    let key = new_key(KeyKind::EcdsaP256).unwrap();
    let sign = |ca: &CaKeyPair, at| signed_by_ca(&wanted(&["a.example"], None), &key, ca, at);
    let other_key = CaKeyPair { key_pem: key.serialize_pem(), ..ca(true, 50) };
    assert!(matches!(sign(&other_key, now()), Err(SignError::Ca(CertificateError::OtherKey))));
    assert!(matches!(sign(&ca(false, 50), now()), Err(SignError::NotACa)));
    assert!(matches!(sign(&ca(true, 50), now() + DAY * 50), Err(SignError::CaExpired)));
    let nothing = CaKeyPair { chain_pem: "nothing".to_owned(), key_pem: String::new() };
    assert!(matches!(sign(&nothing, now()), Err(SignError::Ca(CertificateError::NoCertificate))));
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let made = self_signed(&wanted(&["a.example"], None), &new_key(KeyKind::EcdsaP256).unwrap(), now()).unwrap();
    let other = new_key(KeyKind::EcdsaP256).unwrap().serialize_pem();
    let read = |chain: &str, key: String| HeldCertificate::from_pem(chain.to_owned(), key, None, String::new()).map(|held| held.names);
    assert_eq!(read(&made.chain_pem, made.key_pem.clone()), Ok(vec!["a.example".to_owned()]));
    assert_eq!(read(&made.chain_pem, other), Err(CertificateError::OtherKey));
    assert_eq!(read("", made.key_pem), Err(CertificateError::NoCertificate));
}
