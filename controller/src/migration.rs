//! What would change for a cluster that ingress-nginx, cert-manager, external-dns and MetalLB or PureLB serve today, as a value. Pure: it judges objects by
//! compiling them, and compares what comes of it with what their statuses say. It reads and writes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use acme::{Held, HeldCertificate, SecretName};
use serde::Serialize;
use serde_json::Value;

use crate::addresses::held_allocations;
use crate::compile::{Compiled, Facts, Memory, Settings, compile_changes};
use crate::objects::{Balancers, Objects};
use crate::problem::{Problem, Reason};

mod certificates;
mod hosts;
mod names;
mod pools;
mod services;
mod text;

pub use certificates::{CertificateRow, Fate};
pub use hosts::HostRow;
pub use names::NameRow;
pub use pools::{Announcement, PoolRow};
pub use services::ServiceRow;
pub use text::text;

/// A cluster as far as it could be read.
#[derive(Debug, Clone, Copy)]
pub struct Cluster<'a> {
    /// What is compiled.
    pub objects: &'a Objects,
    /// Objects of other programs that are told of only: advertisements, groups of addresses, DNS records.
    pub neighbours: &'a [Value],
    /// Namespaces whose Secrets could not be read.
    pub hidden: &'a BTreeSet<String>,
}

/// What becomes of something that is served today.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// It would not be served as it asks; the findings say what to do.
    Refused,
    /// It would be somewhere else.
    Moves,
    /// It would be served, and is not today.
    Appears,
    /// It stays where it is.
    Stays,
    /// It is left to whoever has it.
    Elsewhere,
    /// It depends on a configuration that was not given, or on what may not be read.
    Unknown,
}

impl Change {
    /// From where something is and where it would be.
    fn between(today: &[String], then: &[String]) -> Self {
        let set = |places: &[String]| places.iter().cloned().collect::<BTreeSet<_>>();
        match () {
            () if then.is_empty() => Self::Unknown,
            () if today.is_empty() => Self::Appears,
            () if set(today) == set(then) => Self::Stays,
            () => Self::Moves,
        }
    }
}

/// The report.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Migration {
    /// Hosts of Ingresses of our class, by Ingress.
    pub hosts: Vec<HostRow>,
    /// Certificates, by Secret.
    pub certificates: Vec<CertificateRow>,
    /// DNS names, by object.
    pub names: Vec<NameRow>,
    /// Services of type LoadBalancer.
    pub services: Vec<ServiceRow>,
    /// IPAddressPools.
    pub pools: Vec<PoolRow>,
    /// What announces addresses and publishes names today and is not read here.
    pub announcements: Vec<Announcement>,
    /// How many there are of each.
    pub summary: Summary,
}

/// Counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Hosts by what becomes of them.
    pub hosts: BTreeMap<Change, usize>,
    /// Certificates by what becomes of them.
    pub certificates: BTreeMap<Fate, usize>,
    /// DNS names by what becomes of them.
    pub names: BTreeMap<Change, usize>,
    /// Services of type LoadBalancer by what becomes of them.
    pub services: BTreeMap<Change, usize>,
    /// Ingresses of other classes, which are left alone.
    pub other_ingresses: usize,
}

/// What the rows are made from.
struct Scene<'a> {
    cluster: Cluster<'a>,
    settings: &'a Settings,
    /// As it is once every address that is allocated has been written.
    compiled: &'a Compiled,
    held: &'a BTreeMap<SecretName, Arc<HeldCertificate>>,
    now: SystemTime,
}

/// The report, and what is wrong with the objects.
#[must_use]
pub fn judge(cluster: Cluster<'_>, settings: &Settings, now: SystemTime) -> (Migration, Vec<Problem>) {
    let objects = cluster.objects;
    let held = certificates::held(objects);
    let (pools, _) = settings.pools.with_objects(objects, &settings.pool_namespace);
    let known = Held { certificates: held.clone(), ..Held::default() };
    let facts = Facts { held: Arc::new(known), allocations: held_allocations(&Balancers::among(&objects.services), &pools), now, ..Facts::default() };
    let mut memory = Memory::default();
    let first = compile_changes(&mut memory, objects, settings, &facts);
    let compiled = compile_changes(&mut memory, objects, settings, &Facts { allocations: first.allocations, ..facts });
    let mut problems = compiled.problems.clone();
    problems.retain(|problem| can_be_told(cluster, settings, problem));
    let scene = Scene { cluster, settings, compiled: &compiled, held: &held, now };
    let mut migration = Migration {
        hosts: hosts::rows(&scene),
        certificates: certificates::rows(&scene, &problems),
        names: names::rows(&scene),
        services: services::rows(&scene),
        pools: pools::rows(&scene),
        announcements: pools::announcements(cluster.neighbours),
        summary: Summary::default(),
    };
    migration.summary = summary(&migration, &scene);
    (migration, problems)
}

/// Whether what was read and configured is enough for this finding.
fn can_be_told(cluster: Cluster<'_>, settings: &Settings, problem: &Problem) -> bool {
    let about_secret = problem.field.ends_with("secretName") || problem.field.contains("auth-secret");
    let namespace = problem.object.as_ref().and_then(|object| object.namespace.as_deref());
    match problem.reason {
        Reason::OutsideZones => !settings.zones.is_empty(),
        Reason::PoolExhausted | Reason::AddressNotAllowed => has_pools(cluster.objects, settings),
        Reason::MissingReference | Reason::InvalidSecret => !(about_secret && namespace.is_none_or(|namespace| cluster.hidden.contains(namespace))),
        _ => true,
    }
}

fn has_pools(objects: &Objects, settings: &Settings) -> bool {
    settings.pools != crate::addresses::PoolRanges::default() || !objects.address_pools.is_empty()
}

fn summary(migration: &Migration, scene: &Scene<'_>) -> Summary {
    let ingresses = scene.cluster.objects.ingresses.values();
    let others = ingresses.filter(|stored| !crate::compile::is_ours(scene.cluster.objects, &scene.settings.class, &stored.object));
    Summary {
        hosts: count(migration.hosts.iter().map(|row| row.change)),
        certificates: count(migration.certificates.iter().map(|row| row.fate)),
        names: count(migration.names.iter().map(|row| row.change)),
        services: count(migration.services.iter().map(|row| row.change)),
        other_ingresses: others.count(),
    }
}

fn count<T: Ord>(values: impl Iterator<Item = T>) -> BTreeMap<T, usize> {
    values.fold(BTreeMap::new(), |mut counts, value| {
        *counts.entry(value).or_default() += 1;
        counts
    })
}
