//! Tables of who gets what, and properties that hold for all of them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod properties;
mod scenario;
mod tenancy;
mod tenancy_properties;

use std::collections::BTreeMap;

use super::super::SharingObstacle;
use super::*;
use scenario::{World, asks, dual_pools, key, pool, small_pools};

/// The outcome alone.
fn allocate(pools: &PoolRanges, quota: &Quota, held: &Allocations, claims: &[Claim]) -> Outcome {
    let claims: Vec<_> = claims.iter().cloned().map(Arc::new).collect();
    super::allocate(pools, quota, held, &claims).0
}

#[test]
fn the_lowest_address_of_the_first_open_pool_is_taken() {
    let mut world = World::new(&small_pools());
    world.claim("a/one", asks());
    world.claim("b/two", asks());
    world.claim("b/three", asks().in_pool("private"));
    assert_eq!(world.step(), ["a/one 192.0.2.0 public", "b/three 10.0.0.0 private", "b/two 192.0.2.1 public"]);
}

#[test]
fn ranges_are_used_in_their_listed_order_and_pools_in_theirs() {
    let mut world = World::new(&[pool("p", &["192.0.2.9/32", "192.0.2.1/32"], true), pool("q", &["192.0.2.0/32"], true)]);
    world.claim_all(&["a/1", "a/2", "a/3"], &asks());
    assert_eq!(world.step(), ["a/1 192.0.2.9 p", "a/2 192.0.2.1 p", "a/3 192.0.2.0 q"]);
}

#[test]
fn an_exhausted_pool_leaves_the_youngest_waiting_until_an_address_is_freed() {
    let mut world = World::new(&[pool("p", &["192.0.2.0/31"], true)]);
    world.claim_all(&["a/1", "b/2", "c/3", "d/4"], &asks());
    let waiting = "the pool \"p\" has no free IPv4 address; share one with metallb.io/allow-shared-ip, free one, or ask the platform's operators";
    assert_eq!(world.step(), ["a/1 192.0.2.0 p", "b/2 192.0.2.1 p", &format!("c/3: {waiting}"), &format!("d/4: {waiting}")]);
    world.remove("a/1");
    assert_eq!(world.step(), ["b/2 192.0.2.1 p", "c/3 192.0.2.0 p", &format!("d/4: {waiting}")]);
}

#[test]
fn what_is_held_stays_although_an_older_service_waits() {
    let mut world = World::new(&[pool("p", &["192.0.2.0/32"], true)]);
    world.claim("b/young", asks().born(9));
    assert_eq!(world.step(), ["b/young 192.0.2.0 p"]);
    world.claim("a/old", asks().born(1));
    assert_eq!(
        world.step(),
        [
            "a/old: the pool \"p\" has no free IPv4 address; share one with metallb.io/allow-shared-ip, free one, or ask the platform's operators",
            "b/young 192.0.2.0 p"
        ]
    );
}

#[test]
fn a_lower_address_that_becomes_free_moves_nobody() {
    let mut world = World::new(&small_pools());
    world.claim_all(&["a/1", "a/2"], &asks());
    world.step();
    world.remove("a/1");
    assert_eq!(world.step(), ["a/2 192.0.2.1 public"]);
}

#[test]
fn a_named_address_is_given_also_from_a_closed_pool() {
    let mut world = World::new(&small_pools());
    world.claim("a/1", asks().addresses(&["10.0.0.3"]));
    world.claim("a/2", asks().addresses(&["192.0.2.3"]).in_pool("public"));
    assert_eq!(world.step(), ["a/1 10.0.0.3 private", "a/2 192.0.2.3 public"]);
}

#[test]
fn what_cannot_be_given_is_said_with_the_holder() {
    let mut world = World::new(&small_pools());
    world.claim("a/holder", asks().addresses(&["192.0.2.1"]).ports(&[80]));
    world.claim("a/keyed", asks().addresses(&["192.0.2.2"]).ports(&[80]).key("k"));
    world.step();
    let table = [
        (asks().in_pool("nope"), "there is no pool \"nope\"; the pools are: public, private"),
        (asks().addresses(&["203.0.113.1"]), "the address 203.0.113.1 is not in any pool"),
        (asks().addresses(&["192.0.2.0"]).in_pool("private"), "the address 192.0.2.0 is not in the pool \"private\""),
        (asks().addresses(&["192.0.2.1"]), "the address 192.0.2.1 is held by Service a/holder"),
        (
            asks().addresses(&["192.0.2.1"]).key("k"),
            "the address 192.0.2.1 is held by Service a/holder: only one of the two has an allow-shared-ip key; give both the same",
        ),
        (
            asks().addresses(&["192.0.2.2"]),
            "the address 192.0.2.2 is held by Service a/keyed: only one of the two has an allow-shared-ip key; give both the same",
        ),
        (
            asks().addresses(&["192.0.2.2"]).key("l"),
            "the address 192.0.2.2 is held by Service a/keyed: their allow-shared-ip keys differ; give both the same",
        ),
        (
            asks().addresses(&["192.0.2.2"]).key("k").ports(&[443, 80]),
            "the address 192.0.2.2 is held by Service a/keyed, which has the port 80/TCP too",
        ),
        (
            asks().families(Families::Single(Family::V6)).addresses(&["192.0.2.0"]),
            "the address 192.0.2.0 is IPv4, which this Service does not use; see spec.ipFamilies",
        ),
        (
            asks().families(Families::RequireDual(Family::V4)).addresses(&["192.0.2.0"]),
            "RequireDualStack needs an IPv6 address too; name one of each family, or none",
        ),
        (asks().families(Families::Single(Family::V6)), "the pool \"public\" has no IPv6 addresses"),
    ];
    for (request, expected) in table {
        world.claim("a/late", request);
        assert_eq!(world.outcome().refusals.get(&key("a/late")).unwrap().to_string(), expected);
    }
}

#[test]
fn another_namespace_learns_the_holder_and_neither_key_nor_port() {
    let mut world = World::new(&small_pools());
    world.claim("a/holder", asks().addresses(&["192.0.2.1"]).ports(&[80]).key("k"));
    world.step();
    for request in [asks().ports(&[80]), asks().key("k").ports(&[81]), asks().key("other")] {
        world.claim("b/late", request.addresses(&["192.0.2.1"]));
        let expected = Refusal::AddressTaken { address: "192.0.2.1".parse().unwrap(), by: key("a/holder"), port: None, field: "addresses".into() };
        assert_eq!(world.outcome().refusals, BTreeMap::from([(key("b/late"), expected)]));
    }
}

#[test]
fn services_of_one_key_share_an_address_if_their_ports_differ() {
    let mut world = World::new(&small_pools());
    world.claim("a/0-plain", asks().ports(&[1]));
    world.claim("a/rw", asks().key("pg").ports(&[5432]));
    world.step();
    world.remove("a/0-plain");
    world.claim("a/ro", asks().key("pg").ports(&[5433]));
    world.claim("a/same-port", asks().key("pg").ports(&[5432]));
    world.claim("b/stranger", asks().key("pg").ports(&[5434]));
    let expected = ["a/ro 192.0.2.1 public", "a/rw 192.0.2.1 public", "a/same-port 192.0.2.0 public", "b/stranger 192.0.2.2 public"];
    assert_eq!(world.step(), expected);
}

#[test]
fn who_changes_port_or_key_gives_way_to_who_does_not() {
    let mut world = World::new(&small_pools());
    world.claim("a/older", asks().born(1).key("k").ports(&[1]));
    world.claim("a/younger", asks().born(2).key("k").ports(&[2]));
    assert_eq!(world.step(), ["a/older 192.0.2.0 public", "a/younger 192.0.2.0 public"]);
    world.claim("a/older", asks().born(1).key("k").ports(&[1, 2]));
    assert_eq!(world.step(), ["a/older 192.0.2.1 public", "a/younger 192.0.2.0 public"]);
    world.claim("a/older", asks().born(1).key("l").ports(&[1, 2]));
    assert_eq!(world.step(), ["a/older 192.0.2.1 public", "a/younger 192.0.2.0 public"]);
}

#[test]
fn a_changed_request_moves_the_service_that_changed_it() {
    let mut world = World::new(&small_pools());
    world.claim("a/1", asks());
    world.step();
    world.claim("a/1", asks().in_pool("private"));
    assert_eq!(world.step(), ["a/1 10.0.0.0 private"]);
    world.claim("a/1", asks().addresses(&["192.0.2.2"]));
    assert_eq!(world.step(), ["a/1 192.0.2.2 public"]);
    world.claim("a/1", asks());
    assert_eq!(world.step(), ["a/1 192.0.2.2 public"]);
}

#[test]
fn a_request_that_can_never_be_met_takes_nothing_away() {
    let mut world = World::new(&small_pools());
    world.claim("a/1", asks().key("k"));
    world.step();
    world.claim("a/1", asks().key("k").in_pool("nope"));
    assert_eq!(world.step(), ["a/1 192.0.2.0 public", "a/1: there is no pool \"nope\"; the pools are: public, private"]);
    world.claim("a/1", asks().unreadable());
    assert_eq!(world.step(), ["a/1 192.0.2.0 public"]);
    assert_eq!(world.held.services[&key("a/1")].sharing_key.as_deref(), Some("k"));
    world.claim("a/2", asks().unreadable());
    assert_eq!(world.step(), ["a/1 192.0.2.0 public"]);
}

#[test]
fn a_removed_pool_takes_its_addresses_along() {
    let mut world = World::new(&small_pools());
    world.claim("a/1", asks());
    world.step();
    world.set_pools(&[pool("new", &["198.51.100.0/24"], true)]);
    assert_eq!(world.step(), ["a/1 198.51.100.0 new"]);
}

#[test]
fn a_pool_that_is_renamed_or_closed_moves_nobody() {
    let mut world = World::new(&small_pools());
    world.claim("a/1", asks());
    world.step();
    world.set_pools(&[pool("renamed", &["192.0.2.0/30"], false)]);
    world.claim("a/2", asks());
    let closed = "a/2: no pool is open to Services that name none; name one with the annotation metallb.io/address-pool";
    assert_eq!(
        world.step(),
        ["a/1 192.0.2.0 renamed", "a/1: no pool is open to Services that name none; name one with the annotation metallb.io/address-pool", closed]
    );
}

#[test]
fn dual_stack_takes_both_families_from_one_pool() {
    let mut world = World::new(&dual_pools());
    world.claim("a/1-required", asks().families(Families::RequireDual(Family::V6)));
    world.claim("a/2-preferred", asks().families(Families::PreferDual(Family::V4)));
    world.claim("a/3-six", asks().families(Families::Single(Family::V6)));
    world.claim("a/4-any", asks());
    let expected = ["a/1-required fd00::,192.0.2.0 both", "a/2-preferred 192.0.2.1,fd00::1 both", "a/3-six fd00:6:: six", "a/4-any 10.4.0.0 four"];
    assert_eq!(world.step(), expected);
}

#[test]
fn preferred_dual_stack_takes_one_address_where_both_cannot_be_had() {
    let mut world = World::new(&[pool("six", &["fd00::/127"], true), pool("four", &["192.0.2.0/32"], true)]);
    world.claim_all(&["a/1", "a/2"], &asks().families(Families::PreferDual(Family::V4)));
    world.claim("a/3", asks().families(Families::RequireDual(Family::V4)));
    assert_eq!(world.step(), ["a/1 192.0.2.0 four", "a/2 fd00:: six", "a/3: any pool has no IPv4 and IPv6 addresses"]);
    world.set_pools(&[pool("six", &["fd00::/127"], true), pool("four", &["192.0.2.0/32", "fd01::/127"], true)]);
    assert_eq!(
        world.step(),
        [
            "a/1 192.0.2.0,fd01:: four",
            "a/2 fd00:: six",
            "a/3: the pool \"four\" has no free IPv4 address; share one with metallb.io/allow-shared-ip, free one, or ask the platform's operators"
        ]
    );
}

#[test]
fn a_dual_stack_service_keeps_the_family_that_its_pool_still_has() {
    let mut world = World::new(&[pool("p", &["192.0.2.0/31", "fd00::/127"], true)]);
    world.claim("a/1", asks().families(Families::PreferDual(Family::V4)));
    world.claim("a/2", asks().families(Families::RequireDual(Family::V4)));
    assert_eq!(world.step(), ["a/1 192.0.2.0,fd00:: p", "a/2 192.0.2.1,fd00::1 p"]);
    world.set_pools(&[pool("p", &["192.0.2.0/31"], true)]);
    assert_eq!(
        world.step(),
        ["a/1 192.0.2.0 p", "a/2: any pool has no IPv4 and IPv6 addresses"].map(|line| line.replace("any pool", "the pool \"p\""))
    );
}

#[test]
fn a_service_that_becomes_single_stack_keeps_that_family() {
    let mut world = World::new(&dual_pools());
    world.claim("a/1", asks().families(Families::PreferDual(Family::V4)));
    world.step();
    world.claim("a/1", asks().families(Families::Single(Family::V6)));
    assert_eq!(world.step(), ["a/1 fd00:: both"]);
}

#[test]
fn a_shared_pair_is_shared_in_both_families() {
    let mut world = World::new(&dual_pools());
    world.claim("a/1", asks().families(Families::PreferDual(Family::V4)).key("k").ports(&[1]));
    world.claim("a/2", asks().families(Families::PreferDual(Family::V4)).key("k").ports(&[2]));
    assert_eq!(world.step(), ["a/1 192.0.2.0,fd00:: both", "a/2 192.0.2.0,fd00:: both"]);
}

#[test]
fn both_named_addresses_have_to_be_of_one_pool() {
    let mut world = World::new(&dual_pools());
    let both = asks().families(Families::PreferDual(Family::V4));
    world.claim("a/1", both.clone().addresses(&["192.0.2.9", "fd00::9"]));
    world.claim("a/2", both.clone().addresses(&["192.0.2.8", "fd00:6::8"]));
    world.claim("a/3", both.addresses(&["fd00::7"]));
    let refused = "a/2: the addresses 192.0.2.8 and fd00:6::8 are in the pools \"both\" and \"six\"; both have to be from one pool";
    assert_eq!(world.step(), ["a/1 192.0.2.9,fd00::9 both", refused, "a/3 fd00::7 both"]);
}

#[test]
fn addresses_that_were_persisted_twice_stay_with_the_older() {
    let mut world = World::new(&small_pools());
    world.claim_all(&["a/1", "b/2"], &asks());
    world.step();
    let first = world.held.services[&key("a/1")].clone();
    world.held.services.insert(key("b/2"), first);
    assert_eq!(world.step(), ["a/1 192.0.2.0 public", "b/2 192.0.2.1 public"]);
}

#[test]
fn vast_pools_are_not_walked_through() {
    let mut world = World::new(&[pool("v4", &["10.0.0.0/8"], true), pool("v6", &["fd00::/64"], true)]);
    for n in 0..2_000 {
        let families = if n % 2 == 0 { Families::Single(Family::V4) } else { Families::Single(Family::V6) };
        world.claim(&format!("a/{n:05}"), asks().families(families));
    }
    let lines = world.step();
    assert_eq!(lines[1_998..], ["a/01998 10.0.3.231 v4", "a/01999 fd00::3e7 v6"]);
}

#[test]
fn the_last_address_there_is_can_be_given_once() {
    let mut world = World::new(&[pool("p", &["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", "255.255.255.255/32"], true)]);
    let six = asks().families(Families::Single(Family::V6));
    world.claim("a/1", six.clone());
    world.claim("a/2", six);
    world.claim("a/3", asks());
    let expected = [
        "a/1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff p",
        "a/2: the pool \"p\" has no free IPv6 address; share one with metallb.io/allow-shared-ip, free one, or ask the platform's operators",
        "a/3 255.255.255.255 p",
    ];
    assert_eq!(world.step(), expected);
}

#[test]
fn the_persisted_form_is_a_map_by_service() {
    let mut world = World::new(&small_pools());
    world.claim("a/1", asks().key("k").ports(&[80]));
    world.step();
    let json = serde_json::to_value(&world.held).unwrap();
    let expected = serde_json::json!({
        "a/1": {"addresses": ["192.0.2.0"], "pool": "public", "ports": [{"protocol": "TCP", "port": 80}], "sharingKey": "k"}
    });
    assert_eq!(json, expected);
    assert_eq!(serde_json::from_value::<Allocations>(json).unwrap(), world.held);
    let error = serde_json::from_str::<Allocations>(r#"{"a": {"addresses": [], "pool": "p", "ports": []}}"#).unwrap_err();
    assert!(error.to_string().starts_with("\"a\" is not namespace/name"), "{error}");
}

#[test]
fn obstacles_name_what_to_do() {
    assert_eq!(SharingObstacle::KeysDiffer.to_string(), "their allow-shared-ip keys differ; give both the same");
}
