//! Tables of pools that are for certain namespaces or Services, of sharing between namespaces, and of quotas.

use serde_json::{Value, json};

use crate::addresses::PoolFault;
use crate::objects::{AddressPoolSpec, Objects, Stored};
use crate::problem::ObjectRef;

use super::scenario::{World, asks, key, pool};
use super::*;

fn stored<T>(kind: &str, namespace: &str, name: &str, object: T) -> Stored<T> {
    let reference = ObjectRef { kind: kind.into(), namespace: Some(namespace.into()), name: name.into() };
    let age = crate::objects::Age { created: Some(1), origin: None, name: format!("{namespace}/{name}") };
    Stored { reference, object, origin: None, age, meta: crate::objects::Meta::default() }
}

/// Objects with these pools (name and spec), the older first, and these namespaces with a label `tier`.
fn objects(pools: &[(&str, Value)], tiers: &[(&str, &str)]) -> Objects {
    let mut objects = Objects::default();
    for (born, (name, spec)) in (0..).zip(pools) {
        let spec: AddressPoolSpec = serde_json::from_value(spec.clone()).unwrap();
        let mut pool = stored("IPAddressPool", "metallb-system", name, spec);
        pool.age.created = Some(born);
        objects.address_pools.insert(key(&format!("metallb-system/{name}")), pool.into());
    }
    for (name, tier) in tiers {
        let namespace = json!({"metadata": {"name": name, "labels": {"tier": tier}}});
        let namespace = stored("Namespace", "", name, serde_json::from_value(namespace).unwrap());
        objects.namespaces.insert(ObjectKey::new("", *name), namespace.into());
    }
    objects
}

fn ranges(configured: &[crate::config::Pool], objects: &Objects) -> (PoolRanges, Vec<PoolFault>) {
    let configured = PoolRanges::parse(configured).unwrap();
    let (ranges, faults) = configured.with_objects(objects, "metallb-system");
    (ranges.into_owned(), faults)
}

fn world(pools: &[(&str, Value)], tiers: &[(&str, &str)]) -> World {
    let mut world = World::new(&[]);
    world.pools = ranges(&[], &objects(pools, tiers)).0;
    world
}

#[test]
fn pools_that_are_meant_for_a_service_come_first_by_priority_and_those_for_everybody_last() {
    let fenced = |priority: i64, cidr: &str| json!({"addresses": [cidr], "serviceAllocation": {"priority": priority, "namespaces": ["a"]}});
    let pools = [
        ("everybody", json!({"addresses": ["192.0.2.0/32"]})),
        ("last", fenced(0, "10.0.0.0/32")),
        ("second", fenced(20, "10.0.1.0/32")),
        ("first", fenced(5, "10.0.2.0/32")),
        ("closed", json!({"addresses": ["10.0.3.0/32"], "autoAssign": false, "serviceAllocation": {"priority": 1, "namespaces": ["a"]}})),
        ("nobody", json!({"addresses": ["10.0.4.0/32"], "serviceAllocation": {"priority": 1}})),
    ];
    let mut world = world(&pools, &[]);
    world.claim_all(&["a/1", "a/2", "a/3", "a/4", "b/1"], &asks());
    world.claim("a/5", asks().in_pool("closed"));
    world.claim("b/2", asks().in_pool("nobody"));
    let refused =
        "b/1: the pool \"everybody\" has no free IPv4 address; share one with metallb.io/allow-shared-ip, free one, or ask the platform's operators";
    let expected = [
        "a/1 10.0.2.0 first",
        "a/2 10.0.1.0 second",
        "a/3 10.0.0.0 last",
        "a/4 192.0.2.0 everybody",
        "a/5 10.0.3.0 closed",
        "b/2 10.0.4.0 nobody",
        refused,
    ];
    let mut lines = world.step();
    lines.sort_by_key(|line| line.contains(':'));
    assert_eq!(lines, expected);
}

#[test]
fn a_fence_holds_whatever_is_asked_for() {
    let selector = |value: &str| json!({"matchLabels": {"tier": value}});
    let namespaces = |value: &str| json!({"addresses": ["10.0.0.0/24"], "serviceAllocation": {"namespaceSelectors": [selector(value)]}});
    let both =
        json!({"addresses": ["10.0.0.0/24"], "serviceAllocation": {"namespaces": ["a"], "serviceSelectors": [{"matchLabels": {"app": "db"}}]}});
    let by_name =
        json!({"addresses": ["10.0.0.0/24"], "serviceAllocation": {"namespaceSelectors": [{"matchLabels": {"kubernetes.io/metadata.name": "b"}}]}});
    // The pool, who asks, with which label app: whether it gets the address.
    let table = [
        (namespaces("gold"), "a/1", "", true),
        (namespaces("gold"), "b/1", "", false),
        (namespaces("gold"), "unknown/1", "", false),
        // In MetalLB a selector that matches no namespace lets everybody in.
        (namespaces("platinum"), "a/1", "", false),
        (namespaces("platinum"), "b/1", "", false),
        (json!({"addresses": ["10.0.0.0/24"], "serviceAllocation": {"namespaces": ["b"]}}), "a/1", "", false),
        (
            json!({"addresses": ["10.0.0.0/24"], "serviceAllocation": {"namespaces": ["b"], "namespaceSelectors": [selector("gold")]}}),
            "a/1",
            "",
            true,
        ),
        (json!({"addresses": ["10.0.0.0/24"], "serviceAllocation": {"serviceSelectors": [{"matchLabels": {"app": "db"}}]}}), "b/1", "db", true),
        (json!({"addresses": ["10.0.0.0/24"], "serviceAllocation": {"serviceSelectors": [{"matchLabels": {"app": "db"}}]}}), "b/1", "web", false),
        (both.clone(), "a/1", "db", true),
        (both.clone(), "a/1", "web", false),
        (both, "b/1", "db", false),
        (by_name.clone(), "b/1", "", true),
        (by_name, "a/1", "", false),
    ];
    for (spec, service, app, granted) in table {
        let pools = ranges(&[], &objects(&[("p", spec.clone())], &[("a", "gold"), ("b", "silver")])).0;
        for asks in [asks(), asks().in_pool("p"), asks().addresses(&["10.0.0.9"]), asks().in_pool("p").addresses(&["10.0.0.9"])] {
            let claim = if app.is_empty() { asks } else { asks.labelled("app", app) }.by(service);
            let outcome = allocate(&pools, &Quota::default(), &Allocations::default(), std::slice::from_ref(&claim));
            assert_eq!(!outcome.allocations.services.is_empty(), granted, "{service} {app:?} of {spec}: {outcome:?}");
        }
    }
}

#[test]
fn who_is_fenced_out_later_gives_the_address_back() {
    let fenced = |namespace: &str| {
        [("p", json!({"addresses": ["10.0.0.0/24"], "serviceAllocation": {"namespaces": [namespace]}})), ("q", json!({"addresses": ["10.0.1.0/24"]}))]
    };
    let mut world = world(&fenced("a"), &[]);
    world.claim("a/1", asks());
    world.claim("a/2", asks().in_pool("p"));
    assert_eq!(world.step(), ["a/1 10.0.0.0 p", "a/2 10.0.0.1 p"]);
    world.pools = ranges(&[], &objects(&fenced("b"), &[])).0;
    let refused = "a/2: the pool \"p\" is not for this Service; name another pool, or ask the platform's operators for whom it is";
    assert_eq!(world.step(), ["a/1 10.0.1.0 q", refused]);
}

#[test]
fn buggy_addresses_are_neither_given_nor_kept() {
    let spec = |avoid: bool| [("p", json!({"addresses": ["10.0.0.254-10.0.1.1", "fd00::/126"], "avoidBuggyIPs": avoid}))];
    let mut world = world(&spec(false), &[]);
    world.claim("a/1", asks().addresses(&["10.0.0.255"]));
    world.claim_all(&["a/2", "a/3"], &asks());
    world.claim("a/4", asks().families(Families::Single(Family::V6)));
    assert_eq!(world.step(), ["a/1 10.0.0.255 p", "a/2 10.0.0.254 p", "a/3 10.0.1.0 p", "a/4 fd00:: p"]);
    world.pools = ranges(&[], &objects(&spec(true), &[])).0;
    let refused = "a/1: the address 10.0.0.255 is not for this Service: its pool is kept for others, or keeps back addresses that end in .0 and .255";
    assert_eq!(world.step(), [refused, "a/2 10.0.0.254 p", "a/3 10.0.1.1 p", "a/4 fd00:: p"]);
}

#[test]
fn what_is_wrong_with_a_pool_costs_no_other_an_address() {
    let configured = [pool("own", &["192.0.2.0/24"], true)];
    let mut objects = objects(
        &[
            ("older", json!({"addresses": ["10.0.0.0/24"]})),
            ("overlaps", json!({"addresses": ["10.0.0.128/25", "10.9.0.0/24", "192.0.2.7/32", "10.9.0.1-10.9.0.2"]})),
            ("own", json!({"addresses": ["10.8.0.0/24"]})),
            ("fenced", json!({"addresses": ["10.7.0.5/24"], "serviceAllocation": {"namespaceSelectors": [{"matchLabels": {"no": "one"}}]}})),
        ],
        &[],
    );
    let stray = stored("IPAddressPool", "tenant", "stray", AddressPoolSpec { addresses: vec!["10.6.0.0/24".into()], ..AddressPoolSpec::default() });
    objects.address_pools.insert(key("tenant/stray"), stray.into());
    let (ranges, faults) = ranges(&configured, &objects);
    assert_eq!(ranges.names().collect::<Vec<_>>(), ["own", "fenced", "older", "overlaps"]);
    let places =
        [("10.0.0.200", Some("older")), ("10.9.0.2", Some("overlaps")), ("192.0.2.7", Some("own")), ("10.8.0.1", None), ("10.7.0.9", Some("fenced"))];
    assert_eq!(places.map(|(address, _)| ranges.pool_of(address.parse().unwrap())), places.map(|(_, pool)| pool));
    let told: Vec<_> = faults.iter().map(|fault| format!("{} {}: {}", fault.pool, fault.field, fault.message)).collect();
    let expected = [
        "tenant/stray metadata.namespace: pools are read in the namespace \"metallb-system\" only (addresses.poolNamespace); create it there",
        "metallb-system/overlaps spec.addresses[0]: \"10.0.0.128/25\" overlaps \"10.0.0.0/24\" of the pool \"older\", which came first; it is passed over, the rest of the pool is used",
        "metallb-system/overlaps spec.addresses[2]: \"192.0.2.7/32\" overlaps the pool \"own\" of the configuration, which came first; it is passed over, the rest of the pool is used",
        "metallb-system/overlaps spec.addresses[3]: \"10.9.0.1-10.9.0.2\" overlaps \"10.9.0.0/24\" of the pool \"overlaps\", which came first; it is passed over, the rest of the pool is used",
        "metallb-system/own metadata.name: \"own\" is the name of a pool of the configuration, which is used; choose another name",
        "metallb-system/fenced spec.serviceAllocation.namespaceSelectors: no namespace has such labels, so nobody gets an address of this pool; label a namespace, or name one",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_pool_of_objects_serves_both_families() {
    let mut world = world(&[("both", json!({"addresses": ["10.0.0.0/24", "fd00::/64"]})), ("four", json!({"addresses": ["10.1.0.0/24"]}))], &[]);
    world.claim("a/1", asks().families(Families::RequireDual(Family::V6)));
    world.claim("a/2", asks().families(Families::PreferDual(Family::V4)).in_pool("four"));
    world.claim("a/3", asks().families(Families::RequireDual(Family::V4)).in_pool("four"));
    assert_eq!(world.step(), ["a/1 fd00::,10.0.0.0 both", "a/2 10.1.0.0 four", "a/3: the pool \"four\" has no IPv4 and IPv6 addresses"]);
}

#[test]
fn namespaces_share_only_when_each_names_the_other() {
    // What A and B agree to; whether B gets A's address.
    let table =
        [(None, None, false), (Some("b"), None, false), (None, Some("a"), false), (Some("c"), Some("a"), false), (Some("b"), Some("a"), true)];
    for (a, b, shared) in table {
        let mut world = World::new(&[pool("p", &["192.0.2.0/31"], true)]);
        let with =
            |asks: scenario::Asks, namespace: Option<&str>| namespace.map_or_else(|| asks.clone(), |namespace| asks.clone().shares_with(namespace));
        world.claim("a/1", with(asks().key("k").ports(&[1]), a));
        world.claim("b/1", with(asks().key("k").ports(&[2]), b));
        let expected = if shared { "b/1 192.0.2.0 p" } else { "b/1 192.0.2.1 p" };
        assert_eq!(world.step(), ["a/1 192.0.2.0 p", expected], "{a:?} {b:?}");
    }
}

#[test]
fn agreement_waives_none_of_the_other_rules_and_its_end_parts_the_two() {
    let mut world = World::new(&[pool("p", &["192.0.2.0/30"], true)]);
    let a = asks().key("k").ports(&[1]).shares_with("b").addresses(&["192.0.2.1"]);
    world.claim("a/1", a);
    let b = asks().shares_with("a").addresses(&["192.0.2.1"]);
    let table = [
        (b.clone().key("l").ports(&[2]), "their allow-shared-ip keys differ; give both the same"),
        (b.clone().ports(&[2]), "only one of the two has an allow-shared-ip key; give both the same"),
        (b.clone().key("k").ports(&[1]), "which has the port 1/TCP too"),
        (
            b.clone().key("k").ports(&[2]).local("x"),
            "their externalTrafficPolicy differs, or is Local for different pods; give both Cluster, or Local and the same selector",
        ),
    ];
    for (asks, expected) in table {
        world.claim("b/1", asks);
        let refusal = world.outcome().refusals[&key("b/1")].to_string();
        assert!(refusal.ends_with(expected), "{refusal}");
    }
    world.claim("b/1", b.key("k").ports(&[2]));
    assert_eq!(world.step(), ["a/1 192.0.2.1 p", "b/1 192.0.2.1 p"]);
    world.claim("a/1", asks().key("k").ports(&[1]).addresses(&["192.0.2.1"]));
    assert_eq!(world.step(), ["a/1 192.0.2.1 p", "b/1: the address 192.0.2.1 is held by Service a/1"]);
}

#[test]
fn local_services_share_with_those_of_the_same_pods_only() {
    let mut world = World::new(&[pool("p", &["192.0.2.0/29"], true)]);
    world.claim("a/1", asks().key("k").ports(&[1]).local("x"));
    world.claim("a/2", asks().key("k").ports(&[2]).local("x"));
    world.claim("a/3", asks().key("k").ports(&[3]).local("y"));
    world.claim("a/4", asks().key("k").ports(&[4]));
    assert_eq!(world.step(), ["a/1 192.0.2.0 p", "a/2 192.0.2.0 p", "a/3 192.0.2.1 p", "a/4 192.0.2.2 p"]);
}

#[test]
fn a_quota_counts_addresses_and_not_services() {
    let mut world = World::new(&[pool("p", &["192.0.2.0/28"], true)]);
    world.quota = Quota { default: Some(1), namespaces: [("b".to_owned(), 2), ("none".to_owned(), 0)].into() };
    world.claim("a/1", asks().key("k").ports(&[1]));
    world.claim("a/2", asks().key("k").ports(&[2]));
    world.claim("a/3", asks().key("k").ports(&[1]));
    world.claim_all(&["b/1", "b/2", "b/3", "none/1"], &asks());
    let over = |used: usize, limit: usize| {
        format!(
            "this namespace holds {used} of {limit} addresses that it may have; free one, share one with metallb.io/allow-shared-ip, or ask the \
             platform's operators for more (addresses.quota)"
        )
    };
    let expected = [
        "a/1 192.0.2.0 p".to_owned(),
        "a/2 192.0.2.0 p".to_owned(),
        format!("a/3: {}", over(1, 1)),
        "b/1 192.0.2.1 p".to_owned(),
        "b/2 192.0.2.2 p".to_owned(),
        format!("b/3: {}", over(2, 2)),
        format!("none/1: {}", over(0, 0)),
    ];
    assert_eq!(world.step(), expected);
    world.remove("b/1");
    assert_eq!(world.step()[3..5], ["b/2 192.0.2.2 p", "b/3 192.0.2.1 p"]);
    // What is held stays when the quota shrinks.
    world.quota.namespaces.insert("b".to_owned(), 0);
    assert_eq!(world.step()[3..5], ["b/2 192.0.2.2 p", "b/3 192.0.2.1 p"]);
}

#[test]
fn a_quota_leaves_one_family_to_a_service_that_prefers_both_and_nothing_to_one_that_needs_them() {
    let mut world = World::new(&[pool("p", &["192.0.2.0/28", "fd00::/64"], true)]);
    world.quota = Quota { default: Some(1), namespaces: BTreeMap::new() };
    world.claim("a/1", asks().families(Families::PreferDual(Family::V6)));
    world.claim("b/1", asks().families(Families::RequireDual(Family::V4)));
    let lines = world.step();
    assert_eq!(lines[0], "a/1 fd00:: p");
    assert!(lines[1].starts_with("b/1: this namespace holds 0 of 1 addresses"), "{lines:?}");
}

#[test]
fn an_address_that_namespaces_share_counts_in_each() {
    let mut world = World::new(&[pool("p", &["192.0.2.0/28"], true)]);
    world.quota = Quota { default: Some(1), namespaces: [("b".to_owned(), 0)].into() };
    world.claim("a/1", asks().key("k").ports(&[1]).shares_with("b"));
    world.claim("b/1", asks().key("k").ports(&[2]).shares_with("a"));
    assert!(world.step()[1].starts_with("b/1: this namespace holds 0 of 0 addresses"));
}
