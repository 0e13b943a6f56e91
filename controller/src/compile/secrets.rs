//! Secrets as certificates need them. Pure.

use acme::SecretName;
use k8s_openapi::api::core::v1::Secret;

use crate::objects::{ObjectKey, Objects};

/// Who had the Secret written, as cert-manager notes it. A TLS Secret without it was brought by its tenant and is never written.
pub(crate) const ISSUER_NAME: &str = "cert-manager.io/issuer-name";

/// The value of a key, from `data` or `stringData`.
pub(crate) fn secret_value<'a>(secret: &'a Secret, key: &str) -> Option<&'a [u8]> {
    let text = secret.string_data.as_ref().and_then(|texts| texts.get(key)).map(|text| text.as_bytes());
    text.or_else(|| secret.data.as_ref()?.get(key).map(|bytes| bytes.0.as_slice()))
}

/// The Secret of this name.
pub(crate) fn find<'a>(objects: &'a Objects, name: &SecretName) -> Option<&'a Secret> {
    objects.secrets.get(&ObjectKey::new(&name.namespace, &name.name)).map(|stored| &stored.object)
}

/// Chain and key of a TLS Secret.
pub(crate) fn tls_pair(secret: &Secret) -> Option<(&[u8], &[u8])> {
    Some((secret_value(secret, "tls.crt")?, secret_value(secret, "tls.key")?))
}

/// The same as texts.
pub(crate) fn tls_texts(secret: &Secret) -> Option<(String, String)> {
    let (chain, key) = tls_pair(secret)?;
    Some((String::from_utf8(chain.to_vec()).ok()?, String::from_utf8(key.to_vec()).ok()?))
}

/// Whether an issuer had it written.
pub(crate) fn is_issued(secret: &Secret) -> bool {
    secret.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(ISSUER_NAME))
}
