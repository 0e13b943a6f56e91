//! What a replica serves of certificates and challenges: what its engine holds, where it leads, over what the cluster has for all. Pure.

use std::sync::Arc;

use acme::{Challenges, Held, HeldCertificate, SecretName};

use crate::compile::tls_texts;
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

fn read(objects: &Objects, namespace: &str, secret: &SecretName) -> Option<HeldCertificate> {
    let stored = objects.secrets.get(&ObjectKey::new(namespace, &secret.name))?;
    let (chain, key) = tls_texts(&stored.object)?;
    HeldCertificate::from_pem(chain, key, None, String::new()).ok()
}
