//! What the administrator decided, in the form that compiling needs: parsed, checked, plain values.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use dns::{Name, RecordSet, Soa};

use crate::config::Config;

/// The administrator's part of the input.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// Addresses under which clients reach the gateway.
    pub public_addresses: Vec<IpAddr>,
    /// Zones that are served.
    pub zones: Vec<ZoneSettings>,
    /// Which Ingresses are ours.
    pub class: ClassRules,
    /// ClusterIssuer of the zones' wildcards.
    pub platform_issuer: String,
    /// ClusterIssuer for `kubernetes.io/tls-acme: "true"`.
    pub default_issuer: String,
    /// Namespace of the Secrets that ClusterIssuers name.
    pub cluster_resource_namespace: String,
    /// Whether endpoints may be loopback addresses: only where the objects come from the administrator's own directory.
    pub loopback_endpoints: bool,
}

/// A zone as the administrator set it up.
#[derive(Debug, Clone, PartialEq)]
pub struct ZoneSettings {
    /// The apex: lower case, no trailing dot.
    pub origin: String,
    /// TTL of hosts, in seconds.
    pub ttl: u32,
    /// When set, hosts get a CNAME to this name.
    pub cname: Option<Name>,
    /// SOA of the zone file, if it has one.
    pub soa: Option<Soa>,
    /// Records of the zone file but for the SOA.
    pub records: Vec<RecordSet>,
}

/// Which Ingresses are ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassRules {
    /// Class that the annotation `kubernetes.io/ingress.class` has to name.
    pub ingress_class: String,
    /// Controller that the IngressClass has to name.
    pub controller: String,
    /// Whether Ingresses that name no class are ours.
    pub watch_without_class: bool,
}

impl Default for ClassRules {
    fn default() -> Self {
        Self { ingress_class: "nginx".into(), controller: "k8s.io/ingress-nginx".into(), watch_without_class: false }
    }
}

/// The configuration cannot be compiled against.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A zone's name or CNAME is no domain name.
    #[error("{field}: {value:?} is not a domain name")]
    NotAName {
        /// Path of the key in the configuration.
        field: String,
        /// What it holds.
        value: String,
    },
    /// Two zones have the same name.
    #[error("dns.zones: {0:?} is configured twice")]
    DuplicateZone(String),
    /// A zone file cannot be used.
    #[error("{file}:{line}: {message}")]
    ZoneFile {
        /// The file.
        file: String,
        /// Line in it, the first is 1; 0 where it is not about a line.
        line: usize,
        /// What is wrong.
        message: String,
    },
}

impl Settings {
    /// The settings of a configuration. `zone_files` holds the text of each zone file that the configuration names.
    ///
    /// # Errors
    /// Names the key or the line that cannot be used.
    pub fn from_config(_config: &Config, _zone_files: &BTreeMap<PathBuf, String>) -> Result<Self, SettingsError> {
        Ok(Self::default())
    }
}
