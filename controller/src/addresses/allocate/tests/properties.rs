//! What holds whatever is asked for.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::select;

use super::scenario::Asks;
use super::*;

pub(super) const NAMES: [&str; 9] = ["a/1", "a/2", "a/3", "a/4", "b/1", "b/2", "b/3", "c/1", "c/2"];

fn ranges() -> PoolRanges {
    let pools = [
        pool("first", &["192.0.2.0/31", "fd00::/127"], true),
        pool("second", &["192.0.2.4-192.0.2.5"], true),
        pool("closed", &["10.0.0.0/31", "fd01::/128"], false),
    ];
    PoolRanges::parse(&pools).unwrap()
}

pub(super) fn any_asks() -> impl Strategy<Value = Asks> {
    let families = select(vec![
        Families::Any,
        Families::Single(Family::V4),
        Families::Single(Family::V6),
        Families::PreferDual(Family::V4),
        Families::PreferDual(Family::V6),
        Families::RequireDual(Family::V4),
    ]);
    let pools = prop_oneof![6 => Just(None), 4 => select(vec!["first", "second", "closed", "nope"]).prop_map(Some)];
    let addresses = prop_oneof![
        7 => Just(vec![]),
        3 => select(vec![vec!["192.0.2.0"], vec!["192.0.2.4"], vec!["10.0.0.1"], vec!["192.0.2.1", "fd00::1"], vec!["203.0.113.1"], vec!["fd01::"]])
    ];
    let key = prop_oneof![Just(None), select(vec!["k", "l"]).prop_map(Some)];
    let ports = proptest::collection::vec(1_u16..5, 1..3);
    (0_i64..100, families, pools, addresses, key, ports, 0..20).prop_map(|(born, families, pool, addresses, key, ports, luck)| {
        let mut one = asks().born(born).families(families).ports(&ports);
        if let Some(pool) = pool {
            one = one.in_pool(pool);
        }
        if !addresses.is_empty() {
            one = one.addresses(&addresses);
        }
        if let Some(key) = key {
            one = one.key(key);
        }
        if luck == 0 { one.unreadable() } else { one }
    })
}

fn any_claims() -> impl Strategy<Value = BTreeMap<ObjectKey, Claim>> {
    let one = (select(&NAMES[..]), any_asks()).prop_map(|(name, asks)| (key(name), asks.by(name)));
    proptest::collection::vec(one, 0..12).prop_map(|claims| claims.into_iter().collect())
}

pub(super) fn list(claims: &BTreeMap<ObjectKey, Claim>) -> Vec<Claim> {
    claims.values().cloned().collect()
}

/// No address is held by two Services, except within a namespace, by equal keys and with different ports.
fn assert_held_once(allocations: &Allocations) -> Result<(), TestCaseError> {
    let entries: Vec<_> = allocations.services.iter().collect();
    for (position, (one, held)) in entries.iter().enumerate() {
        for (other, also) in &entries[position + 1..] {
            if held.addresses.iter().any(|address| also.addresses.contains(address)) {
                prop_assert_eq!(&one.namespace, &other.namespace);
                prop_assert!(held.sharing_key.is_some() && held.sharing_key == also.sharing_key);
                prop_assert!(held.ports.is_disjoint(&also.ports));
            }
        }
    }
    Ok(())
}

/// What is held is what was asked for, from one pool, one address of a family at most.
fn assert_as_asked(pools: &PoolRanges, claims: &BTreeMap<ObjectKey, Claim>, outcome: &Outcome) -> Result<(), TestCaseError> {
    for (service, held) in &outcome.allocations.services {
        let claim = &claims[service];
        prop_assert!(held.addresses.iter().all(|address| pools.pool_of(*address) == Some(held.pool.as_str())));
        let families: BTreeSet<_> = held.addresses.iter().map(|address| Family::of(*address)).collect();
        prop_assert_eq!(families.len(), held.addresses.len());
        let Some(request) = claim.request.as_ref().filter(|_| !outcome.refusals.contains_key(service)) else { continue };
        prop_assert!(request.pool.as_ref().is_none_or(|pool| pool.value == held.pool));
        let named: Option<BTreeSet<_>> = request.addresses.as_ref().map(|asked| asked.value.iter().collect());
        prop_assert!(named.is_none_or(|named| named == held.addresses.iter().collect()));
        match claim.families {
            Families::Any => prop_assert_eq!(held.addresses.len(), 1),
            Families::Single(family) => prop_assert_eq!(families, BTreeSet::from([family])),
            Families::PreferDual(_) => {}
            Families::RequireDual(first) => {
                prop_assert_eq!(held.addresses.len(), 2);
                prop_assert_eq!(Family::of(held.addresses[0]), first);
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_order_of_the_claims_is_irrelevant(before in any_claims(), claims in any_claims(), seed in any::<u64>()) {
        let pools = ranges();
        let held = allocate(&pools, &Quota::default(), &Allocations::default(), &list(&before)).allocations;
        let mut shuffled = list(&claims);
        shuffled.sort_by_key(|claim| claim.service.to_string().bytes().fold(seed, |sum, byte| sum.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(byte)));
        prop_assert_eq!(allocate(&pools, &Quota::default(), &held, &shuffled), allocate(&pools, &Quota::default(), &held, &list(&claims)));
    }

    #[test]
    fn nothing_is_held_twice_and_everything_is_as_asked(before in any_claims(), claims in any_claims()) {
        let pools = ranges();
        let held = allocate(&pools, &Quota::default(), &Allocations::default(), &list(&before)).allocations;
        let outcome = allocate(&pools, &Quota::default(), &held, &list(&claims));
        assert_held_once(&outcome.allocations)?;
        assert_as_asked(&pools, &claims, &outcome)?;
        for (service, claim) in &claims {
            let served = outcome.allocations.services.contains_key(service) || outcome.refusals.contains_key(service);
            prop_assert!(served || claim.request.is_none());
        }
    }

    #[test]
    fn a_second_pass_changes_nothing(before in any_claims(), claims in any_claims()) {
        let pools = ranges();
        let held = allocate(&pools, &Quota::default(), &Allocations::default(), &list(&before)).allocations;
        let once = allocate(&pools, &Quota::default(), &held, &list(&claims));
        prop_assert_eq!(allocate(&pools, &Quota::default(), &once.allocations, &list(&claims)), once);
    }

    #[test]
    fn an_allocation_never_moves_when_others_come_or_go(before in any_claims(), others in any_claims()) {
        let pools = ranges();
        let held = allocate(&pools, &Quota::default(), &Allocations::default(), &list(&before)).allocations;
        let mut claims = others;
        let stays: BTreeSet<_> = before.keys().step_by(2).cloned().collect();
        claims.extend(before.into_iter().filter(|(service, _)| stays.contains(service)));
        let after = allocate(&pools, &Quota::default(), &held, &list(&claims)).allocations;
        for service in held.services.keys().filter(|service| stays.contains(*service)) {
            let kept = after.services.get(service).map(|held| held.addresses.clone()).unwrap_or_default();
            for address in &held.services[service].addresses {
                prop_assert!(kept.contains(address), "{} lost {}", service, address);
            }
        }
    }

    #[test]
    fn removing_one_changes_only_that_one_and_those_that_lack_something(claims in any_claims(), gone in select(&NAMES[..])) {
        let pools = ranges();
        let before = allocate(&pools, &Quota::default(), &Allocations::default(), &list(&claims));
        let mut fewer = claims.clone();
        fewer.remove(&key(gone));
        let after = allocate(&pools, &Quota::default(), &before.allocations, &list(&fewer));
        for (service, held) in before.allocations.services.iter().filter(|(service, _)| **service != key(gone)) {
            let now = &after.allocations.services[service];
            let incomplete = held.addresses.len() == 1 && matches!(claims[service].families, Families::PreferDual(_) | Families::RequireDual(_));
            prop_assert!(now == held || incomplete && now.addresses.contains(&held.addresses[0]), "{} {:?} {:?}", service, held, now);
        }
    }

    #[test]
    fn the_persisted_form_is_read_back(claims in any_claims()) {
        let held = allocate(&ranges(), &Quota::default(), &Allocations::default(), &list(&claims)).allocations;
        let text = serde_json::to_string(&held).unwrap();
        prop_assert_eq!(serde_json::from_str::<Allocations>(&text).unwrap(), held);
    }
}
