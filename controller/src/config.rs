//! The configuration file: every option of the program, with its default. Reading it is pure; nothing starts from half of it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

mod faults;
mod listen;
mod load;
mod options;
mod tenancy;
mod validate;

pub use load::{AddressError, ConfigError, Finding, Overrides, complete, listen_address, load, parse};
pub use options::print;
pub use tenancy::{Admission, Names, Ownership, Quota, Suffix, Tenancy};
pub use validate::validate;

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// Which part of the program runs here.
    pub role: Role,
    /// Where objects come from.
    pub source: Source,
    /// The only directory that is written.
    pub state: PathBuf,
    /// The data plane for HTTP and TLS.
    pub gateway: Gateway,
    /// The DNS server.
    pub dns: Dns,
    /// Certificates.
    pub certificates: Certificates,
    /// Addresses for Services of type LoadBalancer.
    pub addresses: Addresses,
    /// Who may own which hosts.
    pub ownership: Ownership,
    /// References between namespaces.
    pub tenancy: Tenancy,
    /// The administrator's listener.
    pub admin: Admin,
    /// The ValidatingWebhook.
    pub admission: Admission,
}

/// Which part of the program runs here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    #[default]
    All,
    /// HTTP, HTTPS and the addresses of Services.
    Gateway,
    /// DNS.
    Dns,
    /// No data plane: certificates, addresses and status.
    Controller,
}

impl Role {
    /// Whether HTTP, HTTPS and the addresses of Services are served here.
    pub const fn serves_gateway(self) -> bool {
        matches!(self, Self::All | Self::Gateway)
    }

    /// Whether DNS is served here.
    pub const fn serves_dns(self) -> bool {
        matches!(self, Self::All | Self::Dns)
    }

    /// Whether certificates are ordered, addresses allocated and status is written here.
    pub const fn controls(self) -> bool {
        matches!(self, Self::All | Self::Controller)
    }
}

/// Where objects come from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Source {
    /// Directories of manifests, or files.
    #[serde(with = "one_or_many")]
    pub manifests: Vec<PathBuf>,
    /// A Kubernetes cluster, instead of manifests.
    pub kubernetes: Option<Kubernetes>,
}

/// A Kubernetes cluster as the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Kubernetes {
    /// How to reach it; without it the service account of the pod, or what kubectl would use.
    pub kubeconfig: Option<PathBuf>,
    /// Namespace of the program's own objects.
    pub namespace: String,
    /// Headless Service of the replicas in that namespace.
    pub peers_service: String,
}

impl Default for Kubernetes {
    fn default() -> Self {
        Self { kubeconfig: None, namespace: "vrata-system".into(), peers_service: "vrata-peers".into() }
    }
}

/// The data plane for HTTP and TLS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Gateway {
    /// Addresses that serve plain HTTP.
    #[serde(deserialize_with = "listen::many")]
    pub http: Vec<SocketAddr>,
    /// Addresses that serve HTTPS.
    #[serde(deserialize_with = "listen::many")]
    pub https: Vec<SocketAddr>,
    /// Addresses under which clients reach this gateway; they are published in DNS and in status.
    pub public_addresses: Vec<IpAddr>,
    /// Service (`namespace/name`) whose addresses and host names are the public ones instead, as soon as it has any.
    pub publish_service: Option<String>,
    /// Port under which clients reach the HTTPS listener; redirects name it unless it is 443.
    pub public_https_port: u16,
    /// Class that the annotation `kubernetes.io/ingress.class` has to name.
    pub ingress_class: String,
    /// Controller that the IngressClass has to name.
    pub controller_class: String,
    /// Whether Ingresses that name no class are served.
    pub watch_ingress_without_class: bool,
    /// How long open connections may go on after a stop was asked for, in seconds.
    pub drain_seconds: u64,
    /// `off`, `json` or `nginx`.
    pub access_log: AccessLog,
    /// Largest number of open connections.
    pub max_connections: usize,
}

/// Shape of the access log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessLog {
    /// None.
    Off,
    /// One JSON object a line.
    #[default]
    Json,
    /// ingress-nginx's default line.
    Nginx,
}

/// The DNS server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Dns {
    /// Addresses that serve DNS over UDP and TCP.
    #[serde(deserialize_with = "listen::many")]
    pub listen: Vec<SocketAddr>,
    /// Zones that are served.
    pub zones: Vec<Zone>,
}

/// A zone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Zone {
    /// Its apex, for instance `dyn.cloud.e-infra.cz`.
    pub name: String,
    /// Zone file (RFC 1035) whose records are served too; its SOA and NS are used, the serial is ours.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// When set, hosts get a CNAME to this name instead of the gateway's addresses.
    #[serde(default)]
    pub cname: Option<String>,
    /// TTL of hosts, in seconds.
    #[serde(default = "Zone::default_ttl")]
    pub ttl: u32,
}

impl Zone {
    const fn default_ttl() -> u32 {
        60
    }

    /// A zone with the defaults.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), file: None, cname: None, ttl: Self::default_ttl() }
    }
}

/// Certificates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Certificates {
    /// ClusterIssuer that signs the wildcards of the zones that are served here. A zone whose issuer does not exist has no wildcard.
    pub platform_issuer: String,
    /// Issuer for `kubernetes.io/tls-acme: "true"` without an issuer annotation.
    pub default_issuer: String,
    /// Namespace of the Secrets that ClusterIssuers name.
    pub cluster_resource_namespace: String,
}

/// Addresses for Services of type LoadBalancer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Addresses {
    /// Pools to allocate from, in this order.
    pub pools: Vec<Pool>,
    /// Who carries the traffic of allocated addresses.
    pub traffic: Traffic,
    /// Namespace whose IPAddressPool objects are pools too.
    pub pool_namespace: String,
    /// Services with exactly this loadBalancerClass are ours.
    pub load_balancer_class: Option<String>,
    /// Whether Services without a loadBalancerClass are ours too.
    pub default_class: bool,
    /// How many addresses namespaces may hold.
    pub quota: Quota,
}

/// Who carries the traffic of allocated addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Traffic {
    /// This program, on the machine that has the address.
    #[default]
    Forwarder,
    /// The cluster's kube-proxy: the allocation is enough.
    KubeProxy,
}

/// A pool of addresses.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pool {
    /// Its name, as annotations name it.
    pub name: String,
    /// CIDRs (`192.0.2.0/24`) or ranges (`192.0.2.10-192.0.2.20`), IPv4 or IPv6.
    pub ranges: Vec<String>,
    /// Whether Services that name no pool may get an address from it.
    #[serde(default = "yes")]
    pub auto_assign: bool,
}

const fn yes() -> bool {
    true
}

/// The administrator's listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Admin {
    /// Its address. It has no access control of its own: keep it on loopback.
    #[serde(deserialize_with = "listen::one")]
    pub listen: SocketAddr,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            role: Role::All,
            source: Source::default(),
            state: PathBuf::from("./state"),
            gateway: Gateway::default(),
            dns: Dns::default(),
            certificates: Certificates::default(),
            addresses: Addresses::default(),
            ownership: Ownership::default(),
            tenancy: Tenancy::default(),
            admin: Admin::default(),
            admission: Admission::default(),
        }
    }
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            http: Vec::new(),
            https: Vec::new(),
            public_addresses: Vec::new(),
            publish_service: None,
            public_https_port: 443,
            ingress_class: "nginx".into(),
            controller_class: "k8s.io/ingress-nginx".into(),
            watch_ingress_without_class: false,
            drain_seconds: 30,
            access_log: AccessLog::Json,
            max_connections: 65_536,
        }
    }
}

impl Default for Certificates {
    fn default() -> Self {
        Self {
            platform_issuer: "letsencrypt-prod".into(),
            default_issuer: "letsencrypt-prod".into(),
            cluster_resource_namespace: "cert-manager".into(),
        }
    }
}

impl Default for Addresses {
    fn default() -> Self {
        Self {
            pools: Vec::new(),
            traffic: Traffic::default(),
            pool_namespace: "metallb-system".into(),
            load_balancer_class: None,
            default_class: true,
            quota: Quota::default(),
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9090)) }
    }
}

impl Config {
    /// Fills in what follows from the rest: without `publicAddresses` the gateway's own addresses are the public ones.
    fn fill(&mut self) {
        let gateway = &mut self.gateway;
        if gateway.public_addresses.is_empty() {
            let mut addresses: Vec<_> = gateway.https.iter().chain(&gateway.http).map(SocketAddr::ip).filter(|ip| !ip.is_unspecified()).collect();
            addresses.sort();
            addresses.dedup();
            gateway.public_addresses = addresses;
        }
    }
}

/// A path, or a list of paths.
mod one_or_many {
    use std::fmt;
    use std::path::PathBuf;

    use serde::de::{Error, SeqAccess, Visitor};
    use serde::{Deserializer, Serialize, Serializer};

    struct Paths;

    impl<'de> Visitor<'de> for Paths {
        type Value = Vec<PathBuf>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a path or a list of paths")
        }

        fn visit_str<E: Error>(self, path: &str) -> Result<Self::Value, E> {
            Ok(vec![path.into()])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut paths = Vec::new();
            while let Some(path) = list.next_element()? {
                paths.push(path);
            }
            Ok(paths)
        }
    }

    pub(super) fn serialize<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
        match paths {
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
        deserializer.deserialize_any(Paths)
    }
}

#[cfg(test)]
mod tests;
