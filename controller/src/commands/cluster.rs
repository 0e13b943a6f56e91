//! `vrata check --kubeconfig`: reads a cluster once, has it judged, and says what could not be. It writes nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::assumed;
use crate::compile::{NamedSecrets, Settings};
use crate::config::{self, Config, Kubernetes, Overrides};
use crate::migration::{self, Cluster, Migration};
use crate::objects::Objects;
use crate::problem::{Problem, Reason, Severity};
use crate::run::settings;
use crate::source::kubernetes::connect;
use crate::source::kubernetes::once::{Once, Seen, Unread};

/// What was found.
pub(super) struct Found {
    pub(super) problems: Vec<Problem>,
    pub(super) migration: Migration,
    /// What was not given.
    pub(super) notes: Vec<&'static str>,
}

/// Looks at the cluster of this kubeconfig, or at the one that kubectl would use.
pub(super) fn look(kubeconfig: Option<&PathBuf>, file: Option<&PathBuf>, zones: &[String]) -> anyhow::Result<Found> {
    let overrides =
        Overrides { kubernetes: true, kubeconfig: kubeconfig.cloned(), zones: zones.to_vec(), serves_nothing: true, ..Overrides::default() };
    let config = config::load(file.map(PathBuf::as_path), &overrides)?;
    let mut settings = settings(&config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut seen = runtime.block_on(read(&config, kubeconfig, &mut settings, file.is_none()))?;
    let unread = |resource: &str| seen.unread.iter().find(|unread| unread.resource == resource);
    let hidden = unread("secrets").map(|unread| unread.namespaces.clone()).unwrap_or_default();
    if unread("clusterissuers.cert-manager.io").is_some() {
        assumed::issuers(&mut seen.read.objects, &settings);
    }
    assumed::authorities(&mut seen.read.objects, &settings, &hidden);
    let cluster = Cluster { objects: &seen.read.objects, neighbours: &seen.neighbours, hidden: &hidden };
    let (migration, mut problems) = migration::judge(cluster, &settings, SystemTime::now());
    problems.extend(seen.read.problems.iter().cloned());
    problems.extend(seen.unread.iter().map(problem));
    problems.sort();
    Ok(Found { problems, migration, notes: notes(&config, &seen.read.objects) })
}

/// Reads everything, and of Secrets those that something names.
async fn read(config: &Config, kubeconfig: Option<&PathBuf>, settings: &mut Settings, derive: bool) -> anyhow::Result<Seen> {
    let source = Kubernetes { kubeconfig: kubeconfig.cloned(), ..config.source.kubernetes.clone().unwrap_or_default() };
    let mut once = Once::read(connect(&source).await?, settings.policy_map.as_ref()).await?;
    if derive {
        settings.pool_namespace = pool_namespace(once.objects()).unwrap_or_else(|| settings.pool_namespace.clone());
    }
    let named = BTreeSet::clone(NamedSecrets::default().among(once.objects(), settings));
    once.secrets(named).await?;
    Ok(once.seen())
}

/// The namespace of all pools, where there is but one.
fn pool_namespace(objects: &Objects) -> Option<String> {
    let mut namespaces: BTreeSet<&String> = objects.address_pools.keys().map(|key| &key.namespace).collect();
    namespaces.pop_first().filter(|_| namespaces.is_empty()).cloned()
}

/// A right that is missing. Without what is compiled the report is not whole, which is no success.
fn problem(unread: &Unread) -> Problem {
    let Unread { resource, verb, namespaces, compiled } = unread;
    let place = if namespaces.is_empty() { String::new() } else { format!(" in {}", namespaces.iter().cloned().collect::<Vec<_>>().join(", ")) };
    Problem {
        severity: if *compiled { Severity::Error } else { Severity::Warning },
        object: None,
        origin: None,
        field: resource.clone(),
        reason: Reason::NotReadable,
        message: format!(
            "{resource} cannot be read{place}: the credentials lack the right to {verb} them, so what depends on them is not in this report. Give the \
             credentials a ClusterRole with the verb {verb} for {resource} (deploy/check-rights.yaml has all that is needed)."
        ),
    }
}

fn notes(config: &Config, objects: &Objects) -> Vec<&'static str> {
    let notes = [
        (config.dns.zones.is_empty(), "no zone is given, so DNS names were not judged; name them with --zone or --config"),
        (
            config.gateway.public_addresses.is_empty() && config.gateway.publish_service.is_none(),
            "no public address is given, so it is not known where hosts would be; write gateway.publicAddresses into a file and give it with --config",
        ),
        (
            config.addresses.pools.is_empty() && objects.address_pools.is_empty(),
            "there are no pools, so addresses were not judged; write addresses.pools into a file and give it with --config",
        ),
    ];
    notes.into_iter().filter_map(|(is, note)| is.then_some(note)).collect()
}
