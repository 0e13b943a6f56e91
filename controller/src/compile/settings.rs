//! What the administrator decided, in the form that compiling needs: parsed, checked, plain values.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use dns::{Name, RecordSet, Soa};

use crate::addresses::{PoolError, PoolRanges, Quota, ServiceClass};
use crate::config::{Config, Traffic, Zone};
use crate::objects::ObjectKey;
use crate::ownership::Policy;

use super::names::{absolute, host_name, wildcard_base};
use super::policy;

/// The administrator's part of the input.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// Addresses under which clients reach the gateway.
    pub public_addresses: Vec<IpAddr>,
    /// Service whose status has the public addresses instead, as soon as it has any.
    pub publish_service: Option<ObjectKey>,
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
    /// Pools of addresses for Services.
    pub pools: PoolRanges,
    /// Namespace of the program's own objects, where there is a cluster.
    pub own_namespace: Option<String>,
    /// Who carries the traffic of allocated addresses.
    pub traffic: Traffic,
    /// Whether an address is served only once it is held: where an allocation is a proposal that is written first.
    pub serves_held_only: bool,
    /// Namespace whose IPAddressPool objects are pools too.
    pub pool_namespace: String,
    /// How many addresses namespaces may hold.
    pub quota: Quota,
    /// Which Services of type LoadBalancer are ours.
    pub service_class: ServiceClass,
    /// The operator's policy of who may hold which host.
    pub policy: Arc<Policy>,
    /// The ConfigMap whose policy is used instead.
    pub policy_map: Option<ObjectKey>,
    /// Whether Secrets of other namespaces may be named without a ReferenceGrant.
    pub cross_namespace_secrets: bool,
    /// Whether endpoints may be loopback addresses: only where the objects come from the administrator's own directory.
    pub loopback_endpoints: bool,
}

/// A zone as the administrator set it up.
#[derive(Debug, Clone, PartialEq)]
pub struct ZoneSettings {
    /// The apex: lower case, no trailing dot.
    pub origin: String,
    /// The same as a DNS name.
    pub apex: Name,
    /// TTL of hosts, in seconds.
    pub ttl: u32,
    /// When set, hosts get a CNAME to this name.
    pub cname: Option<Name>,
    /// SOA of the zone file, if it has one.
    pub soa: Option<Soa>,
    /// Records of the zone file but for the SOA.
    pub records: Vec<RecordSet>,
    /// The zone file, if there is one.
    pub file: Option<PathBuf>,
    /// The line of that file on which each of the record sets starts.
    pub lines: Vec<usize>,
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
    /// The pools cannot be used.
    #[error(transparent)]
    Pools(#[from] PoolError),
    /// The policy cannot be used.
    #[error("{key}: {message}")]
    Policy {
        /// Path of the key in the configuration.
        key: String,
        /// What is wrong.
        message: String,
    },
    /// A zone file was not handed over.
    #[error("{field}: the file {file} was not read")]
    MissingZoneFile {
        /// Path of the key in the configuration.
        field: String,
        /// The file.
        file: String,
    },
    /// A zone file cannot be used.
    #[error("{file}:{line}: {message}")]
    ZoneFile {
        /// The file.
        file: String,
        /// Line on which the faulty entry starts, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
}

impl Settings {
    /// Whether an endpoint's address may be connected to.
    pub(super) fn may_serve(&self, address: IpAddr) -> bool {
        gateway::table::may_reach(address, self.loopback_endpoints)
    }

    /// The settings of a configuration. `zone_files` holds the text of each zone file that the configuration names, by that path.
    ///
    /// # Errors
    /// Names the key or the line that cannot be used.
    pub fn from_config(config: &Config, zone_files: &BTreeMap<PathBuf, String>) -> Result<Self, SettingsError> {
        let mut zones: Vec<ZoneSettings> = Vec::new();
        for (index, zone) in config.dns.zones.iter().enumerate() {
            let zone = ZoneSettings::read(zone, index, zone_files)?;
            if zones.iter().any(|other| other.origin == zone.origin) {
                return Err(SettingsError::DuplicateZone(zone.origin));
            }
            zones.push(zone);
        }
        let bad_policy = |faults: Vec<crate::ownership::PolicyFault>| {
            let first = faults.into_iter().next().map(|fault| (fault.key, fault.message)).unwrap_or_default();
            SettingsError::Policy { key: format!("ownership.{}", first.0), message: first.1 }
        };
        let addresses = &config.addresses;
        Ok(Self {
            public_addresses: config.gateway.public_addresses.clone(),
            publish_service: config
                .gateway
                .publish_service
                .as_deref()
                .and_then(|service| service.split_once('/'))
                .map(|(namespace, name)| ObjectKey::new(namespace, name)),
            zones,
            class: ClassRules {
                ingress_class: config.gateway.ingress_class.clone(),
                controller: config.gateway.controller_class.clone(),
                watch_without_class: config.gateway.watch_ingress_without_class,
            },
            platform_issuer: config.certificates.platform_issuer.clone(),
            default_issuer: config.certificates.default_issuer.clone(),
            cluster_resource_namespace: config.certificates.cluster_resource_namespace.clone(),
            pools: PoolRanges::parse(&addresses.pools)?,
            own_namespace: config.source.kubernetes.as_ref().map(|cluster| cluster.namespace.clone()),
            traffic: config.addresses.traffic,
            serves_held_only: config.source.kubernetes.is_some(),
            pool_namespace: addresses.pool_namespace.clone(),
            quota: Quota { default: addresses.quota.default, namespaces: addresses.quota.namespaces.clone() },
            service_class: ServiceClass { name: addresses.load_balancer_class.clone(), default: addresses.default_class },
            policy: Arc::new(Policy::read(&config.ownership).map_err(bad_policy)?),
            policy_map: config.ownership.config_map.as_deref().and_then(policy::key_of),
            cross_namespace_secrets: config.tenancy.allow_cross_namespace_secrets,
            loopback_endpoints: !config.source.manifests.is_empty(),
        })
    }
}

impl ZoneSettings {
    fn read(zone: &Zone, index: usize, files: &BTreeMap<PathBuf, String>) -> Result<Self, SettingsError> {
        let field = |key: &str| format!("dns.zones[{index}].{key}");
        let not_a_name = |key: &str, value: &str| SettingsError::NotAName { field: field(key), value: value.to_owned() };
        let origin = host_name(&zone.name).ok().filter(|name| wildcard_base(name).is_none()).ok_or_else(|| not_a_name("name", &zone.name))?;
        let apex = absolute(&origin).ok_or_else(|| not_a_name("name", &zone.name))?;
        let cname = zone.cname.as_ref().map(|target| {
            let name = host_name(target).ok().filter(|name| wildcard_base(name).is_none());
            name.and_then(|name| absolute(&name)).ok_or_else(|| not_a_name("cname", target))
        });
        let content = match &zone.file {
            Some(path) => {
                let file = path.display().to_string();
                let missing = || SettingsError::MissingZoneFile { field: field("file"), file: file.clone() };
                let text = files.get(path).ok_or_else(missing)?;
                let broken =
                    |error: dns::zonefile::ZoneFileError| SettingsError::ZoneFile { file: file.clone(), line: error.line, message: error.what };
                dns::zonefile::parse(text, &apex).map_err(broken)?
            }
            None => dns::zonefile::ZoneFile::default(),
        };
        let dns::zonefile::ZoneFile { soa, records, lines } = content;
        Ok(Self { origin, apex, ttl: zone.ttl, cname: cname.transpose()?, soa, records, file: zone.file.clone(), lines })
    }
}
