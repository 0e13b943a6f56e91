//! The steps that are one call of cargo. All select the whole workspace, so that every crate is built with the same features in each of them, and once.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Options, Outcome};
use crate::repository::Repository;
use crate::tools::{self, Tool};

/// The crate whose tests are a step of their own.
const E2E: &str = "e2e";

pub(super) fn fmt(repository: &Repository, _: &Options) -> Result<Outcome> {
    passed(repository.cargo(["fmt", "--all", "--check"]).run())
}

pub(super) fn clippy(repository: &Repository, _: &Options) -> Result<Outcome> {
    passed(repository.cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]).run())
}

pub(super) fn doc(repository: &Repository, _: &Options) -> Result<Outcome> {
    passed(repository.cargo(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-Dwarnings").run())
}

pub(super) fn deny(repository: &Repository, _: &Options) -> Result<Outcome> {
    let program = Tool::CargoDeny.path(&tools::cache()?)?;
    passed(repository.run(program).args(["--locked", "check", "licenses", "bans", "sources"]).run())
}

/// Programs are named one by one: `--bins` takes those with `test = false` too, and a fuzz target that is run as a test never ends.
pub(super) fn unit(repository: &Repository, _: &Options) -> Result<Outcome> {
    let programs = tested_programs(&metadata(repository)?);
    passed(repository.cargo(["test", "--workspace", "--lib"]).args(programs.iter().flat_map(|name| ["--bin", name])).run())
}

pub(super) fn doctest(repository: &Repository, _: &Options) -> Result<Outcome> {
    passed(repository.cargo(["test", "--workspace", "--doc"]).run())
}

pub(super) fn integration(repository: &Repository, _: &Options) -> Result<Outcome> {
    let targets = test_targets(&metadata(repository)?);
    let others = targets.iter().filter(|target| target.package != E2E);
    passed(repository.cargo(["test", "--workspace"]).args(others.flat_map(|target| ["--test", &target.name])).run())
}

/// The tests start the program itself, so it is built first.
pub(super) fn e2e(repository: &Repository, _: &Options) -> Result<Outcome> {
    repository.cargo(["build", "--workspace", "--bin", "vrata"]).run()?;
    let targets = test_targets(&metadata(repository)?);
    let ours = targets.iter().filter(|target| target.package == E2E);
    passed(repository.cargo(["test", "--workspace"]).args(ours.flat_map(|target| ["--test", &target.name])).run())
}

fn passed(result: Result<()>) -> Result<Outcome> {
    result.map(|()| Outcome::Passed)
}

/// A file of a crate's `tests/`.
#[derive(Debug, PartialEq, Eq)]
struct TestTarget {
    package: String,
    name: String,
}

fn metadata(repository: &Repository) -> Result<Value> {
    let log = repository.scratch("metadata")?.join("metadata.json");
    let (text, _) = repository.cargo(["metadata", "--quiet", "--format-version", "1", "--no-deps"]).output(Path::new(&log))?;
    serde_json::from_str(&text).with_context(|| format!("cargo metadata said:\n{text}"))
}

/// Every target with its package.
fn targets(metadata: &Value) -> impl Iterator<Item = (&Value, &Value)> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages.flat_map(|package| package["targets"].as_array().into_iter().flatten().map(move |target| (package, target)))
}

fn tested_programs(metadata: &Value) -> Vec<String> {
    let programs = targets(metadata).filter(|(_, target)| target["kind"][0] == "bin" && target["test"] == true);
    programs.filter_map(|(_, target)| Some(target["name"].as_str()?.to_owned())).collect()
}

fn test_targets(metadata: &Value) -> Vec<TestTarget> {
    let tests = targets(metadata).filter(|(_, target)| target["kind"][0] == "test");
    tests
        .filter_map(|(package, target)| Some(TestTarget { package: package["name"].as_str()?.into(), name: target["name"].as_str()?.into() }))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{TestTarget, test_targets, tested_programs};

    #[test]
    fn tests_are_told_from_other_targets() {
        let target = |kind: &str, name: &str| json!({"kind": [kind], "name": name});
        let metadata = json!({"packages": [
            {"name": "vrata-dns", "targets": [target("lib", "dns"), target("test", "oracle")]},
            {"name": "e2e", "targets": [target("lib", "e2e"), target("test", "e2e")]},
        ]});
        let expected = [("vrata-dns", "oracle"), ("e2e", "e2e")].map(|(package, name)| TestTarget { package: package.into(), name: name.into() });
        assert_eq!(test_targets(&metadata), expected);
    }
    #[test]
    fn programs_that_are_no_tests_are_left_out() {
        let program = |name: &str, test: bool| json!({"kind": ["bin"], "name": name, "test": test});
        let library = json!({"kind": ["lib"], "name": "fuzz", "test": true});
        let metadata = json!({"packages": [{"name": "fuzz", "targets": [library, program("fuzz_names", false), program("vrata", true)]}]});
        assert_eq!(tested_programs(&metadata), ["vrata"]);
    }
}
