//! What a replica serves of certificates and challenges: what its engine holds, where it leads, over what the cluster has for all. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use acme::{Challenges, Held, HeldCertificate, SecretName, WantedSet};
use k8s_openapi::api::core::v1::Secret;

use super::{KIND, PLATFORM_CERTIFICATE};
use crate::compile::{is_issued, tls_texts};
use crate::objects::{ObjectKey, Objects, Stored};

/// The certificates of the platform as the cluster has them, each read once.
#[derive(Debug, Default)]
pub struct Platform {
    read: BTreeMap<SecretName, Seen>,
}

/// A Secret, and the certificate in it.
type Seen = (Arc<Stored<Secret>>, Option<Arc<HeldCertificate>>);

impl Platform {
    /// `engine` is empty where this process does not lead. `wildcards` are the Secrets of the zones' wildcards; `namespace` is where they are, and the
    /// marked ones of single hosts. Challenges are always those that are published: what the leader answers before is not what the others answer.
    #[must_use]
    pub fn served(&mut self, engine: &Held, objects: &Objects, namespace: &str, wildcards: &[SecretName], challenges: &Challenges) -> Held {
        self.update(objects, namespace, wildcards);
        let mut held = Held { challenges: challenges.clone(), ..engine.clone() };
        for (secret, (_, certificate)) in &self.read {
            if let Some(certificate) = certificate.as_ref().filter(|_| !held.certificates.contains_key(secret)) {
                held.certificates.insert(secret.clone(), Arc::clone(certificate));
            }
        }
        held
    }

    fn update(&mut self, objects: &Objects, namespace: &str, wildcards: &[SecretName]) {
        let mut before = std::mem::take(&mut self.read);
        for (key, stored) in objects.secrets.of(namespace) {
            let secret = SecretName { namespace: SecretName::PLATFORM.to_owned(), name: key.name.clone() };
            if wildcards.contains(&secret) || is_marked(&stored.object) {
                let known = before.remove(&secret).filter(|(seen, _)| Arc::ptr_eq(seen, stored));
                let entry = known.unwrap_or_else(|| (Arc::clone(stored), read(&stored.object).map(Arc::new)));
                self.read.insert(secret, entry);
            }
        }
    }
}

/// The wanted certificates whose Secrets an issuer had written, and that somebody has deleted since: cert-manager's users do that to get a new one.
#[must_use]
pub fn deleted(before: &Objects, now: &Objects, wanted: &WantedSet, namespace: &str) -> Vec<SecretName> {
    let key = |secret: &SecretName| {
        let namespace = if secret.namespace == SecretName::PLATFORM { namespace } else { &secret.namespace };
        ObjectKey::new(namespace, &secret.name)
    };
    let gone = |secret: &&SecretName| {
        let key = key(secret);
        !now.secrets.contains_key(&key) && before.secrets.get(&key).is_some_and(|stored| is_issued(&stored.object))
    };
    wanted.certificates.keys().filter(gone).cloned().collect()
}

fn is_marked(secret: &Secret) -> bool {
    secret.metadata.labels.as_ref().and_then(|labels| labels.get(KIND)).is_some_and(|kind| kind == PLATFORM_CERTIFICATE)
}

fn read(secret: &Secret) -> Option<HeldCertificate> {
    let (chain, key) = tls_texts(secret)?;
    HeldCertificate::from_pem(chain, key, None, String::new()).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::PathBuf;

    use acme::Wanted;

    use super::*;
    use crate::fixtures::{self, secret};

    fn wanted() -> Wanted {
        fixtures::wanted("*.a.test")
    }

    fn certificate() -> HeldCertificate {
        fixtures::certificate("*.a.test")
    }

    /// Objects with this Secret.
    fn objects(place: &SecretName, certificate: &HeldCertificate) -> Objects {
        labelled(place, certificate, BTreeMap::new())
    }

    fn labelled(place: &SecretName, certificate: &HeldCertificate, secret_labels: BTreeMap<String, String>) -> Objects {
        let directory = tempfile::tempdir().unwrap();
        let wanted = Wanted { secret_labels, ..wanted() };
        std::fs::write(directory.path().join("s.json"), acme::secret::to_manifest(place, &wanted, certificate)).unwrap();
        let read = crate::source::read(&[PathBuf::from(directory.path())]).unwrap();
        assert_eq!(read.problems, []);
        read.objects
    }

    #[test]
    fn a_wildcard_is_served_from_its_secret_unless_the_engine_has_it() {
        let (wildcard, other, newer) = (secret(SecretName::PLATFORM, "wildcard-a.test"), certificate(), certificate());
        let objects = objects(&secret("own", "wildcard-a.test"), &other);
        let challenges = Challenges { dns01: BTreeMap::from([("x".to_owned(), vec!["1".to_owned()])]), ..Challenges::default() };
        let serves = |engine: &Held, namespace| {
            let held = Platform::default().served(engine, &objects, namespace, std::slice::from_ref(&wildcard), &challenges);
            assert_eq!(held.challenges, challenges, "never the engine's own");
            held.certificates.get(&wildcard).map(|held| held.chain_pem.clone())
        };
        let ahead = Challenges { dns01: BTreeMap::from([("y".to_owned(), vec!["2".to_owned()])]), ..Challenges::default() };
        let leading = Held { certificates: BTreeMap::from([(wildcard.clone(), Arc::new(newer.clone()))]), challenges: ahead, ..Held::default() };
        assert_eq!(serves(&Held::default(), "own"), Some(other.chain_pem));
        assert_eq!(serves(&leading, "own"), Some(newer.chain_pem));
        assert_eq!(serves(&Held::default(), "elsewhere"), None);
    }

    #[test]
    fn certificates_of_single_hosts_are_known_by_their_mark_and_read_once() {
        let (host, unmarked) = (secret(SecretName::PLATFORM, "host-b.a.test"), secret(SecretName::PLATFORM, "tenants"));
        let mark = BTreeMap::from([(KIND.to_owned(), PLATFORM_CERTIFICATE.to_owned())]);
        let mut platform = Platform::default();
        let mut serves = |objects: &Objects, secret: &SecretName| {
            platform.served(&Held::default(), objects, "own", &[], &Challenges::default()).certificates.get(secret).cloned()
        };
        let marked = labelled(&secret("own", "host-b.a.test"), &certificate(), mark.clone());
        let first = serves(&marked, &host).unwrap();
        assert!(Arc::ptr_eq(&first, &serves(&marked.clone(), &host).unwrap()));
        let renewed = labelled(&secret("own", "host-b.a.test"), &certificate(), mark.clone());
        assert_ne!(serves(&renewed, &host).unwrap().chain_pem, first.chain_pem);
        assert_eq!(serves(&labelled(&secret("team", "host-b.a.test"), &certificate(), mark), &host), None);
        assert_eq!(serves(&objects(&secret("own", "tenants"), &certificate()), &unmarked), None);
    }

    #[test]
    fn a_secret_that_is_deleted_while_it_is_wanted_is_missed() {
        let (shop, wildcard) = (secret("team", "shop"), secret(SecretName::PLATFORM, "w"));
        let certificates = [(shop.clone(), wanted()), (wildcard.clone(), wanted())].into();
        let set = WantedSet { certificates, ..WantedSet::default() };
        let (with_shop, with_wildcard, none) = (objects(&shop, &certificate()), objects(&secret("own", "w"), &certificate()), Objects::default());
        assert_eq!(deleted(&with_shop, &none, &set, "own"), [shop]);
        assert_eq!(deleted(&with_wildcard, &none, &set, "own"), [wildcard]);
        assert_eq!(deleted(&none, &with_shop, &set, "own"), []);
        assert_eq!(deleted(&with_shop, &with_shop, &set, "own"), []);
        assert_eq!(deleted(&with_shop, &none, &WantedSet::default(), "own"), []);
    }
}
