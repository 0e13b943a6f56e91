//! Which files decide, and that they only decide: no runtime, no proxy library, no clock, no randomness, no files, no environment. Time and chance are
//! arguments of what stands in them.
//!
//! This is a test and not clippy's `disallowed-methods`, because that list is one for a whole crate: every adapter would carry `allow`s, and a
//! forgotten one would look like the others. Here the pure files are the ones that are named.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};

/// Files and folders that decide.
const PURE: &[&str] = &[
    "acme/src/held.rs",
    "acme/src/wanted.rs",
    "controller/src/address_condition.rs",
    "controller/src/addresses",
    "controller/src/admission/review.rs",
    "controller/src/cluster/certificates.rs",
    "controller/src/cluster/events.rs",
    "controller/src/cluster/ingresses.rs",
    "controller/src/cluster/memory.rs",
    "controller/src/cluster/pass.rs",
    "controller/src/cluster/plan.rs",
    "controller/src/cluster/promise.rs",
    "controller/src/cluster/services.rs",
    "controller/src/cluster/subject.rs",
    "controller/src/cluster/told.rs",
    "controller/src/cluster/write.rs",
    "controller/src/cluster_store/ledger.rs",
    "controller/src/cluster_store/place.rs",
    "controller/src/compile",
    "controller/src/explain",
    "controller/src/explain.rs",
    "controller/src/lease/machine.rs",
    "controller/src/migration",
    "controller/src/migration.rs",
    "controller/src/objects",
    "controller/src/objects.rs",
    "controller/src/ownership",
    "controller/src/ownership.rs",
    "controller/src/problem.rs",
    "controller/src/source/kubernetes/fault.rs",
    "controller/src/source/kubernetes/last.rs",
    "controller/src/source/kubernetes/mirror.rs",
    "controller/src/source/kubernetes/outage.rs",
    "controller/src/source/kubernetes/subject.rs",
    "controller/src/source/kubernetes/vault.rs",
    "controller/src/replicas/challenges.rs",
    "controller/src/replicas/held.rs",
    "controller/src/replicas/peers.rs",
    "controller/src/replicas/serials.rs",
    "dns/src/answer.rs",
    "dns/src/record.rs",
    "dns/src/serial.rs",
    "dns/src/zone.rs",
    "dns/src/zonefile.rs",
    "gateway/src/l4/table.rs",
    "gateway/src/table",
];

/// What they must not name, and what to do instead.
const FORBIDDEN: &[(&str, &str)] = &[
    ("tokio::", "what waits belongs to the caller"),
    ("pingora", "the proxy library stays in the gateway's proxy/ and listen/"),
    ("hyper::", "protocols belong to the caller"),
    ("Instant::now", "take the time as an argument"),
    ("SystemTime::now", "take the time as an argument"),
    ("Timestamp::now", "take the time as an argument"),
    (".elapsed()", "take the time as an argument"),
    ("rand::", "take what is random as an argument"),
    ("std::env", "take it as an argument"),
    ("std::fs", "take the content as an argument"),
    ("std::net::Tcp", "the caller has the socket"),
    ("std::net::Udp", "the caller has the socket"),
    ("thread::sleep", "nothing pure waits"),
    ("println!", "return what is to be said"),
];

/// A line for each place where a pure file names what it must not. Comments and tests do not count.
fn violations(file: &str, text: &str) -> Vec<String> {
    let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    let found = lines.flat_map(|(number, line)| {
        let named = FORBIDDEN.iter().filter(move |(name, _)| line.contains(name));
        named.map(move |(name, instead)| format!("{file}:{}: {name}: {instead}", number + 1))
    });
    found.collect()
}

fn rust_files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = std::fs::read_dir(path).unwrap_or_else(|error| panic!("{}, named as pure: {error}", path.display()));
    let mut files: Vec<PathBuf> = entries.flat_map(|entry| rust_files(&entry.unwrap().path())).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs") && file.file_stem().is_some_and(|stem| stem != "tests"));
    files.sort();
    files
}

#[test]
fn pure_files_only_decide() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let files = PURE.iter().flat_map(|path| rust_files(&root.join(path)));
    let found: Vec<String> =
        files.flat_map(|file| violations(&file.strip_prefix(root).unwrap().to_string_lossy(), &std::fs::read_to_string(&file).unwrap())).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn a_clock_in_a_pure_file_is_found_and_one_in_its_tests_is_not() {
    let text = "//! No Instant::now here.\nfn f() {\n    let now = Instant::now();\n}\n\n#[cfg(test)]\nmod tests {\n    use rand::rng;\n}\n";
    assert_eq!(violations("a.rs", text), ["a.rs:3: Instant::now: take the time as an argument"]);
}
