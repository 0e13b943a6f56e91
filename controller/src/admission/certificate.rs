//! The webhook's serving certificate, signed by a CA of its own that the API server is told to trust. Both are renewed when two thirds of their lives are
//! over. A new CA signs from the next leaf on, and the one before it stays trusted until it expires, so that whoever learns of it late is not cut off.
//!
//! Deciding what is due and making it is pure but for the keys themselves; [`Certificates`] keeps the result in the state directory where there is no cluster.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::state::{Durability, StateDir, StateError};

const FILE: &str = "admission/certificates.json";
const DAY: Duration = Duration::from_secs(24 * 3600);
const CA_LIFE: Duration = Duration::from_secs(5 * 365 * 24 * 3600);
const LEAF_LIFE: Duration = Duration::from_secs(90 * 24 * 3600);
/// How far the clocks of API servers may be behind.
const SKEW: Duration = Duration::from_secs(3600);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It could not be made.
    #[error("the webhook's certificate cannot be made: {0}")]
    Making(#[from] rcgen::Error),
    /// It could not be kept.
    #[error(transparent)]
    State(#[from] StateError),
    /// What is kept is not what this program writes.
    #[error("{FILE} in the state directory cannot be read: {0}; remove it, and a new one is made")]
    Corrupt(#[from] serde_json::Error),
    /// It cannot be served.
    #[error("the webhook's certificate cannot be served: {0}")]
    Serving(String),
}

/// A certificate and its key, PEM.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// What is kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    authority: Pair,
    /// Certificate of the CA before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retired: Option<String>,
    leaf: Pair,
    /// Names that the leaf was made for.
    names: Vec<String>,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Kept {
    /// PEM of what clients have to trust: `caBundle` of the webhook's configuration.
    #[must_use]
    pub fn bundle(&self) -> String {
        format!("{}{}", self.authority.certificate, self.retired.as_deref().unwrap_or_default())
    }

    /// What is served.
    pub(super) const fn leaf(&self) -> &Pair {
        &self.leaf
    }
}

/// What is to be kept instead of what is; `None` when nothing is due.
///
/// # Errors
/// When the library fails.
pub fn renew(kept: Option<&Kept>, names: &[String], now: SystemTime) -> Result<Option<Kept>, CertificateError> {
    let Some(kept) = kept.filter(|kept| validity(&kept.authority.certificate).is_some_and(|(from, until)| from <= now && now < until)) else {
        let authority = authority(now)?;
        let leaf = leaf(&authority, names, now)?;
        return Ok(Some(Kept { authority, retired: None, leaf, names: names.to_vec() }));
    };
    let mut next = kept.clone();
    if is_due(&kept.authority.certificate, now) {
        next.retired = Some(std::mem::replace(&mut next.authority, authority(now)?).certificate);
        // Those who are to trust the new CA hear of it before its first leaf is served.
        if kept.names == names && validity(&kept.leaf.certificate).is_some_and(|(_, until)| now < until) {
            return Ok(Some(next));
        }
    }
    if next.retired.as_deref().and_then(validity).is_some_and(|(_, until)| until <= now) {
        next.retired = None;
    }
    if is_due(&kept.leaf.certificate, now) || kept.names != names {
        next.leaf = leaf(&next.authority, names, now)?;
        next.names = names.to_vec();
    }
    Ok((next != *kept).then_some(next))
}

/// Whether two thirds of its life are over, or it cannot be read or is not valid yet.
fn is_due(pem: &str, now: SystemTime) -> bool {
    validity(pem).is_none_or(|(from, until)| {
        let life = until.duration_since(from).unwrap_or_default();
        now < from || now >= from + life / 3 * 2
    })
}

/// From when until when.
fn validity(pem: &str) -> Option<(SystemTime, SystemTime)> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    let at = |seconds: i64| u64::try_from(seconds).ok().map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    Some((at(certificate.validity().not_before.timestamp())?, at(certificate.validity().not_after.timestamp())?))
}

fn params(names: &[String], common_name: &str, now: SystemTime, life: Duration) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = (now - SKEW).into();
    params.not_after = (now + life).into();
    Ok(params)
}

fn authority(now: SystemTime) -> Result<Pair, rcgen::Error> {
    let key = KeyPair::generate()?;
    // Two authorities must not have one name: clients look their keys up by it.
    let serial = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut params = params(&[], &format!("Vrata admission CA {serial}"), now, CA_LIFE)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(Pair { certificate: params.self_signed(&key)?.pem(), key: key.serialize_pem() })
}

fn leaf(authority: &Pair, names: &[String], now: SystemTime) -> Result<Pair, rcgen::Error> {
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, KeyPair::from_pem(&authority.key)?)?;
    let key = KeyPair::generate()?;
    let mut params = params(names, "Vrata admission", now, LEAF_LIFE)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(Pair { certificate: params.signed_by(&key, &issuer)?.pem(), key: key.serialize_pem() })
}

/// The certificates in the state directory.
#[derive(Debug)]
pub struct Certificates {
    state: Arc<StateDir>,
    names: Vec<String>,
    kept: Kept,
}

impl Certificates {
    /// How often to ask whether something is due.
    pub const INTERVAL: Duration = DAY;

    /// Reads what is kept, and makes what is due.
    ///
    /// # Errors
    /// When it cannot be read, made or kept.
    pub fn open(state: Arc<StateDir>, names: Vec<String>, now: SystemTime) -> Result<Self, CertificateError> {
        let kept: Option<Kept> = state.read(FILE)?.map(|content| serde_json::from_slice(&content)).transpose()?;
        let renewed = renew(kept.as_ref(), &names, now)?;
        if let Some(renewed) = &renewed {
            keep(&state, renewed)?;
        }
        let kept = renewed.or(kept).ok_or_else(|| CertificateError::Serving("there is none".into()))?;
        Ok(Self { state, names, kept })
    }

    /// Makes what is due; whether something was.
    ///
    /// # Errors
    /// When it cannot be made or kept; what there is goes on.
    pub fn renew(&mut self, now: SystemTime) -> Result<bool, CertificateError> {
        let Some(renewed) = renew(Some(&self.kept), &self.names, now)? else { return Ok(false) };
        keep(&self.state, &renewed)?;
        self.kept = renewed;
        Ok(true)
    }

    /// What is kept.
    #[must_use]
    pub const fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Hands out what is kept, and renews it, until it is dropped.
    pub async fn tend(mut self, kept: &watch::Sender<Option<Arc<Kept>>>) {
        loop {
            kept.send_replace(Some(Arc::new(self.kept.clone())));
            tokio::time::sleep(Self::INTERVAL).await;
            if let Err(error) = self.renew(SystemTime::now()) {
                tracing::error!(%error, "the webhook goes on with the certificate that it has");
            }
        }
    }
}

fn keep(state: &StateDir, kept: &Kept) -> Result<(), CertificateError> {
    Ok(state.write(FILE, &serde_json::to_vec(kept)?, Durability::Synced)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(days: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_500_000) + DAY * u32::try_from(days).unwrap()
    }

    /// Which parts of `next` are new.
    fn changed(kept: &Kept, next: Option<&Kept>) -> [bool; 3] {
        next.map_or([false; 3], |next| [next.authority != kept.authority, next.leaf != kept.leaf, next.retired != kept.retired])
    }

    #[test]
    fn leaf_and_ca_are_renewed_when_two_thirds_of_their_lives_are_over() {
        let names = vec!["vrata.vrata-system.svc".to_owned()];
        let first = renew(None, &names, at(0)).unwrap().unwrap();
        // Days after the first start; whether CA, leaf and retired CA change.
        let table = [
            (0, [false; 3]),
            (59, [false; 3]),
            (61, [false, true, false]),
            (89, [false, true, false]),
            (1215, [false, true, false]),
            (1218, [true, true, true]),
        ];
        for (days, expected) in table {
            assert_eq!(changed(&first, renew(Some(&first), &names, at(days)).unwrap().as_ref()), expected, "{days}");
        }
        let other = vec!["other.svc".to_owned()];
        assert_eq!(changed(&first, renew(Some(&first), &other, at(1)).unwrap().as_ref()), [false, true, false]);
        assert_eq!(changed(&first, renew(Some(&first), &names, at(1826)).unwrap().as_ref()), [true, true, false]);
    }

    #[test]
    fn a_new_ca_signs_the_next_leaf_and_the_old_one_stays_trusted_until_it_expires() {
        let names = vec!["vrata.vrata-system.svc".to_owned()];
        let first = renew(None, &names, at(0)).unwrap().unwrap();
        let late = renew(Some(&first), &names, at(1200)).unwrap().unwrap();
        let second = renew(Some(&late), &names, at(1218)).unwrap().unwrap();
        assert_eq!(changed(&late, Some(&second)), [true, false, true], "the leaf is young and stays");
        assert_eq!(second.bundle(), format!("{}{}", second.authority.certificate, first.authority.certificate));
        let third = renew(Some(&second), &names, at(1270)).unwrap().unwrap();
        assert_eq!(changed(&second, Some(&third)), [false, true, false]);
        let last = renew(Some(&third), &names, at(1827)).unwrap().unwrap();
        assert_eq!(last.retired, None);
        assert!(!format!("{last:?}").contains("PRIVATE"));
    }

    #[test]
    fn what_is_kept_survives_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let state = Arc::new(StateDir::open(directory.path()).unwrap());
        let names = vec!["vrata.vrata-system.svc".to_owned()];
        let first = Certificates::open(state.clone(), names.clone(), at(0)).unwrap();
        let again = Certificates::open(state, names, at(1)).unwrap();
        assert_eq!(first.kept(), again.kept());
    }
}
