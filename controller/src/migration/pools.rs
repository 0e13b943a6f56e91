//! Pools of addresses, and what announces addresses and publishes names today. Pure.

use serde::Serialize;
use serde_json::Value;

use super::Scene;

/// An IPAddressPool.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolRow {
    /// `namespace/name`.
    pub pool: String,
    /// Its ranges.
    pub addresses: Vec<String>,
    /// Whether Services that name no pool get an address of it.
    pub auto_assign: bool,
    /// Whether it is read: pools of one namespace are.
    pub read: bool,
    /// How many Services would hold an address of it.
    pub services: usize,
}

/// An object of another program that is not read here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Announcement {
    /// Its kind.
    pub kind: String,
    /// `namespace/name`, or the name.
    pub name: String,
    /// What it is about: pools, or names.
    pub about: Vec<String>,
    /// What becomes of it.
    pub then: String,
}

/// A row for each pool.
pub(super) fn rows(scene: &Scene<'_>) -> Vec<PoolRow> {
    let pools = scene.cluster.objects.address_pools.iter();
    let rows = pools.map(|(key, stored)| {
        let held = scene.compiled.allocations.services.values().filter(|allocation| allocation.pool == key.name).count();
        let read = key.namespace == scene.settings.pool_namespace;
        PoolRow {
            pool: key.to_string(),
            addresses: stored.object.addresses.clone(),
            auto_assign: stored.object.auto_assign.unwrap_or(true),
            read,
            services: if read { held } else { 0 },
        }
    });
    rows.collect()
}

/// What is not read here, by kind and name.
pub(super) fn announcements(neighbours: &[Value]) -> Vec<Announcement> {
    let mut rows: Vec<_> = neighbours.iter().filter_map(announcement).collect();
    rows.sort();
    rows
}

fn announcement(object: &Value) -> Option<Announcement> {
    let kind = object["kind"].as_str()?;
    let meta = &object["metadata"];
    let name = meta["name"].as_str()?;
    let name = meta["namespace"].as_str().map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"));
    let spec = &object["spec"];
    let texts = |value: &Value, key: Option<&str>| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items.filter_map(|item| key.map_or(Some(item), |key| item.get(key))?.as_str().map(str::to_owned)).collect()
    };
    let (about, then) = match kind {
        "L2Advertisement" | "BGPAdvertisement" => {
            let named = texts(&spec["ipAddressPools"], None);
            let selects = spec["ipAddressPoolSelectors"].as_array().is_some_and(|selectors| !selectors.is_empty());
            let about = match (named.is_empty(), selects) {
                (true, true) => vec!["pools with certain labels".to_owned()],
                (true, false) => vec!["all pools".to_owned()],
                (false, _) => named,
            };
            (about, "MetalLB's speakers go on announcing; keep them")
        }
        "ServiceGroup" => {
            let local = ["subnet", "pool"].iter().filter_map(|key| spec["local"][*key].as_str().map(str::to_owned));
            let pools = ["v4pools", "v6pools"].iter().flat_map(|key| texts(&spec["local"][*key], Some("pool")));
            (local.chain(pools).collect(), "is not read; write its addresses as a pool of that name in addresses.pools")
        }
        "DNSEndpoint" => (texts(&spec["endpoints"], Some("dnsName")), "is not read; write its records into the zone's file"),
        _ => return None,
    };
    Some(Announcement { kind: kind.to_owned(), name, about, then: then.to_owned() })
}
