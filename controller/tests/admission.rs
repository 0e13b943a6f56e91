//! The webhook says what the runtime says: every Ingress and Service of every golden case is judged as it would be before it is stored, and the answer is
//! compared with what a pass over all of them says.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use controller::admission::review;
use controller::compile::{Compiled, Facts, Settings, compile};
use controller::config::{Config, Zone};
use controller::objects::{Kind, Objects, Stored};
use controller::problem::{ObjectRef, Origin, Problem, Reason, Severity};
use controller::source::{self, Read};
use controller::status::{Basis, View};
use serde_json::{Value, json};

/// Reasons that are about the object alone, or about hosts.
const JUDGED: [Reason; 7] = [
    Reason::HostOwnedByAnother,
    Reason::PathTaken,
    Reason::Refused,
    Reason::InvalidAnnotation,
    Reason::NotSupportedYet,
    Reason::AddressNotAllowed,
    Reason::NoEffect,
];

/// Reasons that time may mend, of which a Service is warned.
const WARNED: [Reason; 3] = [Reason::PoolExhausted, Reason::AddressTaken, Reason::QuotaExceeded];

fn settings(case: &Path) -> Settings {
    let mut config = Config::default();
    if let Ok(text) = std::fs::read_to_string(case.join("config.yaml")) {
        config = serde_saphyr::from_str(&text).unwrap();
    } else {
        config.gateway.public_addresses = vec!["192.0.2.10".parse().unwrap()];
        config.dns.zones = vec![Zone::named("dyn.example.org")];
    }
    let files = config.dns.zones.iter().filter_map(|zone| zone.file.clone());
    let files: BTreeMap<_, _> = files.map(|file| (file.clone(), std::fs::read_to_string(case.join(file.file_name().unwrap())).unwrap())).collect();
    Settings::from_config(&config, &files).unwrap()
}

/// Second of creation by the place in the file, as an API server would have noted it.
fn date<T: Clone>(kind: &mut Kind<T>) {
    for stored in kind.values_mut() {
        let Origin { document, item, .. } = stored.origin.clone().unwrap();
        Arc::make_mut(stored).age.created = Some(i64::try_from(1_700_000_000 + document * 100 + item).unwrap());
    }
}

fn dated(case: &Path) -> Objects {
    let mut objects = source::read(&[case.join("in.yaml")]).unwrap().objects;
    date(&mut objects.ingresses);
    date(&mut objects.services);
    date(&mut objects.certificates);
    objects
}

/// Later than all others: the API server dates an object when it comes.
fn late<T: Clone>(stored: &Arc<Stored<T>>) -> Arc<Stored<T>> {
    let mut stored = Arc::clone(stored);
    Arc::make_mut(&mut stored).age.created = Some(1_800_000_000);
    stored
}

/// Lines of the denial and warnings at the creation of an object.
fn asked<T: serde::Serialize>(view: &View, stored: &Stored<T>) -> (BTreeSet<String>, Vec<String>) {
    let mut object = serde_json::to_value(&stored.object).unwrap();
    object["metadata"]["creationTimestamp"] = jiff::Timestamp::from_second(stored.age.created.unwrap()).unwrap().to_string().into();
    object["metadata"]["namespace"] = stored.reference.namespace.as_deref().into();
    let body =
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "1", "operation": "CREATE", "object": object}});
    let answer = review(&serde_json::to_vec(&body).unwrap(), view).unwrap();
    let lines = answer["response"]["status"]["message"].as_str().unwrap_or_default().lines().map(str::to_owned).collect();
    let warnings = answer["response"]["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    (lines, warnings)
}

fn of<'a>(compiled: &'a Compiled, object: &'a ObjectRef) -> impl Iterator<Item = &'a Problem> {
    compiled.problems.iter().filter(move |problem| problem.object.as_ref() == Some(object))
}

/// Everything in which the two differ.
fn differences(runtime: &Compiled, object: &ObjectRef, (denied, warnings): &(BTreeSet<String>, Vec<String>)) -> Vec<String> {
    let line = |problem: &Problem| format!("{}: {}", problem.field, problem.message);
    let expected: BTreeSet<_> = of(runtime, object).filter(|p| p.severity == Severity::Error && JUDGED.contains(&p.reason)).map(line).collect();
    let known: BTreeSet<_> = of(runtime, object).filter(|problem| problem.severity == Severity::Error).map(line).collect();
    let hints = of(runtime, object).filter(|p| p.severity > Severity::Error && JUDGED.contains(&p.reason)).map(line);
    let missed = expected.iter().filter(|line| !denied.contains(*line)).map(|line| format!("{object}: not refused: {line}"));
    let invented = denied.iter().filter(|line| !known.contains(*line)).map(|line| format!("{object}: refused: {line}"));
    let unsaid = hints.filter(|hint| hint.len() < 250 && !warnings.contains(hint)).map(|hint| format!("{object}: not said: {hint}"));
    missed.chain(invented).chain(unsaid).chain(waits(runtime, object, warnings)).collect()
}

/// Where they differ in what a Service waits for.
fn waits(runtime: &Compiled, object: &ObjectRef, warnings: &[String]) -> Option<String> {
    let waits = of(runtime, object).filter(|problem| WARNED.contains(&problem.reason) && &*object.kind == "Service");
    let expected: Vec<String> = waits.map(|problem| format!("{}: {}", problem.field, problem.message)).collect();
    let said = |line: &&String| ["spec.type: ", "spec.loadBalancerIP: ", "metadata.annotations[metallb"].iter().any(|field| line.starts_with(field));
    let unsaid = expected.iter().any(|line| !warnings.contains(line));
    let invented = expected.is_empty() && warnings.iter().filter(said).any(|line| line.contains(" is held by Service ") || line.contains(" of no "));
    (unsaid || invented).then(|| format!("{object}: waits for {expected:?}, and is told {warnings:?}"))
}

#[test]
fn the_webhook_says_what_the_runtime_says() {
    let (mut judged, mut found) = (0, Vec::new());
    for case in support::cases() {
        let (objects, settings) = (dated(&case), Arc::new(settings(&case)));
        let runtime = compile(&objects, &settings, &Facts::default());
        let mut others = objects.clone();
        let view = |others: &Objects| {
            let compiled = compile(others, &settings, &Facts::default());
            let read = Arc::new(Read { objects: others.clone(), problems: Vec::new(), stale: false });
            let basis = Basis { settings: settings.clone(), read, rules: compiled.ownership, standing: compiled.standing };
            View { basis: Some(basis), report: compiled.report, ..View::default() }
        };
        for (key, stored) in &objects.ingresses {
            others.ingresses.remove(key);
            let (before, new) = (view(&others), late(stored));
            others.ingresses.insert(key.clone(), Arc::clone(&new));
            found.extend(differences(&compile(&others, &settings, &Facts::default()), &stored.reference, &asked(&before, &new)));
            others.ingresses.insert(key.clone(), stored.clone());
            // The same for an update that changes nothing: what it holds itself is not in its way.
            found.extend(differences(&runtime, &stored.reference, &asked(&view(&objects), stored)));
            judged += 1;
        }
        for (key, stored) in &objects.services {
            others.services.remove(key);
            let (before, new) = (view(&others), late(stored));
            others.services.insert(key.clone(), Arc::clone(&new));
            found.extend(differences(&compile(&others, &settings, &Facts::default()), &stored.reference, &asked(&before, &new)));
            others.services.insert(key.clone(), stored.clone());
            let held = Facts { allocations: runtime.allocations.clone(), ..Facts::default() };
            found.extend(differences(&compile(&objects, &settings, &held), &stored.reference, &asked(&view(&objects), stored)));
            judged += 1;
        }
    }
    assert!(judged > 100, "{judged}");
    assert!(found.is_empty(), "{found:#?}");
}
