//! Who gets which address: a function of the pools, of what is held, and of what is asked for. Pure.
//!
//! 1. What is held and still right stays: first that of Services whose ports and sharing key are as they were, then that of the others; the older first.
//! 2. The others, and those that lack an address of a family, are served by age.
//!
//! Where another controller has written over what is held, that stays as well, and what stands there instead is chosen for nobody. What it alone has allocated
//! stays behind all else: who can write a status by force takes nobody's address.
//! What is held goes when its pool is gone, no longer for this Service, or no longer gives that address; a quota that shrinks takes nothing away.
//! Nothing is given back once step 2 has begun, so a second pass over the result changes nothing.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::objects::ObjectKey;

use super::choice::{Plan, Question, complete, plan};
use super::ledger::{Asker, Cursors, Ledger};
use super::{Allocation, Allocations, Claim, Families, Family, PoolRanges, Quota, Refusal};

/// The allocation, and why some Services have none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What each Service holds from now on.
    pub allocations: Allocations,
    /// Services that have not (all of) what they ask for.
    pub refusals: BTreeMap<ObjectKey, Refusal>,
}

/// An allocation as it stands, for whoever asks what one more Service would get.
#[derive(Debug, Default)]
pub struct Standing {
    pools: PoolRanges,
    ledger: Ledger,
    cursors: Cursors,
}

/// One Service while the allocation is worked out.
struct Case<'a> {
    asker: Asker,
    held: Option<&'a Allocation>,
    plan: Result<Plan<'a>, Refusal>,
    addresses: Vec<IpAddr>,
}

/// Decides who holds which address. The order of the claims does not matter; of two claims of one Service the older counts.
#[must_use]
pub fn allocate(pools: &PoolRanges, quota: &Quota, held: &Allocations, claims: &[Arc<Claim>]) -> (Outcome, Standing) {
    let mut cases = by_age(pools, held, claims);
    let (mut ledger, mut cursors) = (Ledger::default(), Cursors::new(pools));
    for turn in [(true, true), (true, false), (false, true), (false, false)] {
        for case in cases.iter_mut().filter(|case| (case.is_ours(), case.is_as_it_was()) == turn) {
            case.keep(pools, &ledger, |_| true);
            case.addresses.iter().for_each(|address| ledger.take(&case.asker, *address));
        }
    }
    cases.iter().for_each(|case| ledger.keep_back(case.foreign()));
    for case in &mut cases {
        // Whether it is refused, and by whom, is asked below, when everybody has had their turn: so a second pass says the same.
        let _ = case.serve(pools, quota, &mut ledger, &mut cursors);
    }
    let mut outcome = Outcome::default();
    for mut case in cases {
        let service = case.asker.claim.service.clone();
        if let Err(refusal) = case.serve(pools, quota, &mut ledger, &mut cursors) {
            outcome.refusals.insert(service.clone(), refusal);
        }
        outcome.allocations.services.extend(case.allocation(pools).map(|allocation| (service, allocation)));
    }
    (outcome, Standing { pools: pools.clone(), ledger, cursors })
}

impl Standing {
    /// Why this Service would not have (all of) what it asks for, were it the last to ask: all others have what they have.
    #[must_use]
    pub fn refusal(&self, quota: &Quota, claim: &Arc<Claim>) -> Option<Refusal> {
        let held = self.ledger.held(&self.pools, &claim.service);
        let mut case = Case::new(&self.pools, held.as_ref(), claim);
        // Who is as it was gives way to nobody younger.
        let as_it_was = case.is_as_it_was();
        case.keep(&self.pools, &self.ledger, |other| !as_it_was || (&other.age, &other.service) < (&claim.age, &claim.service));
        case.lacking(&self.pools, quota, &self.ledger, &mut self.cursors.clone()).err()
    }
}

fn by_age<'a>(pools: &PoolRanges, held: &'a Allocations, claims: &'a [Arc<Claim>]) -> Vec<Case<'a>> {
    let mut oldest = BTreeMap::<&ObjectKey, &Arc<Claim>>::new();
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
    fn new(pools: &PoolRanges, held: Option<&'a Allocation>, claim: &'a Arc<Claim>) -> Self {
        let key = match &claim.request {
            Some(request) => request.sharing_key.as_deref(),
            None => held.and_then(|held| held.sharing_key.as_deref()),
        };
        let asker = Asker { claim: Arc::clone(claim), key: key.filter(|key| !key.is_empty()).map(Arc::from) };
        Self { asker, held, plan: plan(pools, claim), addresses: Vec::new() }
    }

    /// What another controller has written into its status.
    fn foreign(&self) -> &'a [IpAddr] {
        self.held.and_then(|held| held.foreign.as_ref()).map_or(&[], |foreign| &foreign.addresses)
    }

    /// Whether what it holds was allocated by this program.
    fn is_ours(&self) -> bool {
        self.held.and_then(|held| held.foreign.as_ref()).is_none_or(|foreign| foreign.is_remembered)
    }

    /// Whether ports and key are those that the addresses were allocated for: who changes them gives way to who does not.
    fn is_as_it_was(&self) -> bool {
        self.held.is_some_and(|held| {
            let is_shown = self.foreign().iter().all(|address| held.addresses.contains(address));
            is_shown && held.ports == self.asker.claim.ports && held.sharing_key.as_deref() == self.asker.key.as_deref()
        })
    }

    /// Keeps what is held, as far as it is still right and none of those who precede is in the way.
    fn keep(&mut self, pools: &PoolRanges, ledger: &Ledger, precedes: impl Fn(&Claim) -> bool) {
        let Some(held) = self.held else { return };
        for address in held.addresses.iter().chain(self.foreign()).copied() {
            if self.may_keep(pools, address) && ledger.obstacle(&self.asker, address, &precedes).is_none() {
                self.addresses.push(address);
            }
        }
        let alone = matches!(self.addresses.as_slice(), [address] if self.lacks_for_good(pools, *address));
        if alone {
            self.addresses.clear();
        }
    }

    /// A request that can never be met takes nothing away; a pool that is not (any more) for this Service does.
    fn may_keep(&self, pools: &PoolRanges, address: IpAddr) -> bool {
        let may = |pool: &usize| pools.admits(*pool, &self.asker.claim) && pools.gives(*pool, address);
        let Some(pool) = pools.containing(address).filter(may) else { return false };
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

    /// Adds what is lacking.
    fn serve(&mut self, pools: &PoolRanges, quota: &Quota, ledger: &mut Ledger, cursors: &mut Cursors) -> Result<(), Refusal> {
        let added = self.lacking(pools, quota, ledger, cursors)?;
        added.iter().for_each(|address| ledger.take(&self.asker, *address));
        self.addresses.extend(added);
        Ok(())
    }

    /// What it gets beside what it has.
    fn lacking(&self, pools: &PoolRanges, quota: &Quota, ledger: &Ledger, cursors: &mut Cursors) -> Result<Vec<IpAddr>, Refusal> {
        let plan = self.plan.as_ref().map_err(Clone::clone)?;
        let found = complete(Question { pools, ledger, asker: &self.asker }, cursors, plan, &self.addresses)?;
        self.within_quota(quota, ledger, found)
    }

    /// As much of what was found as the namespace may have: all, or for a Service that only prefers two families the first.
    fn within_quota(&self, quota: &Quota, ledger: &Ledger, mut added: Vec<IpAddr>) -> Result<Vec<IpAddr>, Refusal> {
        let namespace = &self.asker.claim.service.namespace;
        let Some(limit) = quota.limit(namespace) else { return Ok(added) };
        let held = self.held.into_iter().flat_map(|held| &held.addresses).copied();
        let used = ledger.used_without(&self.asker, held.filter(|address| !self.addresses.contains(address)));
        let mut room = limit.saturating_sub(used);
        let before = added.len();
        added.retain(|address| {
            let known = ledger.has(namespace, *address);
            let fits = known || room > 0;
            room -= usize::from(fits && !known);
            fits
        });
        let content = matches!(self.asker.claim.families, Families::PreferDual(_)) && matches!(self.plan, Ok(Plan::From { .. }));
        match added.len() + self.addresses.len() {
            _ if added.len() == before => Ok(added),
            1.. if content => Ok(added),
            _ => Err(Refusal::QuotaExceeded { used, limit }),
        }
    }

    fn allocation(mut self, pools: &PoolRanges) -> Option<Allocation> {
        let pool = self.addresses.first().and_then(|address| pools.pool_of(*address))?.to_owned();
        let claim = &self.asker.claim;
        if let Families::PreferDual(first) | Families::RequireDual(first) = claim.families {
            self.addresses.sort_by_key(|address| Family::of(*address) != first);
        }
        let sharing_key = self.asker.key.as_deref().map(str::to_owned);
        Some(Allocation { addresses: self.addresses, pool, ports: claim.ports.clone(), sharing_key, foreign: None })
    }
}

#[cfg(test)]
mod tests;
