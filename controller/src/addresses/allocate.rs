//! Who gets which address: a function of the pools, of what is held, and of what is asked for. Pure.
//!
//! 1. What is held and still right stays: first that of Services whose ports and sharing key are as they were, then that of the others; the older first.
//! 2. The others, and those that lack an address of a family, are served by age.
//!
//! Nothing is given back once step 2 has begun, so a second pass over the result changes nothing.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::objects::ObjectKey;

use super::choice::{Plan, complete, plan};
use super::ledger::{Asker, Ledger};
use super::{Allocation, Allocations, Claim, Families, Family, PoolRanges, Refusal};

/// The allocation, and why some Services have none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What each Service holds from now on.
    pub allocations: Allocations,
    /// Services that have not (all of) what they ask for.
    pub refusals: BTreeMap<ObjectKey, Refusal>,
}

/// One Service while the allocation is worked out.
struct Case<'a> {
    asker: Asker<'a>,
    held: Option<&'a Allocation>,
    plan: Result<Plan<'a>, Refusal>,
    addresses: Vec<IpAddr>,
}

/// Decides who holds which address. The order of the claims does not matter; of two claims of one Service the older counts.
#[must_use]
pub fn allocate(pools: &PoolRanges, held: &Allocations, claims: &[Claim]) -> Outcome {
    let mut cases = by_age(pools, held, claims);
    let mut ledger = Ledger::new(pools);
    for as_it_was in [true, false] {
        for case in cases.iter_mut().filter(|case| case.is_as_it_was() == as_it_was) {
            case.keep(pools, &mut ledger);
        }
    }
    let mut outcome = Outcome::default();
    for case in cases {
        case.conclude(pools, &mut ledger, &mut outcome);
    }
    outcome
}

fn by_age<'a>(pools: &'a PoolRanges, held: &'a Allocations, claims: &'a [Claim]) -> Vec<Case<'a>> {
    let mut oldest = BTreeMap::<&ObjectKey, &Claim>::new();
    for claim in claims {
        let known = oldest.entry(&claim.service).or_insert(claim);
        if claim.age < known.age {
            *known = claim;
        }
    }
    let mut claims: Vec<_> = oldest.into_values().collect();
    claims.sort_by(|a, b| a.age.cmp(&b.age).then_with(|| a.service.cmp(&b.service)));
    claims.into_iter().map(|claim| Case::new(pools, held.services.get(&claim.service), claim)).collect()
}

impl<'a> Case<'a> {
    fn new(pools: &'a PoolRanges, held: Option<&'a Allocation>, claim: &'a Claim) -> Self {
        let key = match &claim.request {
            Some(request) => request.sharing_key.as_deref(),
            None => held.and_then(|held| held.sharing_key.as_deref()),
        };
        let asker = Asker { claim, key: key.filter(|key| !key.is_empty()) };
        Self { asker, held, plan: plan(pools, claim), addresses: Vec::new() }
    }

    /// Whether ports and key are those that the addresses were allocated for: who changes them gives way to who does not.
    fn is_as_it_was(&self) -> bool {
        self.held.is_some_and(|held| held.ports == self.asker.claim.ports && held.sharing_key.as_deref() == self.asker.key)
    }

    /// Keeps what is held, as far as it is still right.
    fn keep(&mut self, pools: &PoolRanges, ledger: &mut Ledger<'a>) {
        let Some(held) = self.held else { return };
        for address in held.addresses.iter().copied() {
            if self.may_keep(pools, address) && ledger.obstacle(self.asker, address).is_none() {
                self.addresses.push(address);
            }
        }
        let alone = matches!(self.addresses.as_slice(), [address] if self.lacks_for_good(pools, *address));
        if alone {
            self.addresses.clear();
        }
        for address in &self.addresses {
            ledger.take(self.asker, *address);
        }
    }

    /// A request that can never be met takes nothing away.
    fn may_keep(&self, pools: &PoolRanges, address: IpAddr) -> bool {
        let Some(pool) = pools.containing(address) else { return false };
        let same_pool = self.addresses.first().is_none_or(|first| pools.containing(*first) == Some(pool));
        let other_family = self.addresses.iter().all(|kept| Family::of(*kept) != Family::of(address));
        same_pool
            && other_family
            && match &self.plan {
                Ok(Plan::Exactly { addresses, .. }) => addresses.contains(&address),
                Ok(Plan::From { pools, named }) => (!*named || pools.contains(&pool)) && self.wants(Family::of(address)),
                Ok(Plan::Nothing) | Err(_) => true,
            }
    }

    fn wants(&self, family: Family) -> bool {
        match self.asker.claim.families {
            Families::Any => self.addresses.is_empty(),
            Families::Single(wanted) => wanted == family,
            Families::PreferDual(_) | Families::RequireDual(_) => true,
        }
    }

    /// Whether both families are required and the pool of this address has but one.
    fn lacks_for_good(&self, pools: &PoolRanges, address: IpAddr) -> bool {
        let required = matches!(self.plan, Ok(Plan::From { .. })) && matches!(self.asker.claim.families, Families::RequireDual(_));
        let other = Family::of(address).other();
        required && pools.containing(address).is_none_or(|pool| pools.ranges(pool, other).next().is_none())
    }

    fn conclude(mut self, pools: &PoolRanges, ledger: &mut Ledger<'a>, outcome: &mut Outcome) {
        let added = match &self.plan {
            Ok(plan) => complete(pools, ledger, self.asker, plan, &self.addresses),
            Err(refusal) => Err(refusal.clone()),
        };
        match added {
            Ok(added) => {
                added.iter().for_each(|address| ledger.take(self.asker, *address));
                self.addresses.extend(added);
            }
            Err(refusal) => _ = outcome.refusals.insert(self.asker.claim.service.clone(), refusal),
        }
        let Some(pool) = self.addresses.first().and_then(|address| pools.pool_of(*address)) else { return };
        let claim = self.asker.claim;
        if let Families::PreferDual(first) | Families::RequireDual(first) = claim.families {
            self.addresses.sort_by_key(|address| Family::of(*address) != first);
        }
        let allocation = Allocation {
            addresses: self.addresses,
            pool: pool.to_owned(),
            ports: claim.ports.clone(),
            sharing_key: self.asker.key.map(str::to_owned),
        };
        outcome.allocations.services.insert(claim.service.clone(), allocation);
    }
}
