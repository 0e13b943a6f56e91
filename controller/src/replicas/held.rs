//! What a replica serves of certificates and challenges: what its engine holds, where it leads, over what the cluster has for all. Pure.

use std::sync::Arc;

use acme::{Challenges, Held, HeldCertificate, SecretName, WantedSet};

use crate::compile::{is_issued, tls_texts};
use crate::objects::{ObjectKey, Objects};

/// `engine` is empty where this process does not lead. `platform` are the Secrets of the zones' wildcards; `namespace` is where they are. Challenges are
/// always those that are published: what the leader answers before is not what the others answer.
#[must_use]
pub fn served(engine: &Held, objects: &Objects, namespace: &str, platform: &[SecretName], challenges: &Challenges) -> Held {
    let mut held = Held { challenges: challenges.clone(), ..engine.clone() };
    for secret in platform {
        if !held.certificates.contains_key(secret)
            && let Some(certificate) = read(objects, namespace, secret)
        {
            held.certificates.insert(secret.clone(), Arc::new(certificate));
        }
    }
    held
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

fn read(objects: &Objects, namespace: &str, secret: &SecretName) -> Option<HeldCertificate> {
    let stored = objects.secrets.get(&ObjectKey::new(namespace, &secret.name))?;
    let (chain, key) = tls_texts(&stored.object)?;
    HeldCertificate::from_pem(chain, key, None, String::new()).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;
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
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("s.json"), acme::secret::to_manifest(place, &wanted(), certificate)).unwrap();
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
            let held = served(engine, &objects, namespace, std::slice::from_ref(&wildcard), &challenges);
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
