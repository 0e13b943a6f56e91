//! Golden cases: manifests in, everything that is decided out. `VRATA_BLESS=1` rewrites the expectations; read the difference before committing it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use controller::compile::{Compiled, Facts, Memory, Settings, ZoneContent, compile, compile_changes};
use controller::config::{Config, Pool, Zone};
use controller::objects::{Certificate, Kind, ObjectKey, Objects};
use controller::problem::Problem;
use controller::source;
use gateway::table::{Action, HostPattern, PathMatch, RouteId};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::Ingress;

/// The platform of all cases, unless the case has a `config.yaml`.
fn settings(case: &Path) -> Settings {
    let file = case.join("config.yaml");
    let mut config = Config::default();
    if file.exists() {
        config = serde_saphyr::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    } else {
        config.gateway.public_addresses = vec!["192.0.2.10".parse().unwrap(), "2001:db8::10".parse().unwrap()];
        config.dns.zones = vec![Zone { name: "dyn.example.org".into(), file: None, cname: None, ttl: 60 }];
        config.addresses.pools = vec![
            Pool { name: "public".into(), ranges: vec!["198.51.100.0/30".into()], auto_assign: true },
            Pool { name: "privmuni".into(), ranges: vec!["10.16.0.10-10.16.0.20".into()], auto_assign: false },
        ];
    }
    let read = |zone: &Zone| zone.file.as_ref().map(|file| (file.clone(), std::fs::read_to_string(case.join(file.file_name().unwrap())).unwrap()));
    let zone_files: BTreeMap<PathBuf, String> = config.dns.zones.iter().filter_map(read).collect();
    let mut settings = Settings::from_config(&config, &zone_files).unwrap();
    // The marker of a case whose objects come from a cluster instead of the administrator's directory.
    settings.loopback_endpoints = !case.join("kubernetes").exists();
    settings
}

fn facts() -> Facts {
    // 2026-11-24, within the validity of the certificates in the cases.
    Facts { now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_500_000), ..Facts::default() }
}

fn read(case: &Path) -> (Objects, Vec<Problem>) {
    let read = source::read(&[case.join("in.yaml")]).unwrap();
    (read.objects, read.problems)
}

fn objects(case: &Path) -> Objects {
    read(case).0
}

fn routes(compiled: &Compiled) -> String {
    let mut text = String::new();
    for rule in compiled.table.rules_in_order() {
        let host = match rule.host() {
            HostPattern::Exact(host) => host.to_string(),
            HostPattern::Wildcard(base) => format!("*.{base}"),
            HostPattern::Any => "*".into(),
        };
        let path = match rule.path() {
            PathMatch::Exact(path) => format!("= {path}"),
            PathMatch::Prefix(path) => path.to_string(),
        };
        let action = match &rule.route.action {
            Action::Forward(backend) => format!("{} {:?} as {} {:?}", backend.name, backend.protocol, backend.server_name, backend.endpoints),
            Action::Fail(failure) => format!("{} {}", failure.status, failure.reason),
        };
        let (id, policy) = (&rule.route.id, &rule.route.policy);
        writeln!(text, "{host} {path}\n  {}/{}: {action}\n  {policy:?}", id.namespace, id.ingress).unwrap();
    }
    text
}

fn zones(compiled: &Compiled) -> String {
    let mut text = String::new();
    for zone in &compiled.zones {
        let soa = &zone.soa;
        writeln!(text, "; zone {} SOA {} {} {} {} {} {}", zone.origin, soa.mname, soa.rname, soa.refresh, soa.retry, soa.expire, soa.minimum)
            .unwrap();
        for set in zone.sets() {
            for data in &set.data {
                writeln!(text, "{} {} IN {} {data}", set.owner, set.ttl, data.record_type()).unwrap();
            }
        }
    }
    text
}

fn certificates(compiled: &Compiled) -> String {
    let mut text = String::new();
    for served in &compiled.certificates {
        writeln!(text, "serve {:?} {}", served.source, served.names.join(" ")).unwrap();
    }
    for (secret, wanted) in &compiled.wanted.certificates {
        let names = wanted.names.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        writeln!(text, "want {secret} {names}\n  {} {:?} for {}", wanted.issuer, wanted.key, wanted.wanted_by).unwrap();
        writeln!(text, "  {:?} {:?} {:?}", wanted.challenges, wanted.duration, wanted.renew_before).unwrap();
        writeln!(text, "  {:?} {:?}", wanted.secret_annotations, wanted.secret_labels).unwrap();
    }
    for (id, issuer) in &compiled.wanted.issuers {
        writeln!(text, "{id} {issuer:?}").unwrap();
    }
    text
}

fn listeners(compiled: &Compiled) -> String {
    compiled.l4.listeners.iter().map(|((address, transport), listener)| format!("{address} {transport:?} {listener:?}\n")).collect()
}

fn problems(problems: &[Problem]) -> String {
    let mut text = String::new();
    for problem in problems {
        let object = problem.object.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        writeln!(text, "{:?} {object} {}\n  {:?}: {}", problem.severity, problem.field, problem.reason, problem.message).unwrap();
    }
    text
}

/// Everything that people and data planes see of a compilation.
fn outputs(compiled: &Compiled) -> [(&'static str, String); 6] {
    [
        ("routes.txt", routes(compiled)),
        ("zones.zone", zones(compiled)),
        ("certificates.txt", certificates(compiled)),
        ("listeners.txt", listeners(compiled)),
        ("problems.txt", problems(&compiled.problems)),
        ("report.json", serde_json::to_string_pretty(&compiled.report).unwrap()),
    ]
}

#[test]
fn every_case_compiles_to_what_is_written_beside_it() {
    let bless = std::env::var_os("VRATA_BLESS").is_some();
    let mut differing = Vec::new();
    for case in support::cases() {
        let (objects, unread) = read(&case);
        let outputs = outputs(&compile(&objects, &settings(&case), &facts()));
        for (name, text) in outputs.into_iter().chain([("unread.txt", problems(&unread))]) {
            let path = case.join(name);
            let text = if text.is_empty() || text.ends_with('\n') { text } else { text + "\n" };
            if bless {
                if text.is_empty() { drop(std::fs::remove_file(&path)) } else { std::fs::write(&path, text).unwrap() }
            } else if std::fs::read_to_string(&path).unwrap_or_default() != text {
                differing.push(format!("{}:\n{text}", path.display()));
            }
        }
    }
    assert!(differing.is_empty(), "differs; VRATA_BLESS=1 rewrites it:\n{}", differing.join("\n"));
}

#[test]
fn feeding_the_result_back_changes_nothing() {
    for case in support::cases() {
        let (objects, settings, facts) = (objects(&case), settings(&case), facts());
        let first = compile(&objects, &settings, &facts);
        let again = Facts { allocations: first.allocations.clone(), ..facts };
        let second = compile(&objects, &settings, &again);
        assert_eq!(outputs(&first), outputs(&second), "{}", case.display());
        assert_eq!(first.allocations, second.allocations, "{}", case.display());
    }
}

/// Takes an object out, by its number; `None` when there are not so many.
fn take<T>(kind: &mut Kind<T>, number: usize) -> Option<ObjectKey> {
    let key = kind.keys().nth(number)?.clone();
    kind.remove(&key).map(|_| key)
}

#[test]
fn what_is_remembered_of_the_last_compilation_makes_no_difference() {
    let kinds: [fn(&mut Objects, usize) -> Option<ObjectKey>; 11] = [
        |objects, number| take(&mut objects.ingresses, number),
        |objects, number| take(&mut objects.ingress_classes, number),
        |objects, number| take(&mut objects.services, number),
        |objects, number| take(&mut objects.endpoint_slices, number),
        |objects, number| take(&mut objects.endpoints, number),
        |objects, number| take(&mut objects.secrets, number),
        |objects, number| take(&mut objects.config_maps, number),
        |objects, number| take(&mut objects.issuers, number),
        |objects, number| take(&mut objects.cluster_issuers, number),
        |objects, number| take(&mut objects.certificates, number),
        |objects, number| take(&mut objects.reference_grants, number),
    ];
    for case in support::cases() {
        let (objects, settings, facts) = (objects(&case), settings(&case), facts());
        let (mut memory, anew) = (Memory::default(), outputs(&compile(&objects, &settings, &facts)));
        let mut remembering = |objects: &Objects| outputs(&compile_changes(&mut memory, objects, &settings, &facts));
        for kind in kinds {
            for number in 0.. {
                assert_eq!(remembering(&objects), anew, "{}", case.display());
                let mut rest = objects.clone();
                let Some(key) = kind(&mut rest, number) else { break };
                assert_eq!(remembering(&rest), outputs(&compile(&rest, &settings, &facts)), "{} without {key}", case.display());
            }
        }
    }
}

/// What an object named: hosts and, for Services and Certificates, what is its own.
#[derive(Default)]
struct Named {
    hosts: Vec<String>,
    service: Option<String>,
    secret: Option<String>,
    /// Ingresses with a backend that it is.
    ingresses: BTreeSet<ObjectKey>,
}

impl Named {
    fn of_ingress(ingress: &Ingress) -> Self {
        let spec = ingress.spec.as_ref().unwrap();
        let rules = spec.rules.iter().flatten().map(|rule| rule.host.clone().unwrap_or_default());
        let tls = spec.tls.iter().flatten().flat_map(|tls| tls.hosts.clone().unwrap_or_default());
        Self { hosts: rules.chain(tls).map(|host| host.to_lowercase()).collect(), ..Self::default() }
    }

    fn of_service(objects: &Objects, key: &ObjectKey, service: &Service) -> Self {
        let mention = format!("name: {:?}", key.name);
        let mentions =
            objects.ingresses.iter().filter(|(at, ingress)| at.namespace == key.namespace && format!("{:?}", ingress.object.spec).contains(&mention));
        let ingresses = mentions.map(|(at, _)| at.clone()).collect();
        let annotations = service.metadata.annotations.iter().flatten();
        let hosts = annotations.filter(|(name, _)| name.ends_with("/hostname")).flat_map(|(_, value)| value.split(','));
        Self { hosts: hosts.map(|host| host.trim().to_lowercase()).collect(), service: Some(key.to_string()), secret: None, ingresses }
    }

    fn of_certificate(key: &ObjectKey, certificate: &Certificate) -> Self {
        let spec = &certificate.spec;
        Self { hosts: spec.dns_names.clone(), secret: Some(format!("{}/{}", key.namespace, spec.secret_name)), ..Self::default() }
    }

    fn concerns(&self, host: &str) -> bool {
        let wildcards = self.hosts.iter().filter_map(|name| name.strip_prefix("*."));
        host.is_empty() || self.hosts.iter().any(|name| name == host) || wildcards.into_iter().any(|base| host.ends_with(base))
    }

    /// All that it did not name, as text.
    fn rest(&self, compiled: &Compiled, had: &BTreeSet<String>) -> String {
        let is_its_backend = |id: &RouteId| self.ingresses.contains(&ObjectKey::new(&id.namespace, &id.ingress));
        let ids = compiled.table.rules_in_order().into_iter().map(|rule| (&rule.route.id, rule));
        let rules = ids.filter(|(id, _)| !self.concerns(&id.host) && !id.namespace.is_empty() && !is_its_backend(id));
        let records = compiled.zones.iter().flat_map(ZoneContent::sets);
        let records = records.filter(|set| !self.concerns(set.owner.to_ascii().trim_end_matches('.')));
        let wanted = compiled.wanted.certificates.iter();
        let wanted = wanted
            .filter(|(secret, wanted)| self.secret.as_deref() != Some(&secret.to_string()) && !wanted.names.iter().any(|name| self.concerns(name)));
        // Who had no address may have one now.
        let listeners = compiled
            .l4
            .listeners
            .iter()
            .filter(|(_, listener)| self.service.as_deref() != Some(&listener.service) && had.contains(&listener.service));
        format!(
            "{:#?}{:#?}{:#?}{:#?}",
            rules.collect::<Vec<_>>(),
            records.collect::<Vec<_>>(),
            wanted.collect::<Vec<_>>(),
            listeners.collect::<Vec<_>>()
        )
    }
}

/// Removing an object leaves rules, records, certificates and listeners that it does not name as they were.
#[test]
fn removing_an_object_changes_only_what_it_named() {
    for case in support::cases() {
        let (objects, settings, facts) = (objects(&case), settings(&case), facts());
        let all = compile(&objects, &settings, &facts);
        let facts = Facts { allocations: all.allocations.clone(), ..facts };
        let had: BTreeSet<String> = all.allocations.services.keys().map(ToString::to_string).collect();
        let check = |rest: &Objects, named: &Named, key: &ObjectKey| {
            let without = compile(rest, &settings, &facts);
            assert_eq!(named.rest(&all, &had), named.rest(&without, &had), "{} without {key}", case.display());
        };
        for (key, removed) in &objects.ingresses {
            let mut rest = objects.clone();
            rest.ingresses.remove(key);
            check(&rest, &Named::of_ingress(&removed.object), key);
        }
        for (key, removed) in &objects.services {
            let mut rest = objects.clone();
            rest.services.remove(key);
            check(&rest, &Named::of_service(&objects, key, &removed.object), key);
        }
        for (key, removed) in &objects.certificates {
            let mut rest = objects.clone();
            rest.certificates.remove(key);
            check(&rest, &Named::of_certificate(key, &removed.object), key);
        }
    }
}
