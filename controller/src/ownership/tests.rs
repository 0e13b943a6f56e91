//! The table of the module, row by row, and the policy before it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::PathBuf;

use super::*;
use crate::problem::Origin;

fn object(namespace: &str, name: &str) -> ObjectRef {
    ObjectRef { kind: "Ingress".into(), namespace: Some(namespace.into()), name: name.into() }
}

fn age(position: usize) -> Age {
    let origin = Origin { file: PathBuf::from("in.yaml"), document: position, item: 0, line: 1 };
    Age { created: None, origin: Some(origin), name: String::new() }
}

fn reserved() -> Reserved {
    let set = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    Reserved {
        zones: set(&["dyn.example.org", "other.example.org"]),
        names: set(&["ns1.dyn.example.org", "static.dyn.example.org", "*.free.dyn.example.org"]),
        delegations: set(&["sub.dyn.example.org"]),
    }
}

fn rules() -> Arc<Rules> {
    Arc::new(Rules { reserved: reserved(), policy: Some(Arc::default()) })
}

/// The table of the file's documentation, row by row: what A holds, what B asks for, whether B gets it.
const TABLE: &[(Option<&str>, &str, bool)] = &[
    (Some("app.dyn.example.org"), "app.dyn.example.org", false),
    (Some("app.dyn.example.org"), "www.dyn.example.org", true),
    (Some("app.dyn.example.org"), "x.app.dyn.example.org", true),
    (Some("app.dyn.example.org"), "*.app.dyn.example.org", false),
    (Some("x.lab.dyn.example.org"), "*.lab.dyn.example.org", true),
    (Some("*.lab.dyn.example.org"), "x.lab.dyn.example.org", false),
    (Some("*.lab.dyn.example.org"), "x.y.lab.dyn.example.org", false),
    (Some("*.lab.dyn.example.org"), "*.y.lab.dyn.example.org", false),
    (Some("*.lab.dyn.example.org"), "lab.dyn.example.org", false),
    (Some("*.y.lab.dyn.example.org"), "*.lab.dyn.example.org", true),
    (Some(CATCH_ALL), CATCH_ALL, false),
    (Some(CATCH_ALL), "app.dyn.example.org", true),
    (None, "dyn.example.org", false),
    (None, "ns1.dyn.example.org", false),
    (None, "static.dyn.example.org", false),
    (None, "sub.dyn.example.org", false),
    (None, "x.sub.dyn.example.org", false),
    (None, "*.sub.dyn.example.org", false),
    (None, "_acme-challenge.app.dyn.example.org", false),
    (None, "*.dyn.example.org", false),
    (None, "*.example.org", false),
    (None, "*.org", false),
    (None, "*.lab.dyn.example.org", true),
    (None, "*.free.dyn.example.org", false),
    (None, "x.free.dyn.example.org", true),
    (None, "shop.lab.org", true),
    (None, "*.lab.org", true),
    (Some("*.lab.org"), "shop.lab.org", false),
    (Some("shop.lab.org"), "*.lab.org", true),
];

#[test]
fn the_truth_table_holds_for_another_namespace_and_for_the_same() {
    let (old, young) = (object("a", "old"), object("b", "young"));
    let (older, younger) = (age(1), age(2));
    for &(held, asked, granted) in TABLE {
        for namespace in ["a", "b"] {
            let mut claims = vec![Claim { host: asked, namespace, age: &younger, object: &young }];
            claims.extend(held.map(|host| Claim { host, namespace: "a", age: &older, object: &old }));
            for _ in 0..2 {
                claims.reverse();
                let ownership = Ownership::decide(claims.clone(), rules());
                let expected = granted || (namespace == "a" && held.is_some());
                assert_eq!(ownership.permit(namespace, asked).is_ok(), expected, "a holds {held:?}, {namespace} asks for {asked}");
                if let Some(held) = held {
                    assert_eq!(ownership.permit("a", held), Ok(()), "{held} stays with its holder");
                }
            }
        }
    }
}

#[test]
fn of_two_claims_of_one_second_the_last_by_namespace_and_name_is_the_first_as_in_ingress_nginx() {
    let age = |created, name: &str| Age { created: Some(created), origin: None, name: name.into() };
    // Who comes with which second, and who has the host.
    let table = [(("a/z", 5), ("b/a", 5), "b"), (("a/z", 5), ("b/a", 6), "a"), (("a/b", 5), ("a-b/a", 5), "a"), (("a/x", 6), ("b/x", 5), "b")];
    for ((one, at), (other, then), expected) in table {
        let (ages, names) = ([age(at, one), age(then, other)], [one, other].map(|name| name.split_once('/').unwrap()));
        let objects = names.map(|(namespace, name)| object(namespace, name));
        let claim = |i: usize| Claim { host: "app.lab.org", namespace: names[i].0, age: &ages[i], object: &objects[i] };
        for claims in [vec![claim(0), claim(1)], vec![claim(1), claim(0)]] {
            let ownership = Ownership::decide(claims, rules());
            assert_eq!(ownership.holder("app.lab.org").map(|holder| holder.namespace), Some(expected), "{one} at {at}, {other} at {then}");
        }
    }
}

#[test]
fn a_refused_claim_holds_nothing() {
    let (first, second, third) = (object("a", "x"), object("b", "x"), object("c", "x"));
    let (one, two, three) = (age(1), age(2), age(3));
    let claims = vec![
        Claim { host: "lab.org", namespace: "a", age: &one, object: &first },
        Claim { host: "*.lab.org", namespace: "b", age: &two, object: &second },
        Claim { host: "x.lab.org", namespace: "c", age: &three, object: &third },
    ];
    let ownership = Ownership::decide(claims, rules());
    assert_eq!(ownership.holder("*.lab.org"), None);
    assert_eq!(ownership.holder("x.lab.org").map(|holder| holder.namespace), Some("c"));
}

#[test]
fn a_refusal_tells_the_host_and_nothing_of_the_holder() {
    let (holder, asker) = (object("secret-project", "app"), object("b", "app"));
    let (one, two) = (age(1), age(2));
    let claims = vec![
        Claim { host: "app.lab.org", namespace: "secret-project", age: &one, object: &holder },
        Claim { host: "app.lab.org", namespace: "b", age: &two, object: &asker },
    ];
    let message = Ownership::decide(claims, rules()).permit("b", "app.lab.org").unwrap_err().to_string();
    assert!(message.contains("app.lab.org") && message.contains("operators") && !message.contains("secret-project"), "{message}");
}

fn policy(yaml: &str) -> Arc<Rules> {
    let written = serde_saphyr::from_str(yaml).unwrap();
    Arc::new(Rules { reserved: reserved(), policy: Some(Arc::new(Policy::read(&written).unwrap())) })
}

const POLICY: &str = "
reserved:
- {host: status.dyn.example.org, namespaces: [platform]}
- {host: '*.internal.dyn.example.org'}
suffixes:
- {suffix: '{namespace}.dyn.example.org'}
- {suffix: shared.dyn.example.org, namespaces: ['lab-*']}
- {suffix: lab.org, namespaces: [lab-a]}
wildcardNamespaces: ['lab-*', platform]
foreignDomainNamespaces: ['lab-*']
sharedHosts:
- {host: portal.a.dyn.example.org, namespaces: [a, b]}
";

#[test]
fn the_policy_decides_before_seniority_does() {
    // Namespace, host, the beginning of the refusal; empty when it may.
    let table = [
        ("platform", "status.dyn.example.org", ""),
        ("platform", "x.status.dyn.example.org", "\"x.status.dyn.example.org\" is kept"),
        ("b", "portal.a.dyn.example.org", ""),
        ("c", "portal.a.dyn.example.org", "\"portal.a.dyn.example.org\" is kept"),
        ("a", "status.dyn.example.org", "\"status.dyn.example.org\" is reserved"),
        ("a", "x.internal.dyn.example.org", "\"x.internal.dyn.example.org\" is reserved"),
        ("internal", "internal.dyn.example.org", ""),
        ("a", "a.dyn.example.org", ""),
        ("a", "web.a.dyn.example.org", ""),
        ("a", "x.web.a.dyn.example.org", ""),
        ("b", "web.a.dyn.example.org", "\"web.a.dyn.example.org\" is kept"),
        ("a", "shared.dyn.example.org", "\"shared.dyn.example.org\" is kept"),
        ("shared", "x.shared.dyn.example.org", "\"x.shared.dyn.example.org\" is kept"),
        ("lab-1", "x.shared.dyn.example.org", ""),
        ("a", "app.other.example.org", ""),
        ("a", "*.a.dyn.example.org", "\"*.a.dyn.example.org\" is a wildcard"),
        ("a", CATCH_ALL, "\"*\" is a wildcard"),
        ("platform", CATCH_ALL, ""),
        ("lab-1", "*.lab-1.dyn.example.org", ""),
        ("lab-1", "*.lab-2.dyn.example.org", "\"*.lab-2.dyn.example.org\" is kept"),
        ("a", "app.elsewhere.org", "\"app.elsewhere.org\" is outside"),
        ("lab-1", "app.elsewhere.org", ""),
        ("lab-1", "app.lab.org", "\"app.lab.org\" is kept"),
        ("lab-a", "app.lab.org", ""),
        ("lab-a", "*.lab.org", ""),
        ("lab-1", "*.lab.org", "\"*.lab.org\" is kept"),
    ];
    for (namespace, host, expected) in table {
        let ownership = Ownership::decide(Vec::new(), policy(POLICY));
        match ownership.permit(namespace, host) {
            Ok(()) => assert_eq!(expected, "", "{namespace} may have {host}"),
            Err(refusal) => assert!(!expected.is_empty() && refusal.to_string().starts_with(expected), "{namespace} {host}: {refusal}"),
        }
    }
}

#[test]
fn a_wildcard_must_not_catch_what_the_policy_keeps_for_others() {
    let rules = policy(
        "reserved: [{host: status.shop.org, namespaces: [p]}]\nsuffixes: [{suffix: '{namespace}.apps.org'}, {suffix: a.lab.org, namespaces: [a]}]\n",
    );
    let ownership = Ownership::decide(Vec::new(), rules);
    let table =
        [("p", "*.shop.org", true), ("a", "*.shop.org", false), ("a", "*.apps.org", false), ("a", "*.lab.org", true), ("b", "*.lab.org", false)];
    for (namespace, host, granted) in table {
        let refusal = ownership.permit(namespace, host);
        assert_eq!(refusal, if granted { Ok(()) } else { Err(Refusal::TooWide { host: host.into() }) }, "{namespace} {host}");
    }
}

#[test]
fn an_entry_that_names_hosts_less_closely_than_a_suffix_opens_none_of_its_names() {
    let all = "{host: '*.dyn.example.org', namespaces: ['*']}";
    let rules = policy(&format!("reserved: [{all}]\nsharedHosts: [{all}]\nsuffixes: [{{suffix: '{{namespace}}.dyn.example.org'}}]"));
    let permitted = |namespace: &str, host: &str| Ownership::decide(Vec::new(), Arc::clone(&rules)).permit(namespace, host).is_ok();
    for (namespace, host, expected) in [("a", "a.dyn.example.org", true), ("a", "b.dyn.example.org", false), ("a", "x.b.dyn.example.org", false)] {
        assert_eq!(permitted(namespace, host), expected, "{namespace} {host}");
    }
}

#[test]
fn namespaces_that_share_a_host_share_its_paths_and_not_its_key() {
    let host = "portal.a.dyn.example.org";
    let rules = policy("sharedHosts: [{host: '*.a.dyn.example.org', namespaces: [a, b]}]");
    let (first, second, third) = (object("a", "x"), object("b", "x"), object("c", "x"));
    let (one, two, three) = (age(1), age(2), age(3));
    let claims = vec![
        Claim { host, namespace: "a", age: &one, object: &first },
        Claim { host, namespace: "b", age: &two, object: &second },
        Claim { host, namespace: "c", age: &three, object: &third },
    ];
    let ownership = Ownership::decide(claims, rules);
    assert_eq!(ownership.holder(host).map(|holder| holder.namespace), Some("a"));
    assert_eq!(["a", "b", "c"].map(|namespace| ownership.permit(namespace, host).is_ok()), [true, true, false]);
    assert_eq!(["a", "b", "c"].map(|namespace| ownership.permit_key(namespace, host).is_ok()), [true, false, false]);
}

#[test]
fn without_a_readable_policy_nobody_gets_a_host() {
    let rules = Arc::new(Rules { reserved: reserved(), policy: None });
    assert_eq!(Ownership::decide(Vec::new(), rules).permit("a", "app.lab.org"), Err(Refusal::PolicyUnreadable { host: "app.lab.org".into() }));
}

#[test]
fn every_fault_of_a_policy_is_told() {
    let yaml = "reserved: [{host: 'a..b'}]\nsuffixes: [{suffix: '{namespace}.org', namespaces: [a]}, {suffix: x.org}, {suffix: '{namespace}{namespace}.org'}]\n\
                wildcardNamespaces: ['A b']\nsharedHosts: [{host: x.org, namespaces: ['']}]\n";
    let faults = Policy::read(&serde_saphyr::from_str(yaml).unwrap()).unwrap_err();
    let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
    let expected = [
        "reserved[0].host",
        "suffixes[0].namespaces",
        "suffixes[1].namespaces",
        "suffixes[2].suffix",
        "wildcardNamespaces[0]",
        "sharedHosts[0].namespaces[0]",
    ];
    assert_eq!(keys, expected);
}
