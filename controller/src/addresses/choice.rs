//! Which addresses a Service can have, and which of them it is given. Pure.

use std::net::IpAddr;

use super::ledger::{Asker, Cursors, Ledger};
use super::{Asked, Claim, Families, Family, PoolRanges, Refusal};

/// What would meet a request.
#[derive(Debug)]
pub(super) enum Plan<'a> {
    /// These addresses, all of one pool.
    Exactly { addresses: &'a [IpAddr], field: &'a str },
    /// Any address of these pools, by position; `named`: the Service chose the pool.
    From { pools: Vec<usize>, named: bool },
    /// The request could not be read.
    Nothing,
}

/// Whether the request could be met if nobody held anything, and how.
pub(super) fn plan<'a>(pools: &PoolRanges, claim: &'a Claim) -> Result<Plan<'a>, Refusal> {
    let Some(request) = &claim.request else { return Ok(Plan::Nothing) };
    let named = request.pool.as_ref().map(|asked| named_pool(pools, claim, asked)).transpose()?;
    if let Some(asked) = &request.addresses {
        check_addresses(pools, named, claim, asked)?;
        return Ok(Plan::Exactly { addresses: &asked.value, field: &asked.field });
    }
    let candidates = named.map_or_else(|| pools.auto_assigned(claim), |pool| vec![pool]);
    if candidates.is_empty() { Err(Refusal::NoPool) } else { Ok(Plan::From { pools: candidates, named: named.is_some() }) }
}

fn named_pool(pools: &PoolRanges, claim: &Claim, asked: &Asked<String>) -> Result<usize, Refusal> {
    let (pool, field) = (asked.value.clone(), asked.field.clone());
    match pools.position(&pool) {
        Some(position) if pools.admits(position, claim) => Ok(position),
        Some(_) => Err(Refusal::PoolNotForService { pool, field }),
        None => Err(Refusal::UnknownPool { pool, known: pools.names_for(claim), field }),
    }
}

fn check_addresses(pools: &PoolRanges, named: Option<usize>, claim: &Claim, asked: &Asked<Vec<IpAddr>>) -> Result<(), Refusal> {
    let families = claim.families;
    let field = || asked.field.clone();
    for (position, address) in asked.value.iter().copied().enumerate() {
        let wanted = match families {
            Families::Any => position == 0,
            Families::Single(family) => Family::of(address) == family && position == 0,
            Families::PreferDual(_) | Families::RequireDual(_) => true,
        };
        if !wanted {
            return Err(Refusal::FamilyNotWanted { address, field: field() });
        }
        let pool = pools.containing(address);
        if pool.is_none() || named.is_some() && pool != named {
            return Err(Refusal::AddressNotInPool { address, pool: named.map(|pool| pools.name(pool).to_owned()), field: field() });
        }
        if pool.is_some_and(|pool| !pools.admits(pool, claim) || !pools.gives(pool, address)) {
            return Err(Refusal::AddressNotForService { address, field: field() });
        }
    }
    match asked.value.as_slice() {
        [one] if matches!(families, Families::RequireDual(_)) => Err(Refusal::FamilyMissing { missing: Family::of(*one).other(), field: field() }),
        [one, two, ..] if pools.containing(*one) != pools.containing(*two) => Err(Refusal::PoolsDiffer {
            addresses: [*one, *two],
            pools: [*one, *two].map(|address| pools.pool_of(address).unwrap_or_default().to_owned()),
            field: field(),
        }),
        _ => Ok(()),
    }
}

/// Who asks, and what the answer depends on.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) pools: &'a PoolRanges,
    pub(super) ledger: &'a Ledger,
    pub(super) asker: &'a Asker,
}

/// The addresses that the asker gets beside those it has.
pub(super) fn complete(question: Question<'_>, cursors: &mut Cursors, plan: &Plan<'_>, kept: &[IpAddr]) -> Result<Vec<IpAddr>, Refusal> {
    let Question { pools, ledger, asker } = question;
    match plan {
        Plan::Nothing => Ok(Vec::new()),
        Plan::Exactly { addresses, field } => exactly(ledger, asker, addresses, field, kept),
        Plan::From { pools: candidates, .. } => {
            let mut choice = Choice { pools, ledger, cursors, joinable: ledger.joinable(asker) };
            match kept {
                [] => choice.first(candidates, asker.claim.families),
                [one] => choice.second(*one, asker.claim.families),
                _ => Ok(Vec::new()),
            }
        }
    }
}

fn exactly(ledger: &Ledger, asker: &Asker, wanted: &[IpAddr], field: &str, kept: &[IpAddr]) -> Result<Vec<IpAddr>, Refusal> {
    let missing: Vec<_> = wanted.iter().copied().filter(|address| !kept.contains(address)).collect();
    for address in &missing {
        if let Some(obstacle) = ledger.obstacle(asker, *address, |_| true) {
            return Err(obstacle.refusal(*address, field.to_owned()));
        }
    }
    Ok(missing)
}

/// The choice among addresses that nobody named.
struct Choice<'a> {
    pools: &'a PoolRanges,
    ledger: &'a Ledger,
    cursors: &'a mut Cursors,
    /// Shared addresses that the asker may join; they come before free ones, for that is what a sharing key is for.
    joinable: Vec<IpAddr>,
}

impl Choice<'_> {
    fn first(&mut self, candidates: &[usize], families: Families) -> Result<Vec<IpAddr>, Refusal> {
        let mut candidates = candidates.to_vec();
        candidates.sort_by_key(|pool| !self.joinable.iter().any(|address| self.pools.containing(*address) == Some(*pool)));
        let found = match families {
            Families::Any => candidates.iter().find_map(|pool| self.one(*pool, Family::V4).or_else(|| self.one(*pool, Family::V6))),
            Families::Single(family) => self.any(&candidates, family),
            Families::PreferDual(family) => return self.preferably_both(&candidates, family),
            Families::RequireDual(family) => return self.both(&candidates, family).ok_or_else(|| self.none(&candidates, &[family, family.other()])),
        };
        let wanted = if let Families::Single(family) = families { vec![family] } else { vec![Family::V4] };
        found.map(|address| vec![address]).ok_or_else(|| self.none(&candidates, &wanted))
    }

    fn preferably_both(&mut self, candidates: &[usize], family: Family) -> Result<Vec<IpAddr>, Refusal> {
        self.both(candidates, family)
            .or_else(|| self.any(candidates, family).map(|address| vec![address]))
            .or_else(|| self.any(candidates, family.other()).map(|address| vec![address]))
            .ok_or_else(|| self.none(candidates, &[family]))
    }

    /// The address of the other family, from the pool of the one that is held.
    fn second(&mut self, held: IpAddr, families: Families) -> Result<Vec<IpAddr>, Refusal> {
        let other = Family::of(held).other();
        let Some(pool) = self.pools.containing(held) else { return Ok(Vec::new()) };
        match families {
            Families::Any | Families::Single(_) => Ok(Vec::new()),
            Families::PreferDual(_) => Ok(self.one(pool, other).into_iter().collect()),
            Families::RequireDual(_) => self.one(pool, other).map(|address| vec![address]).ok_or_else(|| self.none(&[pool], &[other])),
        }
    }

    fn one(&mut self, pool: usize, family: Family) -> Option<IpAddr> {
        let joins = |address: &&IpAddr| Family::of(**address) == family && self.pools.containing(**address) == Some(pool);
        let joined = self.joinable.iter().find(joins).copied();
        joined.or_else(|| self.cursors.free(self.pools, self.ledger, pool, family))
    }

    fn any(&mut self, candidates: &[usize], family: Family) -> Option<IpAddr> {
        candidates.iter().find_map(|pool| self.one(*pool, family))
    }

    fn both(&mut self, candidates: &[usize], family: Family) -> Option<Vec<IpAddr>> {
        candidates.iter().find_map(|pool| Some(vec![self.one(*pool, family)?, self.one(*pool, family.other())?]))
    }

    /// Why nothing was found: no pool has such addresses, or the last one that has them has none left.
    fn none(&mut self, candidates: &[usize], families: &[Family]) -> Refusal {
        let has = |pool: usize| families.iter().all(|family| self.pools.ranges(pool, *family).next().is_some());
        let Some(pool) = candidates.iter().rev().copied().find(|pool| has(*pool)) else {
            let named = if let [one] = candidates { Some(self.pools.name(*one).to_owned()) } else { None };
            return Refusal::NoSuchFamily { pool: named, families: families.to_vec() };
        };
        let exhausted = families.iter().copied().find(|family| self.one(pool, *family).is_none());
        Refusal::PoolExhausted { pool: self.pools.name(pool).to_owned(), family: exhausted.unwrap_or(families[0]) }
    }
}
