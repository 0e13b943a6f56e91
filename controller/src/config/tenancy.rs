//! Options that keep tenants apart: quotas, ownership of hosts, references between namespaces, admission.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::listen;

/// How many addresses namespaces may hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Quota {
    /// For namespaces that have no number of their own; none: no limit.
    pub default: Option<usize>,
    /// By namespace.
    pub namespaces: BTreeMap<String, usize>,
}

/// Who may own which hosts: the operator's policy. Namespaces are names, in which `*` stands for any characters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Ownership {
    /// `namespace/name` of a ConfigMap that has these options, as YAML, under its key `policy.yaml`; it replaces the ones that are written here.
    pub config_map: Option<String>,
    /// Names that only certain namespaces may hold.
    pub reserved: Vec<Names>,
    /// Suffixes that belong to namespaces.
    pub suffixes: Vec<Suffix>,
    /// Namespaces that may hold wildcards and the catch-all.
    pub wildcard_namespaces: Vec<String>,
    /// Namespaces that may hold names outside the zones that are served here.
    pub foreign_domain_namespaces: Vec<String>,
    /// Hosts that namespaces may share, each with its own paths.
    pub shared_hosts: Vec<Names>,
}

/// A host, or `*.` and a suffix for all that is below it, and namespaces.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Names {
    /// The host.
    pub host: String,
    /// The namespaces; none: nobody.
    #[serde(default)]
    pub namespaces: Vec<String>,
}

/// A suffix and the namespaces that may hold it and what is below it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Suffix {
    /// The suffix. `{namespace}` in one of its labels stands for the namespace that it belongs to.
    pub suffix: String,
    /// The namespaces, where the suffix does not say it.
    #[serde(default)]
    pub namespaces: Vec<String>,
}

/// References between namespaces.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Tenancy {
    /// Whether objects may name Secrets of other namespaces without a ReferenceGrant there.
    pub allow_cross_namespace_secrets: bool,
}

/// The ValidatingWebhook.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Admission {
    /// Its address; none: there is no webhook.
    #[serde(deserialize_with = "listen::optional")]
    pub listen: Option<SocketAddr>,
    /// Names in its certificate: those under which the API server calls it.
    pub names: Vec<String>,
    /// The ValidatingWebhookConfiguration whose `caBundle` the leader writes; by default the first label of the first name.
    pub webhook_configuration: Option<String>,
}

impl Default for Ownership {
    fn default() -> Self {
        let everybody = || vec!["*".to_owned()];
        Self {
            config_map: None,
            reserved: Vec::new(),
            suffixes: Vec::new(),
            wildcard_namespaces: everybody(),
            foreign_domain_namespaces: everybody(),
            shared_hosts: Vec::new(),
        }
    }
}

impl Admission {
    /// The names, or where none are written those of the Service that the manifests in `deploy/` have.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let default = || ["vrata-admission.vrata-system.svc", "vrata-admission.vrata-system.svc.cluster.local"].map(str::to_owned).into();
        if self.names.is_empty() { default() } else { self.names.clone() }
    }

    /// The ValidatingWebhookConfiguration.
    #[must_use]
    pub fn configuration(&self) -> String {
        let of_names = || self.names().first().and_then(|name| name.split('.').next()).unwrap_or_default().to_owned();
        self.webhook_configuration.clone().unwrap_or_else(of_names)
    }
}
