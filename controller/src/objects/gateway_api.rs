//! gateway.networking.k8s.io ReferenceGrant, of v1beta1 and v1 alike.

use serde::{Deserialize, Serialize};

/// The spec of a ReferenceGrant: who may name what of its namespace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReferenceGrantSpec {
    /// Who may.
    #[serde(default)]
    pub from: Vec<GrantFrom>,
    /// What they may name.
    #[serde(default)]
    pub to: Vec<GrantTo>,
}

/// `spec.from[]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrantFrom {
    /// API group of the object that names; empty for the core.
    #[serde(default)]
    pub group: String,
    /// Its kind.
    #[serde(default)]
    pub kind: String,
    /// Its namespace.
    #[serde(default)]
    pub namespace: String,
}

/// `spec.to[]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrantTo {
    /// API group of the object that is named; empty for the core.
    #[serde(default)]
    pub group: String,
    /// Its kind.
    #[serde(default)]
    pub kind: String,
    /// Its name; any, when there is none.
    pub name: Option<String>,
}
