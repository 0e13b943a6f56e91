//! One pass: from what was read and is held to what is served, written and told. Called whenever one of them changed; it does not wait for anything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::assemble::{self, Zones};
use crate::cluster;
use crate::compile::{Compiled, Facts, Memory, Settings, ZoneContent, compile_changes};
use crate::effects::Effects;
use crate::metrics::Metrics;
use crate::object_status;
use crate::ownership::Policy;
use crate::places::Places;
use crate::problem::{ObjectRef, Problem, Reason, Severity};
use crate::replicas::serials::Authority;
use crate::source::Read;
use crate::status::{Basis, Phase, Published, Replica, View};

/// Where a pass delivers.
#[derive(Debug, Default)]
pub struct Outlets {
    /// The gateway's snapshot.
    pub gateway: Arc<ArcSwap<gateway::Snapshot>>,
    /// The DNS server's zones.
    pub dns: Arc<ArcSwap<dns::ZoneSet>>,
    /// Serials that the zones want to take.
    pub serials: watch::Sender<Arc<BTreeMap<String, u32>>>,
    /// What certificates are wanted.
    pub wanted: watch::Sender<Arc<acme::WantedSet>>,
    /// What is forwarded.
    pub l4: watch::Sender<Arc<gateway::l4::L4Table>>,
    /// What is told.
    pub published: watch::Sender<Arc<Published>>,
    /// What is written to the cluster. Only who listens all the time hears of the last pass; where there is no cluster nobody does.
    pub cluster: watch::Sender<Option<Arc<cluster::Pass>>>,
}

/// What a pass starts from.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The manifests.
    pub read: Arc<Read>,
    /// Certificates and challenges.
    pub held: Arc<acme::Held>,
    /// Listeners that could not be bound.
    pub unbound: Vec<gateway::l4::BindFailure>,
    /// Statuses that other controllers write.
    pub conflicts: Vec<Problem>,
    /// Who decides about the zones' serials.
    pub serials: Authority,
    /// This process among others, where there are others.
    pub replica: Option<Replica>,
}

/// Runs passes.
#[derive(Debug)]
pub struct Passes {
    settings: Arc<Settings>,
    effects: Effects,
    zones: Zones,
    memory: Memory,
    policy: Option<Arc<Policy>>,
    places: Places,
    metrics: Metrics,
    outlets: Outlets,
    generation: u64,
}

impl Passes {
    /// Ready for the first pass.
    #[must_use]
    pub fn new(settings: Settings, effects: Effects, metrics: Metrics, outlets: Outlets) -> Self {
        let policy = effects.policy().and_then(|written| Policy::read(written).ok()).map(Arc::new);
        Self {
            settings: Arc::new(settings),
            effects,
            zones: Zones::default(),
            memory: Memory::default(),
            policy,
            places: Places::default(),
            metrics,
            outlets,
            generation: 0,
        }
    }

    /// Compiles and delivers. Blocking: it compiles and writes files.
    pub fn run(&mut self, inputs: &Inputs, now: SystemTime) {
        self.generation += 1;
        let (pools, _) = self.settings.pools.with_objects(&inputs.read.objects, &self.settings.pool_namespace);
        let started = Instant::now();
        let allocations = self.effects.held(self.memory.balancers(&inputs.read.objects), &pools).into_owned();
        let facts = Facts { held: inputs.held.clone(), allocations, policy: self.policy.take(), now };
        let mut compiled = compile_changes(&mut self.memory, &inputs.read.objects, &self.settings, &facts);
        self.metrics.compiled(started.elapsed());
        self.keep_policy(&compiled);

        let snapshot = Arc::new(assemble::snapshot(self.generation, &mut compiled));
        self.outlets.gateway.store(snapshot.clone());
        self.serve_addresses(&mut compiled, &inputs.serials, now);
        self.outlets.wanted.send_if_modified(|wanted| {
            let changed = !Arc::ptr_eq(wanted, &compiled.wanted) && *wanted != compiled.wanted;
            if changed {
                wanted.clone_from(&compiled.wanted);
            }
            changed
        });

        let mut problems = inputs.read.problems.clone();
        problems.append(&mut compiled.problems);
        problems.extend(inputs.unbound.iter().map(unbound));
        problems.extend_from_slice(&inputs.conflicts);
        self.places.locate(&mut problems);
        problems.sort();
        problems.dedup();
        self.metrics.problems(&problems);
        self.metrics.certificates(&inputs.held);
        self.metrics.swapped(self.generation, now);
        let view = View {
            snapshot,
            zones: self.outlets.dns.load_full(),
            report: compiled.report,
            problems,
            stale: inputs.read.stale,
            ignored: inputs.read.objects.others.clone(),
            public_addresses: compiled.public.addresses.clone(),
            basis: Some(Basis { settings: self.settings.clone(), read: inputs.read.clone(), rules: compiled.ownership, standing: compiled.standing }),
        };
        let view = self.publish(view, inputs.replica.clone());
        if self.outlets.cluster.receiver_count() > 0 {
            let pass = cluster::Pass {
                read: inputs.read.clone(),
                view,
                allocations: compiled.allocations,
                public: compiled.public,
                orders_known: !inputs.held.states.is_empty(),
            };
            self.outlets.cluster.send_replace(Some(Arc::new(pass)));
        }
    }

    /// Remembers the policy of ownership, on disk too where it is from a ConfigMap.
    fn keep_policy(&mut self, compiled: &Compiled) {
        self.policy.clone_from(&compiled.ownership.policy);
        if let Some(policy) = self.policy.as_ref().filter(|_| self.settings.policy_map.is_some())
            && let Err(error) = self.effects.keep_policy(policy.written())
        {
            tracing::error!(%error, "the policy of ownership cannot be kept; it serves until the next start");
        }
    }

    /// Says that a stop was asked for.
    pub fn drain(&self) {
        self.outlets.published.send_modify(|published| {
            let Published { generation, replica, view, .. } = &**published;
            *published = Arc::new(Published { generation: *generation, phase: Phase::Draining, replica: replica.clone(), view: view.clone() });
        });
    }

    /// Forwards and names addresses, once their allocation is on disk.
    fn serve_addresses(&mut self, compiled: &mut Compiled, serials: &Authority, now: SystemTime) {
        if let Err(error) = self.effects.allocate(&compiled.allocations) {
            tracing::error!(%error, "addresses cannot be allocated; what was served goes on");
            return;
        }
        self.outlets.l4.send_if_modified(|table| {
            let changed = **table != compiled.l4;
            if changed {
                *table = Arc::new(std::mem::take(&mut compiled.l4));
            }
            changed
        });
        self.serve_zones(std::mem::take(&mut compiled.zones), serials, now);
    }

    fn serve_zones(&mut self, contents: Vec<ZoneContent>, serials: &Authority, now: SystemTime) {
        let seconds = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        #[allow(clippy::cast_possible_truncation, reason = "serials are 32 bits wide and wrap, as the low bits of the time do")]
        let (zones, errors) = self.zones.update(contents, &mut self.effects, serials, seconds as u32);
        for error in errors {
            tracing::error!(%error, "a zone cannot be served as asked");
        }
        self.outlets.dns.store(Arc::new(zones));
        let wanted = self.zones.wanted_serials();
        self.outlets.serials.send_if_modified(|before| {
            let changed = **before != wanted;
            if changed {
                *before = Arc::new(wanted);
            }
            changed
        });
    }

    fn publish(&mut self, view: View, replica: Option<Replica>) -> Arc<View> {
        let view = Arc::new(view);
        let published = Published { generation: self.generation, phase: Phase::Serving, replica, view: view.clone() };
        self.outlets.published.send_replace(Arc::new(published));
        if let Err(error) = self.effects.publish(|| object_status::files(&view)) {
            tracing::error!(%error, "statuses cannot be written");
        }
        view
    }
}

fn unbound(failure: &gateway::l4::BindFailure) -> Problem {
    let (namespace, name) = failure.service.split_once('/').unwrap_or(("", &failure.service));
    Problem {
        severity: Severity::Error,
        object: Some(ObjectRef { kind: "Service".into(), namespace: Some(namespace.into()), name: name.into() }),
        origin: None,
        field: "spec.ports".into(),
        reason: Reason::BindFailed,
        message: format!("{failure}; free the address and port on this machine, or take it out of the pool"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::state::StateDir;

    #[test]
    fn problems_are_told_with_the_line_of_their_field() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.yaml");
        let manifest = "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  annotations:\n    metallb.io/address-pool: none\n\
                        spec: {type: LoadBalancer, ports: [{port: 80}]}\n";
        std::fs::write(&file, manifest).unwrap();
        let effects = Effects::open(Arc::new(StateDir::open(&directory.path().join("state")).unwrap())).unwrap();
        let outlets = Outlets::default();
        let published = outlets.published.subscribe();
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
        let settings = Settings::from_config(&crate::config::Config::default(), &BTreeMap::new()).unwrap();
        let mut passes = Passes::new(settings, effects, metrics, outlets);
        let read = Arc::new(crate::source::read(&[file]).unwrap());
        let inputs = Inputs { read, held: Arc::default(), unbound: vec![], conflicts: vec![], serials: Authority::Own, replica: None };
        passes.run(&inputs, SystemTime::UNIX_EPOCH);
        let view = published.borrow().view.clone();
        let told: Vec<_> = view.problems.iter().map(|problem| (problem.field.as_str(), problem.origin.as_ref().unwrap().line)).collect();
        assert_eq!(told, [("metadata.annotations[metallb.io/address-pool]", 6)]);
    }
}
