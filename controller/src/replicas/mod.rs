//! What replicas tell one another, in objects of Vrata's own namespace: the challenges of the moment, how far the zones' serials may go, where the others
//! listen. The leader writes them, everybody watches them.
//!
//! ```text
//! vrata-challenges (ConfigMap)   leader's engine ─► publish ─► watch ─► every replica answers; the self-check asks each before the CA is told
//! vrata-zones      (ConfigMap)   serials that passes want ─► publish ─► watch ─► every replica stays below the bound
//! vrata-peers      (Service)     EndpointSlices ─► where the self-check asks
//! ```
//! `challenges`, `held`, `peers` and `serials` are pure, `watch` and `publish` thin. Certificates and orders are kept by `cluster_store/`.

pub mod challenges;
pub mod conditional;
#[cfg(test)]
pub(crate) mod fake_api;
pub mod held;
pub mod peers;
pub mod publish;
pub mod serials;
pub mod watch;

use std::collections::BTreeMap;

use kube::api::ObjectMeta;

/// Name under which our fields are owned.
pub const FIELD_MANAGER: &str = "vrata";
/// Label of all our objects.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "vrata");
/// Label that tells our objects of one kind apart.
pub const KIND: &str = "vrata.io/kind";

/// The kind of Secrets with certificates of the platform, which may be for hosts of any namespace.
pub const PLATFORM_CERTIFICATE: &str = "platform-certificate";

/// Metadata of an object of ours.
#[must_use]
pub fn metadata(name: &str, kind: &str) -> ObjectMeta {
    let labels = BTreeMap::from([(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned()), (KIND.to_owned(), kind.to_owned())]);
    ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() }
}

/// Label selector of all our objects.
#[must_use]
pub fn ours() -> String {
    format!("{}={}", MANAGED_BY.0, MANAGED_BY.1)
}
