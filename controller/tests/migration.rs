//! What would change for a cluster that others serve: golden cases, each a directory in `migration/` with the cluster (`in.yaml`), the configuration where one
//! is given, and the report as text and JSON. `VRATA_BLESS=1` rewrites the reports; read the difference before committing it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use controller::check::{Style, render_with};
use controller::compile::Settings;
use controller::config::{Config, Kubernetes};
use controller::migration::{Cluster, Migration, judge};
use controller::problem::Problem;
use controller::source;
use serde_json::Value;

/// 2026-11-24T06:00:00Z, within the validity of the certificates in the cases.
const NOW: u64 = 1_795_500_000;

fn settings(case: &Path) -> Settings {
    let file = case.join("config.yaml");
    let mut config: Config =
        if file.exists() { serde_saphyr::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap() } else { Config::default() };
    config.source.kubernetes = Some(Kubernetes::default());
    Settings::from_config(&config, &BTreeMap::new()).unwrap()
}

/// Objects of kinds that are not compiled.
fn neighbours(text: &str) -> Vec<Value> {
    let documents = text.split("\n---\n").map(|document| serde_saphyr::from_str::<Value>(document).unwrap());
    let kinds = ["L2Advertisement", "BGPAdvertisement", "ServiceGroup", "DNSEndpoint"];
    documents.filter(|object| object["kind"].as_str().is_some_and(|kind| kinds.contains(&kind))).collect()
}

fn judged(case: &Path) -> (Migration, Vec<Problem>) {
    let file = case.join("in.yaml");
    let mut read = source::read(std::slice::from_ref(&file)).unwrap();
    let neighbours = neighbours(&std::fs::read_to_string(&file).unwrap());
    let hidden: BTreeSet<String> =
        std::fs::read_to_string(case.join("hidden.txt")).unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let settings = settings(case);
    controller::assumed::authorities(&mut read.objects, &settings, &hidden);
    let cluster = Cluster { objects: &read.objects, neighbours: &neighbours, hidden: &hidden };
    let (migration, mut problems) = judge(cluster, &settings, SystemTime::UNIX_EPOCH + Duration::from_secs(NOW));
    problems.extend(read.problems);
    // An API server names no file.
    problems.iter_mut().for_each(|problem| problem.origin = None);
    (migration, problems)
}

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/migration");
    let mut cases: Vec<_> = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

#[test]
fn every_cluster_is_judged_as_is_written_beside_it() {
    let bless = std::env::var_os("VRATA_BLESS").is_some();
    let mut differing = Vec::new();
    for case in cases() {
        let (migration, problems) = judged(&case);
        for (name, style) in [("report.txt", Style::Text { colour: false }), ("report.json", Style::Json)] {
            let (path, text) = (case.join(name), render_with(&problems, Some(&migration), style));
            if bless {
                std::fs::write(&path, text).unwrap();
            } else if std::fs::read_to_string(&path).unwrap_or_default() != text {
                differing.push(format!("{}:\n{text}", path.display()));
            }
        }
    }
    assert!(differing.is_empty(), "differs; VRATA_BLESS=1 rewrites it:\n{}", differing.join("\n"));
}

/// Nothing is forgotten, and no row is there twice.
#[test]
fn every_object_has_its_row() {
    for case in cases() {
        let (migration, _) = judged(&case);
        let read = source::read(&[case.join("in.yaml")]).unwrap();
        let balancers = read.objects.services.values().filter(|stored| stored.object.spec.as_ref().unwrap().type_.as_deref() == Some("LoadBalancer"));
        assert_eq!(migration.services.len(), balancers.count(), "{}", case.display());
        assert_eq!(migration.pools.len(), read.objects.address_pools.len(), "{}", case.display());
        let ingresses: BTreeSet<&str> = migration.hosts.iter().map(|row| row.ingress.as_str()).collect();
        assert_eq!(ingresses.len() + migration.summary.other_ingresses, read.objects.ingresses.len(), "{}", case.display());
        let secrets: BTreeSet<_> = migration.certificates.iter().map(|row| (&row.secret, &row.wanted_by)).collect();
        assert_eq!(secrets.len(), migration.certificates.len(), "{}", case.display());
    }
}
