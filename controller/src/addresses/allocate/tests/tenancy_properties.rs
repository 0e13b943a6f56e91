//! What holds whatever is asked for, among pools that are for some, quotas, and agreements to share.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::select;

use super::super::super::pool::Terms;
use super::properties::{NAMES, any_asks, list};
use super::scenario::key;
use super::*;
use crate::addresses::{PoolRange, Selector};

/// A pool for everybody, one for a namespace, one for Services with a label, one for nobody.
fn ranges() -> PoolRanges {
    let mut pools = PoolRanges::parse(&[pool("first", &["192.0.2.0/30", "fd00::/127"], true)]).unwrap();
    let fenced = |name: &str, range: &str, terms: Terms| super::super::super::pool::Entry {
        name: name.into(),
        auto_assign: true,
        avoid_buggy: true,
        terms: Some(terms),
        ranges: vec![PoolRange::parse(range).unwrap()],
    };
    let labelled = serde_json::from_value(serde_json::json!({"matchLabels": {"app": "db"}})).unwrap();
    let services = Some(vec![Selector::read(&labelled).unwrap()]);
    pools.append([
        fenced("second", "10.0.0.0/30", Terms { priority: 5, namespaces: Some(["b".to_owned()].into()), services: None }),
        fenced("closed", "10.0.1.0/30", Terms { priority: 1, namespaces: None, services }),
        fenced("nobody", "10.0.2.0/30", Terms { priority: 2, namespaces: Some(BTreeSet::new()), services: None }),
    ]);
    pools
}

fn any_claim() -> impl Strategy<Value = (ObjectKey, Claim)> {
    let agreed = proptest::collection::btree_set(select(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]), 0..3);
    (select(&NAMES[..]), any_asks(), agreed, any::<bool>(), 0_usize..6).prop_map(|(name, asks, shares_with, labelled, local)| {
        let mut asks = asks;
        asks.shares_with = shares_with;
        asks = if labelled { asks.labelled("app", "db") } else { asks };
        asks = if local < 2 { asks.local(["x", "y"][local]) } else { asks };
        (key(name), asks.by(name))
    })
}

fn any_claims() -> impl Strategy<Value = BTreeMap<ObjectKey, Claim>> {
    proptest::collection::vec(any_claim(), 0..12).prop_map(|claims| claims.into_iter().collect())
}

fn any_quota() -> impl Strategy<Value = Quota> {
    (proptest::option::of(0_usize..4), proptest::option::of(0_usize..3))
        .prop_map(|(default, own)| Quota { default, namespaces: own.map(|limit| ("b".to_owned(), limit)).into_iter().collect() })
}

/// Addresses by namespace.
fn used(allocations: &Allocations) -> BTreeMap<String, BTreeSet<IpAddr>> {
    let mut used = BTreeMap::<_, BTreeSet<_>>::new();
    for (service, held) in &allocations.services {
        used.entry(service.namespace.clone()).or_default().extend(&held.addresses);
    }
    used
}

fn may_share(one: &Claim, other: &Claim) -> bool {
    let (a, b) = (&one.service.namespace, &other.service.namespace);
    let agreed = a == b || (one.shares_with.contains(b) && other.shares_with.contains(a));
    agreed && one.ports.is_disjoint(&other.ports) && one.traffic == other.traffic
}

proptest! {
    #[test]
    fn fences_quotas_and_agreements_hold(before in any_claims(), claims in any_claims(), quota in any_quota()) {
        let pools = ranges();
        let held = allocate(&pools, &Quota::default(), &Allocations::default(), &list(&before)).allocations;
        let outcome = allocate(&pools, &quota, &held, &list(&claims));
        let entries: Vec<_> = outcome.allocations.services.iter().collect();
        for (position, (service, allocation)) in entries.iter().enumerate() {
            let claim = &claims[*service];
            let admitted = match allocation.pool.as_str() {
                "second" => service.namespace == "b",
                "closed" => claim.labels.contains_key("app"),
                "nobody" => false,
                _ => true,
            };
            prop_assert!(admitted, "{} has an address of {}", service, allocation.pool);
            let kept_back: IpAddr = "10.0.0.0".parse().unwrap();
            prop_assert!(!allocation.addresses.contains(&kept_back));
            for (other, also) in &entries[position + 1..] {
                if allocation.addresses.iter().any(|address| also.addresses.contains(address)) {
                    prop_assert!(allocation.sharing_key.is_some() && allocation.sharing_key == also.sharing_key);
                    prop_assert!(may_share(claim, &claims[*other]), "{} and {}", service, other);
                }
            }
        }
        let had = used(&held);
        for (namespace, now) in used(&outcome.allocations) {
            let limit = quota.limit(&namespace).unwrap_or(usize::MAX);
            let kept = had.get(&namespace).map_or(0, |had| had.intersection(&now).count());
            prop_assert!(now.len() <= limit.max(kept), "{} holds {}", namespace, now.len());
        }
    }

    #[test]
    fn a_second_pass_changes_nothing_and_the_order_is_irrelevant(before in any_claims(), claims in any_claims(), quota in any_quota()) {
        let pools = ranges();
        let held = allocate(&pools, &Quota::default(), &Allocations::default(), &list(&before)).allocations;
        let once = allocate(&pools, &quota, &held, &list(&claims));
        prop_assert_eq!(&allocate(&pools, &quota, &once.allocations, &list(&claims)), &once);
        let mut reversed = list(&claims);
        reversed.reverse();
        prop_assert_eq!(&allocate(&pools, &quota, &held, &reversed), &once);
    }

    #[test]
    fn who_asks_last_is_told_what_it_will_be_refused(claims in any_claims(), (service, claim) in any_claim(), quota in any_quota()) {
        let (pools, mut claims, mut claim) = (ranges(), claims, claim);
        claims.remove(&service);
        claim.age.created = Some(i64::MAX);
        let (held, standing) = settled(&pools, &quota, &claims);
        let judged = standing.refusal(&quota, &Arc::new(claim.clone()));
        claims.insert(service.clone(), claim);
        prop_assert_eq!(judged, allocate(&pools, &quota, &held, &list(&claims)).refusals.remove(&service));
    }

    #[test]
    fn who_changes_is_told_what_it_will_be_refused(claims in any_claims(), (service, claim) in any_claim(), quota in any_quota()) {
        let (pools, mut claims, mut claim) = (ranges(), claims, claim);
        if let Some(before) = claims.get(&service) {
            claim.age = before.age.clone();
        }
        // Who waits could be served out of the quota that is freed.
        let (held, _) = settled(&pools, &quota, &claims);
        let waits = allocate(&pools, &quota, &held, &list(&claims)).refusals;
        claims.retain(|name, _| *name == service || !waits.contains_key(name));
        let (held, standing) = settled(&pools, &quota, &claims);
        let judged = standing.refusal(&quota, &Arc::new(claim.clone()));
        claims.insert(service.clone(), claim);
        let mut outcome = allocate(&pools, &quota, &held, &list(&claims));
        // Nor is looked at what becomes of those that have to give way to it.
        if held.services.iter().all(|(name, held)| *name == service || outcome.allocations.services.get(name) == Some(held)) {
            prop_assert_eq!(judged, outcome.refusals.remove(&service));
        }
    }
}

/// What is held once nothing changes any more.
fn settled(pools: &PoolRanges, quota: &Quota, claims: &BTreeMap<ObjectKey, Claim>) -> (Allocations, Standing) {
    let claims: Vec<_> = list(claims).into_iter().map(Arc::new).collect();
    let held = super::super::allocate(pools, quota, &Allocations::default(), &claims).0.allocations;
    let (outcome, standing) = super::super::allocate(pools, quota, &held, &claims);
    (outcome.allocations, standing)
}
