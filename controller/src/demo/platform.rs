//! What a platform's administrator would have set up before the first tenant comes: the class and the cluster issuers that the tenants' manifests name, with a
//! local CA that is made on the first start, or ordered from a real ACME server.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};

use crate::state::{Durability, StateDir, StateError};

/// Issuers that the operator's users name in their manifests.
const ISSUERS: [&str; 2] = ["letsencrypt-prod", "letsencrypt-prod-dns"];
const CA_CERTIFICATE: &str = "demo/ca.crt";
const CA_KEY: &str = "demo/ca.key";
const MANIFESTS: &str = "demo/platform";

/// Who signs the demo's certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authority {
    /// A CA of the demo's own.
    Local,
    /// A real ACME server.
    Acme {
        /// URL of its directory.
        directory: String,
        /// PEM file that its own certificate is verified with.
        ca: Option<PathBuf>,
    },
}

/// What was set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// Directory of the platform's manifests, to be read beside the tenants'.
    pub manifests: PathBuf,
    /// The local CA's root, for clients to trust.
    pub root: Option<PathBuf>,
}

/// Why the platform cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum PlatformError {
    /// The state directory failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// The CA cannot be made.
    #[error("the local CA cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The file given by `--acme-ca` cannot be read.
    #[error("--acme-ca {0}: {1}")]
    AcmeCa(PathBuf, std::io::Error),
}

/// Writes the platform's manifests into the state directory; a CA that is there already is kept.
///
/// # Errors
/// When a file cannot be read or written.
pub fn set_up(state: &StateDir, authority: &Authority) -> Result<Platform, PlatformError> {
    let mut items = vec![ingress_class()];
    let mut root = None;
    match authority {
        Authority::Local => {
            let (certificate, key) = local_ca(state)?;
            items.push(tls_secret("vrata-local-ca", &certificate, &key));
            items.extend(ISSUERS.map(|name| cluster_issuer(name, &json!({"ca": {"secretName": "vrata-local-ca"}}))));
            root = Some(state.path().join(CA_CERTIFICATE));
        }
        Authority::Acme { directory, ca } => {
            let bundle = ca.as_deref().map(read_bundle).transpose()?;
            items.extend(ISSUERS.map(|name| cluster_issuer(name, &acme_spec(name, directory, bundle.as_deref()))));
        }
    }
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    state.write(&format!("{MANIFESTS}/platform.json"), list.to_string().as_bytes(), Durability::Synced)?;
    Ok(Platform { manifests: state.path().join(MANIFESTS), root })
}

fn read_bundle(path: &Path) -> Result<String, PlatformError> {
    std::fs::read(path).map(|pem| STANDARD.encode(pem)).map_err(|e| PlatformError::AcmeCa(path.to_owned(), e))
}

fn local_ca(state: &StateDir) -> Result<(String, String), PlatformError> {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    if let (Some(certificate), Some(key)) = (state.read(CA_CERTIFICATE)?, state.read(CA_KEY)?) {
        return Ok((text(certificate), text(key)));
    }
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Vrata demo CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key)?.pem();
    state.write(CA_KEY, key.serialize_pem().as_bytes(), Durability::Synced)?;
    state.write(CA_CERTIFICATE, certificate.as_bytes(), Durability::Synced)?;
    Ok((certificate, key.serialize_pem()))
}

fn ingress_class() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "nginx"},
        "spec": {"controller": "k8s.io/ingress-nginx"},
    })
}

fn tls_secret(name: &str, certificate: &str, key: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": name, "namespace": "cert-manager"},
        "data": {"tls.crt": STANDARD.encode(certificate), "tls.key": STANDARD.encode(key)},
    })
}

fn cluster_issuer(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "cert-manager.io/v1", "kind": "ClusterIssuer", "metadata": {"name": name}, "spec": spec})
}

fn acme_spec(name: &str, directory: &str, bundle: Option<&str>) -> Value {
    let mut acme = json!({"server": directory, "email": "demo@example.org", "privateKeySecretRef": {"name": format!("{name}-account")}});
    if let Some(bundle) = bundle {
        acme["caBundle"] = bundle.into();
    }
    json!({"acme": acme})
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_local_ca_is_made_once_and_both_issuers_use_it() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::open(directory.path()).unwrap();
        let first = set_up(&state, &Authority::Local).unwrap();
        let root = std::fs::read(first.root.as_ref().unwrap()).unwrap();
        assert_eq!(set_up(&state, &Authority::Local).unwrap(), first);
        assert_eq!(std::fs::read(first.root.unwrap()).unwrap(), root);
        let list: Value = serde_json::from_slice(&std::fs::read(first.manifests.join("platform.json")).unwrap()).unwrap();
        let names: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].clone()).collect();
        assert_eq!(names, ["nginx", "vrata-local-ca", "letsencrypt-prod", "letsencrypt-prod-dns"]);
    }

    #[test]
    fn an_acme_server_is_named_with_the_bundle_that_verifies_it() {
        let spec = acme_spec("letsencrypt-prod", "https://127.0.0.1:14000/dir", Some("UEVN"));
        let expected = json!({"acme": {
            "server": "https://127.0.0.1:14000/dir", "email": "demo@example.org",
            "privateKeySecretRef": {"name": "letsencrypt-prod-account"}, "caBundle": "UEVN",
        }});
        assert_eq!(spec, expected);
    }
}
