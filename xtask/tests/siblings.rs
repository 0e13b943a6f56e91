//! The dependency rule between our own crates: the controller knows the data planes, and they know nobody. What foreign crates each may use is in `deny.toml`.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::process::Command;

use serde_json::Value;

/// Each crate of the workspace, and which others it may depend on.
const MAY_USE: &[(&str, &[&str])] = &[
    // Their tests start servers.
    ("vrata-acme", &["ports"]),
    ("vrata-dns", &["ports"]),
    ("vrata-gateway", &[]),
    ("vrata-controller", &["vrata-acme", "vrata-dns", "vrata-gateway"]),
    ("fuzz", &["vrata-acme", "vrata-dns", "vrata-gateway", "vrata-controller"]),
    // They know the program from outside, as its users do.
    ("e2e", &["ports"]),
    ("loadtest", &["e2e", "ports"]),
    ("ports", &[]),
    ("xtask", &[]),
];

/// A line for each crate that depends on one it must not know, or that the rule does not name.
fn violations(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().unwrap();
    let names: Vec<&str> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    let mut found = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let Some((_, allowed)) = MAY_USE.iter().find(|(crate_name, _)| *crate_name == name) else {
            found.push(format!("{name}: not in the dependency rule (xtask/tests/siblings.rs): say there what it may use"));
            continue;
        };
        let used = package["dependencies"].as_array().unwrap().iter().map(|dependency| dependency["name"].as_str().unwrap());
        let forbidden = used.filter(|used| names.contains(used) && !allowed.contains(used));
        found.extend(forbidden.map(|used| format!("{name} depends on {used}: only vrata-controller may know both")));
    }
    found
}

#[test]
fn no_crate_imports_a_sibling() {
    let output = Command::new(env!("CARGO")).args(["metadata", "--no-deps", "--format-version", "1"]).output().unwrap();
    let metadata = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(violations(&metadata), Vec::<String>::new());
}

#[test]
fn a_sibling_and_an_unknown_crate_are_found() {
    let package = |name: &str, uses: &[&str]| {
        let dependencies: Vec<_> = uses.iter().map(|name| serde_json::json!({ "name": name })).collect();
        serde_json::json!({"name": name, "dependencies": dependencies})
    };
    let packages = [package("vrata-dns", &["tokio", "vrata-acme"]), package("vrata-acme", &[]), package("new", &[])];
    let expected = [
        "vrata-dns depends on vrata-acme: only vrata-controller may know both",
        "new: not in the dependency rule (xtask/tests/siblings.rs): say there what it may use",
    ];
    assert_eq!(violations(&serde_json::json!({ "packages": packages })), expected);
}
