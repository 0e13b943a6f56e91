//! Where a certificate's Secret is: those of the platform in Vrata's own namespace, all others where they are asked for. Pure.

use acme::SecretName;
use k8s_openapi::api::core::v1::Secret;
use serde_json::Value;

use crate::replicas::{KIND, MANAGED_BY, PLATFORM_CERTIFICATE};

/// The label of Secrets that an issuer had written, as cert-manager writes it.
pub(super) const FILTERED: &str = "controller.cert-manager.io/fao=true";
/// Who had it written, as cert-manager notes it.
const ISSUER_NAME: &str = "cert-manager.io/issuer-name";

/// Knows where Vrata's own namespace is.
pub(super) struct Place {
    namespace: String,
}

impl Place {
    pub(super) fn new(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned() }
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Where the Secret is in the cluster.
    pub(super) fn of(&self, secret: &SecretName) -> SecretName {
        let platform = secret.namespace == SecretName::PLATFORM;
        SecretName { namespace: if platform { self.namespace.clone() } else { secret.namespace.clone() }, name: secret.name.clone() }
    }

    /// Labels the Secret of a certificate of the platform: its namespace may have others.
    pub(super) fn mark(&self, secret: &SecretName, manifest: &mut Value) {
        if secret.namespace == SecretName::PLATFORM {
            manifest["metadata"]["labels"][KIND] = PLATFORM_CERTIFICATE.into();
            manifest["metadata"]["labels"][MANAGED_BY.0] = MANAGED_BY.1.into();
        }
    }

    /// The name of a Secret in the cluster, and what it is to the rest of the program.
    pub(super) fn names_of(&self, found: &Secret) -> (SecretName, SecretName) {
        let metadata = &found.metadata;
        let stored = SecretName { namespace: metadata.namespace.clone().unwrap_or_default(), name: metadata.name.clone().unwrap_or_default() };
        let is_platform = || metadata.labels.as_ref().and_then(|labels| labels.get(KIND)).is_some_and(|kind| kind == PLATFORM_CERTIFICATE);
        let platform = stored.namespace == self.namespace && is_platform();
        let namespace = if platform { SecretName::PLATFORM.to_owned() } else { stored.namespace.clone() };
        let secret = SecretName { namespace, name: stored.name.clone() };
        (stored, secret)
    }
}

/// Whether an issuer had the Secret written; all others were brought by somebody.
pub(super) fn is_issued(found: &Secret) -> bool {
    found.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(ISSUER_NAME))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn secret(namespace: &str) -> SecretName {
        SecretName { namespace: namespace.to_owned(), name: "wildcard-a.test".to_owned() }
    }

    #[test]
    fn only_what_is_marked_belongs_to_the_platform() {
        let place = Place::new("vrata-system");
        let rows = [(secret(SecretName::PLATFORM), "vrata-system"), (secret("vrata-system"), "vrata-system"), (secret("team"), "team")];
        for (name, namespace) in rows {
            assert_eq!(place.of(&name), secret(namespace));
            let mut manifest = serde_json::json!({"metadata": {"name": name.name, "namespace": namespace, "labels": {}}});
            place.mark(&name, &mut manifest);
            let found: Secret = serde_json::from_value(manifest).unwrap();
            assert_eq!(place.names_of(&found), (secret(namespace), name));
        }
    }

    #[test]
    fn a_mark_in_another_namespace_means_nothing() {
        let metadata = crate::replicas::metadata("wildcard-a.test", PLATFORM_CERTIFICATE);
        let metadata = kube::api::ObjectMeta { namespace: Some("team".to_owned()), ..metadata };
        let found = Secret { metadata, ..Secret::default() };
        assert_eq!(Place::new("vrata-system").names_of(&found).1, secret("team"));
    }
}
