//! Known vulnerabilities, from the RustSec advisory database. It is a git repository and in no package registry, so a machine that reaches only registries
//! cannot have it: then this step says so and does not pretend. A database that was fetched before is used for as long as deny.toml allows.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Options, Outcome};
use crate::repository::Repository;
use crate::tools::{self, Tool};

const DATABASE: &str = "https://github.com/RustSec/advisory-db";

/// How long the database's host may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn run(repository: &Repository, _: &Options) -> Result<Outcome> {
    let program = Tool::CargoDeny.path(&tools::cache()?)?;
    let probe = repository.run("git").args(["ls-remote", "--exit-code", DATABASE, "HEAD"]).env("GIT_TERMINAL_PROMPT", "0");
    if probe.limit(PATIENCE).succeeds() {
        repository.run(program).args(["--locked", "check", "advisories"]).run()?;
        return Ok(Outcome::Passed);
    }
    if !has_copy(&databases()?) {
        return Ok(Outcome::Skipped(format!("vulnerabilities were not looked for: {DATABASE} is not reachable, and no copy is here")));
    }
    repository.run(program).args(["--locked", "--offline", "check", "advisories"]).run()?;
    Ok(Outcome::Passed)
}

/// Where cargo-deny keeps databases.
fn databases() -> Result<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    Ok(home.context("neither CARGO_HOME nor HOME is set")?.join("advisory-dbs"))
}

/// Whether an earlier run has fetched the database.
fn has_copy(directory: &Path) -> bool {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.path().is_dir() && entry.file_name().to_string_lossy().starts_with("advisory-db-"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::has_copy;

    #[test]
    fn a_copy_is_a_directory_that_cargo_deny_made() {
        let directory = std::env::temp_dir().join(format!("vrata-xtask-{}", std::process::id()));
        assert!(!has_copy(&directory));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("db.lock"), "").unwrap();
        assert!(!has_copy(&directory));
        std::fs::create_dir(directory.join("advisory-db-3157b0e258782691")).unwrap();
        assert!(has_copy(&directory));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
