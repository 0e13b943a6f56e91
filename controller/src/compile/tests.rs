//! Properties of compiling as a whole; what single objects come to is in the golden cases.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use acme::{CertificateState, Failure, Held, HeldCertificate, SecretName};
use gateway::table::TlsRedirect;

use super::*;
use crate::config::{Config, Zone};
use crate::objects::Kind;
use crate::problem::{Reason, Severity};

const NOW: Duration = Duration::from_secs(1_795_500_000);
const CLASS: &str = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: nginx}\nspec: {controller: k8s.io/ingress-nginx}\n---\n";
const ISSUER: &str = "apiVersion: cert-manager.io/v1\nkind: ClusterIssuer\nmetadata: {name: letsencrypt-prod}\nspec: {acme: {server: 'https://acme.example.net/dir', privateKeySecretRef: {name: account}}}\n---\n";

fn settings() -> Settings {
    let mut config = Config::default();
    config.gateway.public_addresses = vec!["192.0.2.10".parse().unwrap()];
    config.dns.zones = vec![Zone { name: "dyn.example.org".into(), file: None, cname: None, ttl: 60 }];
    Settings::from_config(&config, &BTreeMap::new()).unwrap()
}

fn objects(yaml: &str) -> Objects {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("in.yaml"), yaml).unwrap();
    crate::source::read(&[directory.path().to_owned()]).unwrap().objects
}

fn ingress(namespace: &str, name: &str, host: &str, tls: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, namespace: {namespace}, annotations: {{kubernetes.io/tls-acme: 'true'}}}}\n\
         spec:\n  ingressClassName: nginx\n{tls}  rules: [{{host: {host}, http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: web, port: {{number: 80}}}}}}}}]}}}}]\n---\n"
    )
}

fn certificate(names: &[&str]) -> Arc<HeldCertificate> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let made = rcgen::generate_simple_self_signed(names.clone()).unwrap();
    let (not_before, not_after) =
        (SystemTime::UNIX_EPOCH + NOW - Duration::from_secs(60), SystemTime::UNIX_EPOCH + NOW + Duration::from_secs(86_400));
    let (chain_pem, key_pem) = (made.cert.pem(), made.signing_key.serialize_pem());
    Arc::new(HeldCertificate { chain_pem, key_pem, ca_pem: None, names, not_before, not_after, issuer: "test".into(), key_kind: None, signer: None })
}

fn facts(held: Held) -> Facts {
    Facts { held: Arc::new(held), now: SystemTime::UNIX_EPOCH + NOW, ..Facts::default() }
}

fn secret(namespace: &str, name: &str) -> SecretName {
    SecretName { namespace: namespace.into(), name: name.into() }
}

fn served(compiled: &Compiled) -> Vec<(String, CertificateSource)> {
    let names = compiled.certificates.iter().flat_map(|served| served.names.iter().map(|name| (name.clone(), served.source.clone())));
    names.collect()
}

#[test]
fn the_zones_wildcard_serves_every_host_one_label_below_and_turns_the_redirect_on() {
    let objects =
        objects(&(CLASS.to_owned() + ISSUER + &ingress("a", "web", "web.dyn.example.org", "") + &ingress("a", "deep", "x.web.dyn.example.org", "")));
    let platform = secret(SecretName::PLATFORM, "wildcard-dyn.example.org");
    let mut held = Held::default();
    held.certificates.insert(platform.clone(), certificate(&["dyn.example.org", "*.dyn.example.org"]));
    let compiled = compile(&objects, &settings(), &facts(held));
    let source = CertificateSource::Held(platform);
    assert_eq!(served(&compiled), [("*.dyn.example.org".to_owned(), source.clone()), ("dyn.example.org".to_owned(), source)]);
    let redirects: Vec<_> =
        compiled.table.rules_in_order().into_iter().map(|rule| (rule.route.id.host.as_str(), rule.route.policy.tls_redirect)).collect();
    assert_eq!(redirects, [("web.dyn.example.org", TlsRedirect::Always), ("x.web.dyn.example.org", TlsRedirect::Never)]);
    let status: Vec<_> = compiled.report.hosts.iter().map(|host| (host.host.as_str(), host.tls.status)).collect();
    assert_eq!(status, [("web.dyn.example.org", TlsStatus::Wildcard), ("x.web.dyn.example.org", TlsStatus::Issuing)]);
}

#[test]
fn a_host_below_the_zones_wildcard_is_served_with_a_certificate_that_the_platform_keeps_for_its_namespace() {
    let objects = objects(&(CLASS.to_owned() + ISSUER + &ingress("a", "deep", "x.web.dyn.example.org", "")));
    let own = secret(SecretName::PLATFORM, "host-x.web.dyn.example.org");
    let (settings, mut memory) = (settings(), Memory::default());
    let mut compiled = |held: Held| {
        let facts = facts(held);
        let compiled = compile_changes(&mut memory, &objects, &settings, &facts);
        assert_eq!(comparable(&compiled), comparable(&compile(&objects, &settings, &facts)));
        compiled
    };
    let wanted = compiled(Held::default()).wanted;
    assert_eq!(wanted.certificates[&own].obtained_for.as_deref(), Some("a"));
    let certificates = BTreeMap::from([(own.clone(), certificate(&["x.web.dyn.example.org"]))]);
    let ready = compiled(Held { certificates, ..Held::default() });
    assert_eq!(served(&ready), [("x.web.dyn.example.org".to_owned(), CertificateSource::Held(own.clone()))]);
    assert_eq!(ready.report.hosts[0].tls.status, TlsStatus::Own);
    assert_eq!(ready.table.rules_in_order()[0].route.policy.tls_redirect, TlsRedirect::Always);
    assert!(Arc::ptr_eq(&ready.wanted, &wanted), "having it makes nothing else wanted");
    let failure = Failure { message: "no".into(), attempts: 1, retry_at: SystemTime::UNIX_EPOCH + NOW };
    let failed = compiled(Held { states: BTreeMap::from([(own, CertificateState::Failed(failure))]), ..Held::default() });
    assert_eq!(failed.report.hosts[0].tls.status, TlsStatus::Failed);
    let told = failed.problems.iter().filter(|problem| problem.reason == Reason::CertificateFailed);
    let told: Vec<_> = told.map(|problem| (problem.object.as_ref().unwrap().to_string(), &*problem.field)).collect();
    assert_eq!(told, [("Ingress a/deep".to_owned(), "spec.rules[0].host")]);
}

#[test]
fn a_certificate_of_its_own_beats_the_wildcard_and_only_its_own_namespace_may_use_it() {
    let tls = "  tls: [{hosts: [x.lab.dyn.example.org], secretName: own}]\n";
    let objects = objects(
        &(CLASS.to_owned() + ISSUER + &ingress("a", "web", "x.lab.dyn.example.org", tls) + &ingress("b", "thief", "x.lab.dyn.example.org", tls)),
    );
    let mut held = Held::default();
    for namespace in ["a", "b"] {
        held.certificates.insert(secret(namespace, "own"), certificate(&["x.lab.dyn.example.org"]));
    }
    let compiled = compile(&objects, &settings(), &facts(held));
    assert_eq!(served(&compiled), [("x.lab.dyn.example.org".to_owned(), CertificateSource::Held(secret("a", "own")))]);
    assert_eq!(compiled.wanted.certificates.keys().map(|secret| secret.namespace.as_str()).collect::<Vec<_>>(), [SecretName::PLATFORM, "a"]);
}

#[test]
fn the_words_of_the_ca_reach_the_object_that_wants_the_certificate() {
    let objects =
        objects(&(CLASS.to_owned() + ISSUER + &ingress("a", "shop", "shop.lab.org", "  tls: [{hosts: [shop.lab.org], secretName: shop}]\n")));
    let failure =
        Failure { message: "DNS problem: NXDOMAIN looking up A for shop.lab.org".into(), attempts: 2, retry_at: SystemTime::UNIX_EPOCH + NOW };
    let mut held = Held::default();
    held.states.insert(secret("a", "shop"), CertificateState::Failed(failure.clone()));
    held.states.insert(secret(SecretName::PLATFORM, "wildcard-dyn.example.org"), CertificateState::Failed(failure));
    let compiled = compile(&objects, &settings(), &facts(held));
    let failed = compiled.problems.iter().filter(|problem| problem.reason == Reason::CertificateFailed);
    let failed: Vec<_> =
        failed.map(|problem| (problem.severity, problem.object.as_ref().unwrap().to_string(), problem.message.contains("NXDOMAIN"))).collect();
    assert_eq!(failed, [(Severity::Error, "ClusterIssuer letsencrypt-prod".to_owned(), true), (Severity::Error, "Ingress a/shop".to_owned(), true)]);
    assert_eq!(compiled.report.hosts[0].tls.status, TlsStatus::Failed);
}

#[test]
fn challenges_reach_the_zone_and_the_gateway_and_no_foreign_zone() {
    let mut held = Held::default();
    held.challenges.dns01.insert("_acme-challenge.dyn.example.org".into(), vec!["one".into(), "two".into()]);
    held.challenges.dns01.insert("_acme-challenge.lab.org".into(), vec!["stray".into()]);
    held.challenges.http01.insert(("shop.lab.org".into(), "token".into()), "authorization".into());
    let compiled = compile(&Objects::default(), &settings(), &facts(held));
    let texts: Vec<_> = compiled.zones[0]
        .sets()
        .into_iter()
        .filter(|set| set.owner.to_ascii().starts_with("_acme"))
        .map(|set| (set.owner.to_ascii(), set.data.len()))
        .collect();
    assert_eq!(texts, [("_acme-challenge.dyn.example.org.".to_owned(), 2)]);
    assert_eq!(compiled.challenges.http01.len(), 1);
}

#[test]
fn a_certificate_expires_although_nothing_else_changes() {
    let pair = certificate(&["shop.dyn.example.org"]);
    let block = |pem: &str| pem.lines().fold(String::new(), |block, line| block + "    " + line + "\n");
    let brought = format!(
        "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {{name: own, namespace: a}}\nstringData:\n  tls.crt: |\n{}  tls.key: |\n{}---\n",
        block(&pair.chain_pem),
        block(&pair.key_pem)
    );
    let tls = "  tls: [{hosts: [shop.dyn.example.org], secretName: own}]\n";
    let asking = ingress("a", "shop", "shop.dyn.example.org", tls).replace("kubernetes.io/tls-acme: 'true'", "");
    let objects = objects(&(CLASS.to_owned() + &asking + &brought));
    let (settings, mut memory) = (settings(), Memory::default());
    let mut expired = |now: Duration| {
        let facts = Facts { now: SystemTime::UNIX_EPOCH + now, ..Facts::default() };
        let compiled = compile_changes(&mut memory, &objects, &settings, &facts);
        assert_eq!(comparable(&compiled), comparable(&compile(&objects, &settings, &facts)));
        compiled.problems.iter().filter(|problem| problem.message.contains("has expired")).count()
    };
    // rcgen's certificates end with the year 4095.
    let end = Duration::from_secs(67_200_000_000);
    assert_eq!([NOW, NOW, end, end, NOW].map(&mut expired), [0, 0, 1, 1, 0]);
}

/// The clauses of a compilation that can be compared.
fn comparable(compiled: &Compiled) -> String {
    let Compiled { certificates, zones, wanted, l4, allocations, problems, report, challenges, .. } = compiled;
    let rules = compiled.table.rules_in_order();
    format!("{rules:#?}{certificates:?}{zones:?}{wanted:?}{l4:?}{allocations:?}{problems:?}{report:?}{challenges:?}")
}

#[test]
fn the_order_in_which_objects_are_read_is_irrelevant() {
    let documents: Vec<String> = (0..30)
        .map(|i| {
            let (namespace, host) = (["a", "b", "c"][i % 3], format!("h{}.dyn.example.org", i % 5));
            let created = 1_700_000_000 + (i * 7) % 30;
            let stamp = jiff::Timestamp::from_second(i64::try_from(created).unwrap()).unwrap();
            ingress(namespace, &format!("i{i}"), &host, "").replace("metadata: {", &format!("metadata: {{creationTimestamp: '{stamp}', "))
        })
        .collect();
    let compiled = |order: Vec<&String>| {
        let yaml = order.into_iter().fold(CLASS.to_owned(), |yaml, document| yaml + document);
        let mut objects = objects(&yaml);
        // Where it stood is not what it is.
        forget_origins(&mut objects.ingresses);
        comparable(&compile(&objects, &settings(), &facts(Held::default())))
    };
    let forward = compiled(documents.iter().collect());
    assert_eq!(forward, compiled(documents.iter().rev().collect()));
    assert!(forward.contains("HostOwnedByAnother") && forward.contains("PathTaken"));
}

fn forget_origins<T: Clone>(kind: &mut Kind<T>) {
    for stored in kind.values_mut() {
        let stored = Arc::make_mut(stored);
        stored.origin = None;
        stored.age.origin = None;
    }
}

/// Run with `cargo test --release -- --ignored --nocapture ten_thousand`.
#[test]
#[ignore = "prints figures, asserts none"]
fn ten_thousand_ingresses() {
    let mut yaml = CLASS.to_owned() + ISSUER;
    for i in 0..10_000 {
        let namespace = format!("n{}", i % 500);
        yaml += &ingress(
            &namespace,
            &format!("i{i}"),
            &format!("h{i}.dyn.example.org"),
            &format!("  tls: [{{hosts: [h{i}.dyn.example.org], secretName: s{i}}}]\n"),
        );
        if i < 500 {
            write!(yaml, "apiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: {namespace}}}\nspec: {{ports: [{{port: 80}}]}}\n---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: web, namespace: {namespace}, labels: {{kubernetes.io/service-name: web}}}}\naddressType: IPv4\nports: [{{port: 8080}}]\nendpoints: [{{addresses: [10.0.0.1]}}]\n---\n").unwrap();
        }
    }
    let (objects, settings) = (objects(&yaml), settings());
    let mut held = Held::default();
    held.certificates.insert(secret(SecretName::PLATFORM, "wildcard-dyn.example.org"), certificate(&["dyn.example.org", "*.dyn.example.org"]));
    let facts = facts(held);
    for _ in 0..5 {
        let start = Instant::now();
        let compiled = compile(&objects, &settings, &facts);
        let took = start.elapsed();
        println!("{} Ingresses, {} rules, {} problems: {took:?}", objects.ingresses.len(), compiled.table.rules().count(), compiled.problems.len());
    }
}

#[test]
fn a_broken_policy_leaves_the_last_good_one_in_force() {
    let map =
        |policy: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: own, namespace: p}}\ndata: {{policy.yaml: '{policy}'}}\n---\n");
    let tenants = CLASS.to_owned() + &ingress("a", "web", "web.dyn.example.org", "") + &ingress("a", "status", "status.dyn.example.org", "");
    let mut settings = settings();
    settings.policy_map = Some(ObjectKey::new("p", "own"));
    let hosts = |yaml: &str, facts: &Facts| {
        let compiled = compile(&objects(yaml), &settings, facts);
        let hosts: Vec<_> = compiled.report.hosts.iter().map(|host| host.host.clone()).collect();
        (hosts, compiled.ownership.policy.clone())
    };
    let (held, policy) = hosts(&(tenants.clone() + &map("reserved: [{host: status.dyn.example.org}]")), &facts(Held::default()));
    assert_eq!(held, ["web.dyn.example.org"]);
    for broken in [map("reserved: ["), map("{reserve: []}"), map("configMap: a/b"), String::new()] {
        let yaml = tenants.clone() + &broken;
        let after = Facts { policy: policy.clone(), ..facts(Held::default()) };
        assert_eq!(hosts(&yaml, &after), (vec!["web.dyn.example.org".to_owned()], policy.clone()), "{broken}");
        assert_eq!(hosts(&yaml, &facts(Held::default())), (vec![], None), "{broken}");
    }
}
