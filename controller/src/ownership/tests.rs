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
                let ownership = Ownership::decide(claims.clone(), reserved());
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
fn a_refused_claim_holds_nothing() {
    let (first, second, third) = (object("a", "x"), object("b", "x"), object("c", "x"));
    let (one, two, three) = (age(1), age(2), age(3));
    let claims = vec![
        Claim { host: "lab.org", namespace: "a", age: &one, object: &first },
        Claim { host: "*.lab.org", namespace: "b", age: &two, object: &second },
        Claim { host: "x.lab.org", namespace: "c", age: &three, object: &third },
    ];
    let ownership = Ownership::decide(claims, reserved());
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
    let message = Ownership::decide(claims, reserved()).permit("b", "app.lab.org").unwrap_err().to_string();
    assert!(message.contains("app.lab.org") && message.contains("operators") && !message.contains("secret-project"), "{message}");
}
