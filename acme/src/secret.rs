//! A certificate as a Kubernetes Secret manifest, with the annotations that cert-manager writes, so that either can read what the other wrote.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use crate::certificate::CertificateError;
use crate::{HeldCertificate, IssuerId, SecretName, Wanted};

const ISSUER_NAME: &str = "cert-manager.io/issuer-name";
const ISSUER_KIND: &str = "cert-manager.io/issuer-kind";
/// Ours: which server or CA the issuer's name meant.
const SIGNER: &str = "vrata.io/signer";
/// cert-manager looks only at Secrets that carry this label.
const FILTERED: (&str, &str) = ("controller.cert-manager.io/fao", "true");

/// Why a manifest is not a certificate of ours.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It is no Secret in JSON.
    #[error("not a Secret manifest: {0}")]
    Json(#[from] serde_json::Error),
    /// A field is missing or is not what it should be.
    #[error("field {0} is missing or not readable")]
    Field(&'static str),
    /// The certificate or the key cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    api_version: String,
    kind: String,
    metadata: Metadata,
    #[serde(rename = "type")]
    secret_type: String,
    data: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct Metadata {
    name: String,
    namespace: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// The manifest of a certificate that was issued for `wanted`.
#[must_use]
pub fn to_manifest(secret: &SecretName, wanted: &Wanted, certificate: &HeldCertificate) -> Vec<u8> {
    let mut data = BTreeMap::from([("tls.crt", &certificate.chain_pem), ("tls.key", &certificate.key_pem)]);
    data.extend(certificate.ca_pem.as_ref().map(|ca| ("ca.crt", ca)));
    let mut labels = wanted.secret_labels.clone();
    labels.insert(FILTERED.0.to_owned(), FILTERED.1.to_owned());
    let manifest = Manifest {
        api_version: "v1".to_owned(),
        kind: "Secret".to_owned(),
        metadata: Metadata {
            name: secret.name.clone(),
            namespace: secret.namespace.clone(),
            annotations: annotations(secret, wanted, certificate),
            labels,
        },
        secret_type: "kubernetes.io/tls".to_owned(),
        data: data.into_iter().map(|(key, value)| (key.to_owned(), BASE64_STANDARD.encode(value))).collect(),
    };
    serde_json::to_vec_pretty(&manifest).expect("maps of strings have a JSON form")
}

fn annotations(secret: &SecretName, wanted: &Wanted, certificate: &HeldCertificate) -> BTreeMap<String, String> {
    let IssuerId { namespace, name } = &wanted.issuer;
    let kind = if namespace.is_some() { "Issuer" } else { "ClusterIssuer" };
    let mut annotations = wanted.secret_annotations.clone();
    let computed = [(ISSUER_NAME, name.clone()), (ISSUER_KIND, kind.to_owned()), ("cert-manager.io/alt-names", certificate.names.join(","))];
    annotations.extend(computed.map(|(key, value)| (key.to_owned(), value)));
    annotations.extend(certificate.signer.as_ref().map(|signer| (SIGNER.to_owned(), signer.clone())));
    let unless_given = [
        ("cert-manager.io/certificate-name", secret.name.as_str()),
        ("cert-manager.io/issuer-group", "cert-manager.io"),
        ("cert-manager.io/common-name", ""),
        ("cert-manager.io/ip-sans", ""),
        ("cert-manager.io/uri-sans", ""),
    ];
    for (key, value) in unless_given {
        annotations.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }
    annotations
}

/// Reads a manifest that [`to_manifest`] or cert-manager wrote.
///
/// # Errors
/// When it is not a Secret with a certificate and its key.
pub fn from_manifest(secret: &SecretName, manifest: &[u8]) -> Result<HeldCertificate, SecretError> {
    let manifest: Manifest = serde_json::from_slice(manifest)?;
    if manifest.kind != "Secret" || manifest.secret_type != "kubernetes.io/tls" {
        return Err(SecretError::Field("kind or type"));
    }
    if (&manifest.metadata.namespace, &manifest.metadata.name) != (&secret.namespace, &secret.name) {
        return Err(SecretError::Field("metadata.name or metadata.namespace"));
    }
    let annotation = |key| manifest.metadata.annotations.get(key);
    let namespace = annotation(ISSUER_KIND).is_none_or(|kind| kind == "Issuer").then(|| secret.namespace.clone());
    let issuer = annotation(ISSUER_NAME).map(|name| IssuerId { namespace, name: name.clone() }.to_string()).unwrap_or_default();
    let chain = text(&manifest, "tls.crt")?.ok_or(SecretError::Field("tls.crt"))?;
    let key = text(&manifest, "tls.key")?.ok_or(SecretError::Field("tls.key"))?;
    let certificate = HeldCertificate::from_pem(chain, key, text(&manifest, "ca.crt")?, issuer)?;
    Ok(HeldCertificate { signer: annotation(SIGNER).cloned(), ..certificate })
}

fn text(manifest: &Manifest, key: &'static str) -> Result<Option<String>, SecretError> {
    let Some(encoded) = manifest.data.get(key) else { return Ok(None) };
    let bytes = BASE64_STANDARD.decode(encoded).map_err(|_| SecretError::Field(key))?;
    String::from_utf8(bytes).map(Some).map_err(|_| SecretError::Field(key))
}
