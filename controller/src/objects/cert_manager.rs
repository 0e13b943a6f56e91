//! The kinds of cert-manager.io/v1 that are understood, as far as they are understood. Fields that are not named here are ignored, as they are by
//! cert-manager's own readers of older versions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The spec of an Issuer or ClusterIssuer: one of its members is set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IssuerSpec {
    /// An ACME server.
    pub acme: Option<AcmeSpec>,
    /// Certificates that sign themselves.
    pub self_signed: Option<SelfSignedSpec>,
    /// A CA whose key pair is in a Secret.
    pub ca: Option<CaSpec>,
}

/// `spec.acme`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AcmeSpec {
    /// URL of the directory.
    pub server: String,
    /// Contact.
    #[serde(default)]
    pub email: String,
    /// PEM bundle, base64, that the server's certificate is verified with.
    pub ca_bundle: Option<String>,
    /// Secret of the account key.
    pub private_key_secret_ref: SecretKeyRef,
    /// Profile to ask for.
    pub profile: Option<String>,
}

/// Names a Secret, and a key in it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    pub name: String,
    /// Key in it.
    pub key: Option<String>,
}

/// `spec.selfSigned`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SelfSignedSpec {}

/// `spec.ca`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CaSpec {
    /// Secret (kubernetes.io/tls) with the CA's certificate and key.
    pub secret_name: String,
}

/// A Certificate's spec.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateSpec {
    /// Secret that receives the certificate.
    pub secret_name: String,
    /// Who signs.
    pub issuer_ref: IssuerRef,
    /// DNS names.
    #[serde(default)]
    pub dns_names: Vec<String>,
    /// Common name, counted among the names.
    pub common_name: Option<String>,
    /// Lifetime, as a Go duration (`2160h`).
    pub duration: Option<String>,
    /// When to renew, as a Go duration before the end.
    pub renew_before: Option<String>,
    /// When to renew, as a share of the lifetime that is left.
    pub renew_before_percentage: Option<i64>,
    /// The private key.
    pub private_key: Option<PrivateKey>,
    /// Labels and annotations for the Secret.
    pub secret_template: Option<SecretTemplate>,
}

/// `spec.issuerRef`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IssuerRef {
    /// Name.
    pub name: String,
    /// `Issuer` (the default) or `ClusterIssuer`.
    pub kind: Option<String>,
    /// `cert-manager.io` (the default).
    pub group: Option<String>,
}

/// `spec.privateKey`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrivateKey {
    /// RSA (the default), ECDSA or Ed25519.
    pub algorithm: Option<String>,
    /// Bits.
    pub size: Option<i64>,
}

/// `spec.secretTemplate`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretTemplate {
    /// Annotations for the Secret.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Labels for the Secret.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// A Certificate, as far as it is understood.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// What is wanted.
    pub spec: CertificateSpec,
    /// What was said of it, as it stands; null where there is nothing.
    #[serde(default)]
    pub status: serde_json::Value,
}
