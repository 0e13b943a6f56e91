//! A small world to allocate in: pools, claims, and what is held from one step to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::addresses::{Asked, Port, Protocol, Request, TrafficPolicy};
use crate::config::Pool;
use crate::objects::Age;

use super::*;

pub(super) struct World {
    pub(super) pools: PoolRanges,
    pub(super) quota: Quota,
    claims: BTreeMap<ObjectKey, Claim>,
    pub(super) held: Allocations,
}

impl World {
    pub(super) fn new(pools: &[Pool]) -> Self {
        Self { pools: PoolRanges::parse(pools).unwrap(), quota: Quota::default(), claims: BTreeMap::new(), held: Allocations::default() }
    }

    pub(super) fn set_pools(&mut self, pools: &[Pool]) {
        self.pools = PoolRanges::parse(pools).unwrap();
    }

    pub(super) fn claim(&mut self, name: &str, asks: Asks) {
        self.claims.insert(key(name), asks.by(name));
    }

    pub(super) fn claim_all(&mut self, names: &[&str], asks: &Asks) {
        names.iter().for_each(|name| self.claim(name, asks.clone()));
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.claims.remove(&key(name));
    }

    pub(super) fn outcome(&self) -> Outcome {
        let claims: Vec<_> = self.claims.values().cloned().collect();
        allocate(&self.pools, &self.quota, &self.held, &claims)
    }

    /// Allocates, keeps the result, and says it line by line. A second pass has to agree.
    pub(super) fn step(&mut self) -> Vec<String> {
        let outcome = self.outcome();
        self.held = outcome.allocations.clone();
        assert_eq!(self.outcome(), outcome);
        lines(&outcome)
    }
}

fn lines(outcome: &Outcome) -> Vec<String> {
    let allocated = outcome.allocations.services.iter().map(|(service, allocation)| {
        let addresses: Vec<_> = allocation.addresses.iter().map(ToString::to_string).collect();
        format!("{service} {} {}", addresses.join(","), allocation.pool)
    });
    let refused = outcome.refusals.iter().map(|(service, refusal)| format!("{service}: {refusal}"));
    let mut lines: Vec<_> = allocated.chain(refused).collect();
    lines.sort();
    lines
}

/// A claim without a name.
#[derive(Debug, Clone)]
pub(super) struct Asks {
    pub(super) born: i64,
    pub(super) families: Families,
    pub(super) ports: Vec<u16>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) traffic: TrafficPolicy,
    pub(super) shares_with: BTreeSet<String>,
    pub(super) request: Option<Request>,
}

pub(super) fn asks() -> Asks {
    Asks {
        born: 100,
        families: Families::Any,
        ports: vec![80],
        labels: BTreeMap::new(),
        traffic: TrafficPolicy::Cluster,
        shares_with: BTreeSet::new(),
        request: Some(Request::default()),
    }
}

impl Asks {
    pub(super) fn born(mut self, second: i64) -> Self {
        self.born = second;
        self
    }

    pub(super) fn families(mut self, families: Families) -> Self {
        self.families = families;
        self
    }

    pub(super) fn ports(mut self, ports: &[u16]) -> Self {
        self.ports = ports.to_vec();
        self
    }

    pub(super) fn in_pool(mut self, pool: &str) -> Self {
        self.request.get_or_insert_default().pool = Some(Asked { value: pool.into(), field: "pool".into() });
        self
    }

    pub(super) fn addresses(mut self, addresses: &[&str]) -> Self {
        let value: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        self.request.get_or_insert_default().addresses = Some(Asked { value, field: "addresses".into() });
        self
    }

    pub(super) fn key(mut self, key: &str) -> Self {
        self.request.get_or_insert_default().sharing_key = Some(key.into());
        self
    }

    pub(super) fn labelled(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// `externalTrafficPolicy: Local` with this selector.
    pub(super) fn local(mut self, app: &str) -> Self {
        self.traffic = TrafficPolicy::Local(BTreeMap::from([("app".into(), app.into())]));
        self
    }

    pub(super) fn shares_with(mut self, namespace: &str) -> Self {
        self.shares_with.insert(namespace.into());
        self
    }

    pub(super) fn unreadable(mut self) -> Self {
        self.request = None;
        self
    }

    /// Among claims of the same second the lesser name is made the older here, so that tables read in order.
    pub(super) fn by(self, name: &str) -> Claim {
        let rank: i64 = name.bytes().take(8).fold(0, |sum, byte| sum * 128 + i64::from(byte)) << (7 * 8_usize.saturating_sub(name.len()));
        let created = self.born.saturating_mul(1 << 56).saturating_add(rank);
        Claim {
            service: key(name),
            age: Age { created: Some(created), origin: None, name: name.into() },
            families: self.families,
            ports: self.ports.into_iter().map(|port| Port { protocol: Protocol::Tcp, port }).collect(),
            labels: self.labels,
            traffic: self.traffic,
            shares_with: self.shares_with,
            request: self.request,
        }
    }
}

pub(super) fn key(name: &str) -> ObjectKey {
    let (namespace, name) = name.split_once('/').unwrap();
    ObjectKey::new(namespace, name)
}

pub(super) fn pool(name: &str, ranges: &[&str], auto_assign: bool) -> Pool {
    Pool { name: name.into(), ranges: ranges.iter().map(ToString::to_string).collect(), auto_assign }
}

/// Four public addresses for everybody, four private ones for who names them.
pub(super) fn small_pools() -> Vec<Pool> {
    vec![pool("public", &["192.0.2.0/30"], true), pool("private", &["10.0.0.0/30"], false)]
}

pub(super) fn dual_pools() -> Vec<Pool> {
    vec![pool("four", &["10.4.0.0/24"], true), pool("six", &["fd00:6::/64"], true), pool("both", &["192.0.2.0/24", "fd00::/64"], true)]
}
