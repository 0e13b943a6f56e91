//! Certificates for the tests of everything that keeps and serves them.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use acme::sign::{new_key, self_signed};
use acme::{HeldCertificate, IssuerId, KeyKind, SecretName, Wanted};

/// The name of a Secret.
pub(crate) fn secret(namespace: &str, name: &str) -> SecretName {
    SecretName { namespace: namespace.to_owned(), name: name.to_owned() }
}

/// A wish for a certificate of one name.
pub(crate) fn wanted(name: &str) -> Wanted {
    Wanted {
        names: [name.to_owned()].into(),
        issuer: IssuerId { namespace: None, name: "le".to_owned() },
        key: KeyKind::EcdsaP256,
        duration: None,
        renew_before: None,
        challenges: BTreeMap::new(),
        obtained_for: None,
        wanted_by: String::new(),
        secret_annotations: BTreeMap::new(),
        secret_labels: BTreeMap::new(),
    }
}

/// What meets it; another one each time.
pub(crate) fn certificate(name: &str) -> HeldCertificate {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    self_signed(&wanted(name), &new_key(KeyKind::EcdsaP256).unwrap(), now).unwrap()
}
