//! Whether a configuration makes sense as a whole. Pure: what is on disk is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use ipnet::IpNet;

use super::{Config, Finding, Kubernetes, Pool, Zone};

/// RFC 2181 section 8.
const MAX_TTL: u32 = 0x7fff_ffff;

const MAX_DRAIN_SECONDS: u64 = 86_400;

/// Everything that is wrong; empty when all is well. `readable` tells why a path cannot be read. What only serving needs may be missing where nothing is
/// `served`.
pub fn validate(config: &Config, served: bool, readable: &dyn Fn(&Path) -> Result<(), String>) -> Vec<Finding> {
    let mut found = Vec::new();
    sources(config, served, readable, &mut found);
    listeners(config, &mut found);
    gateway(config, &mut found);
    zones(config, readable, &mut found);
    if served {
        reachable(config, &mut found);
    }
    pools(&config.addresses.pools, &mut found);
    tenancy(config, &mut found);
    let names = [
        ("certificates.platformIssuer", &config.certificates.platform_issuer),
        ("certificates.defaultIssuer", &config.certificates.default_issuer),
        ("certificates.clusterResourceNamespace", &config.certificates.cluster_resource_namespace),
        ("addresses.poolNamespace", &config.addresses.pool_namespace),
    ];
    for (key, name) in names {
        if !crate::source::is_subdomain(name) {
            found.push(Finding::new(key, format!("{name:?} is no name of a Kubernetes object")));
        }
    }
    found
}

fn sources(config: &Config, served: bool, readable: &dyn Fn(&Path) -> Result<(), String>, found: &mut Vec<Finding>) {
    match &config.source.kubernetes {
        None if served && config.source.manifests.is_empty() => found.push(Finding::new(
            "source.manifests",
            "no manifests are named; write the directory that holds them or kubernetes: {}, or use --manifests DIR or --kubernetes",
        )),
        None => {}
        Some(_) if !config.source.manifests.is_empty() => {
            found.push(Finding::new("source", "manifests and kubernetes are both there; objects come from one place, so remove one of them"));
        }
        Some(kubernetes) => cluster(kubernetes, readable, found),
    }
    let many = config.source.manifests.len() > 1;
    for (index, path) in config.source.manifests.iter().enumerate() {
        let key = if many { format!("source.manifests[{index}]") } else { "source.manifests".into() };
        if let Err(cause) = readable(path) {
            found.push(Finding::new(key, format!("{} cannot be read: {cause}", path.display())));
        }
    }
    if config.state.as_os_str().is_empty() {
        found.push(Finding::new("state", "the path is empty; write the directory for what has to survive a restart"));
    }
}

fn cluster(kubernetes: &Kubernetes, readable: &dyn Fn(&Path) -> Result<(), String>, found: &mut Vec<Finding>) {
    if let Some(path) = &kubernetes.kubeconfig
        && let Err(cause) = readable(path)
    {
        found.push(Finding::new("source.kubernetes.kubeconfig", format!("{} cannot be read: {cause}", path.display())));
    }
    if !crate::source::is_subdomain(&kubernetes.namespace) || kubernetes.namespace.contains('.') {
        let message = format!("{:?} is no name of a namespace: a-z, 0-9 and '-', with a letter or digit at both ends", kubernetes.namespace);
        found.push(Finding::new("source.kubernetes.namespace", message));
    }
    if !crate::source::is_subdomain(&kubernetes.peers_service) || kubernetes.peers_service.contains('.') {
        let message = format!("{:?} is no name of a Service: a-z, 0-9 and '-', with a letter or digit at both ends", kubernetes.peers_service);
        found.push(Finding::new("source.kubernetes.peersService", message));
    }
}

/// No address serves two things, except that DNS is both UDP and TCP by itself.
fn listeners(config: &Config, found: &mut Vec<Finding>) {
    let lists = [("gateway.http", &config.gateway.http), ("gateway.https", &config.gateway.https), ("dns.listen", &config.dns.listen)];
    let all = lists.iter().flat_map(|(key, list)| list.iter().enumerate().map(move |(index, address)| (format!("{key}[{index}]"), *address)));
    let mut taken: BTreeMap<SocketAddr, String> = BTreeMap::new();
    for (key, address) in all
        .chain([("admin.listen".to_owned(), config.admin.listen)])
        .chain(config.admission.listen.map(|address| ("admission.listen".to_owned(), address)))
    {
        if address.port() == 0 {
            continue;
        }
        match taken.iter().find(|(other, _)| clash(**other, address)) {
            Some((other, holder)) => found.push(Finding::new(key, format!("{address} is already taken by {holder} ({other})"))),
            None => drop(taken.insert(address, key)),
        }
    }
}

/// Something listens, and it is known where clients reach it.
fn reachable(config: &Config, found: &mut Vec<Finding>) {
    let role = config.role;
    let gateway = !(config.gateway.http.is_empty() && config.gateway.https.is_empty());
    let serves = (role.serves_gateway() && gateway) || (role.serves_dns() && !config.dns.listen.is_empty());
    if !serves && (role.serves_gateway() || role.serves_dns()) {
        let key = if role.serves_gateway() { "gateway" } else { "dns.listen" };
        found.push(Finding::new(key, "nothing listens; write gateway.http, gateway.https or dns.listen, or use --http, --https or --dns"));
    }
    if role.serves_dns() && !config.dns.listen.is_empty() && config.dns.zones.is_empty() {
        found.push(Finding::new("dns.zones", "DNS listens but has no zone; write dns.zones, or use --zone NAME"));
    }
    let by_address = |zone: &Zone| zone.cname.is_none() || zone.file.is_none();
    if config.gateway.public_addresses.is_empty() && config.dns.zones.iter().any(by_address) {
        let why = "the zones' hosts need addresses, and the gateway listens on none in particular; write the addresses under which clients reach it";
        found.push(Finding::new("gateway.publicAddresses", why));
    }
}

fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = |wide: IpAddr, other: IpAddr| wide.is_unspecified() && wide.is_ipv4() == other.is_ipv4();
    a.port() == b.port() && (a.ip() == b.ip() || covers(a.ip(), b.ip()) || covers(b.ip(), a.ip()))
}

fn gateway(config: &Config, found: &mut Vec<Finding>) {
    let gateway = &config.gateway;
    if gateway.public_https_port == 0 {
        found.push(Finding::new("gateway.publicHttpsPort", "0 is no port; expected 1 to 65535"));
    }
    if gateway.drain_seconds > MAX_DRAIN_SECONDS {
        found.push(Finding::new("gateway.drainSeconds", format!("{} is too long; expected 0 to {MAX_DRAIN_SECONDS}", gateway.drain_seconds)));
    }
    if gateway.max_connections == 0 {
        found.push(Finding::new("gateway.maxConnections", "0 would serve nobody; expected at least 1"));
    }
    if let Some(service) = &gateway.publish_service
        && !service.split_once('/').is_some_and(|(namespace, name)| [namespace, name].into_iter().all(crate::source::is_subdomain))
    {
        found.push(Finding::new("gateway.publishService", format!("{service:?} is not namespace/name")));
    }
    let mut seen = BTreeSet::new();
    for (index, address) in gateway.public_addresses.iter().enumerate() {
        let key = format!("gateway.publicAddresses[{index}]");
        if address.is_unspecified() {
            found.push(Finding::new(key, format!("{address} is no address that clients can reach")));
        } else if !seen.insert(address) {
            found.push(Finding::new(key, format!("{address} is there twice")));
        }
    }
}

fn zones(config: &Config, readable: &dyn Fn(&Path) -> Result<(), String>, found: &mut Vec<Finding>) {
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for (index, zone) in config.dns.zones.iter().enumerate() {
        let key = format!("dns.zones[{index}]");
        let apex = zone.name.trim_end_matches('.').to_ascii_lowercase();
        if !is_zone_name(&apex) {
            found.push(Finding::new(format!("{key}.name"), format!("{:?} is no DNS name", zone.name)));
        } else if let Some(first) = names.get(&apex) {
            found.push(Finding::new(format!("{key}.name"), format!("{:?} is already dns.zones[{first}]", zone.name)));
        } else {
            names.insert(apex, index);
        }
        one_zone(&key, zone, readable, found);
    }
}

fn one_zone(key: &str, zone: &Zone, readable: &dyn Fn(&Path) -> Result<(), String>, found: &mut Vec<Finding>) {
    if zone.ttl > MAX_TTL {
        found.push(Finding::new(format!("{key}.ttl"), format!("{} is too large; expected 0 to {MAX_TTL} (RFC 2181)", zone.ttl)));
    }
    if let Some(file) = &zone.file
        && let Err(cause) = readable(file)
    {
        found.push(Finding::new(format!("{key}.file"), format!("{} cannot be read: {cause}", file.display())));
    }
    if let Some(cname) = zone.cname.as_deref().filter(|name| !is_zone_name(&name.trim_end_matches('.').to_ascii_lowercase())) {
        found.push(Finding::new(format!("{key}.cname"), format!("{cname:?} is no DNS name")));
    }
}

/// Zones may have underscores, hosts may not.
fn is_zone_name(name: &str) -> bool {
    crate::source::is_subdomain(&name.replace('_', "x"))
}

/// Classes, quotas, the policy of ownership, the webhook.
fn tenancy(config: &Config, found: &mut Vec<Finding>) {
    let addresses = &config.addresses;
    match addresses.load_balancer_class.as_deref() {
        Some(class) if !is_class(class) => {
            found.push(Finding::new("addresses.loadBalancerClass", format!("{class:?} is no class; write it like vrata.io/gate")));
        }
        None if !addresses.default_class => {
            let why = "no Service would be ours: there is no addresses.loadBalancerClass either; name one";
            found.push(Finding::new("addresses.defaultClass", why));
        }
        _ => {}
    }
    for namespace in addresses.quota.namespaces.keys().filter(|name| !crate::source::is_subdomain(name)) {
        found.push(Finding::new(format!("addresses.quota.namespaces.{namespace}"), format!("{namespace:?} is no name of a namespace")));
    }
    if let Err(faults) = crate::ownership::Policy::read(&config.ownership) {
        found.extend(faults.into_iter().map(|fault| Finding::new(format!("ownership.{}", fault.key), fault.message)));
    }
    let config_map = config.ownership.config_map.as_deref();
    if let Some(name) = config_map.filter(|name| name.split_once('/').is_none_or(|(a, b)| ![a, b].into_iter().all(crate::source::is_subdomain))) {
        found.push(Finding::new("ownership.configMap", format!("{name:?} is not namespace/name")));
    }
    for (index, name) in config.admission.names.iter().enumerate().filter(|(_, name)| !crate::source::is_subdomain(name)) {
        found.push(Finding::new(format!("admission.names[{index}]"), format!("{name:?} is no DNS name in lower case")));
    }
}

/// A label-style name with an optional prefix, as the API server wants it.
fn is_class(class: &str) -> bool {
    let (prefix, name) = class.split_once('/').map_or((None, class), |(prefix, name)| (Some(prefix), name));
    let bytes = name.as_bytes();
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    prefix.is_none_or(crate::source::is_subdomain)
        && (1..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
        && ends(bytes.first())
        && ends(bytes.last())
}

fn pools(pools: &[Pool], found: &mut Vec<Finding>) {
    let mut names = BTreeSet::new();
    for (index, pool) in pools.iter().enumerate() {
        let key = format!("addresses.pools[{index}]");
        if pool.name.trim().is_empty() {
            found.push(Finding::new(format!("{key}.name"), "the name is empty"));
        } else if !names.insert(&pool.name) {
            found.push(Finding::new(format!("{key}.name"), format!("{:?} is there twice", pool.name)));
        }
        if pool.ranges.is_empty() {
            found.push(Finding::new(format!("{key}.ranges"), "the pool has no addresses; write a CIDR or a range"));
        }
        for (place, range) in pool.ranges.iter().enumerate() {
            if let Some(fault) = range_fault(range) {
                found.push(Finding::new(format!("{key}.ranges[{place}]"), format!("{range:?} {fault}")));
            }
        }
    }
}

/// Why a text is no range of addresses.
fn range_fault(text: &str) -> Option<&'static str> {
    let Some((first, last)) = text.split_once('-') else {
        return text.trim().parse::<IpNet>().is_err().then_some("is no range; expected a CIDR (192.0.2.0/24) or FIRST-LAST (192.0.2.10-192.0.2.20)");
    };
    match (first.trim().parse::<IpAddr>(), last.trim().parse::<IpAddr>()) {
        (Ok(first), Ok(last)) if first.is_ipv4() != last.is_ipv4() => Some("mixes IPv4 and IPv6"),
        (Ok(first), Ok(last)) if first > last => Some("ends before it begins"),
        (Ok(_), Ok(_)) => None,
        _ => Some("is no range; expected a CIDR (192.0.2.0/24) or FIRST-LAST (192.0.2.10-192.0.2.20)"),
    }
}
