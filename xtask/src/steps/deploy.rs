//! What `deploy/` says to an operating system, asked of that system's own tools: the unit is valid and as confined as it claims, and the program accepts the
//! configuration.

use anyhow::{Context, Result, bail};

use super::{Options, Outcome};
use crate::repository::Repository;

const UNIT: &str = "deploy/systemd/vrata.service";

const CONFIGURATION: &str = "deploy/systemd/config.yaml";

/// The program's path in the unit.
const INSTALLED: &str = "/usr/bin/vrata";

/// Most exposure that `systemd-analyze security` may find, in tenths; 100 is a unit without any confinement.
const MOST_EXPOSURE: &str = "20";

pub(super) fn run(repository: &Repository, _: &Options) -> Result<Outcome> {
    repository.cargo(["build", "--workspace", "--bin", "vrata"]).run()?;
    let directory = repository.scratch("deploy")?;
    let unit = directory.join("vrata.service");
    std::fs::write(&unit, unit_text(repository)?).with_context(|| format!("cannot write {}", unit.display()))?;

    // `verify` succeeds in spite of what it complains about.
    let (complaints, valid) = repository.run("systemd-analyze").args(["verify", "--man=no"]).args([&unit]).output(&directory.join("verify.log"))?;
    let ours: Vec<&str> = complaints.lines().filter(|line| line.contains("vrata.service")).collect();
    if !valid || !ours.is_empty() {
        bail!("{UNIT}:\n{complaints}");
    }
    let security = ["security", "--no-pager", "--offline=true", "--threshold", MOST_EXPOSURE];
    repository.run("systemd-analyze").args(security).args([&unit]).run()?;
    repository.program("vrata").args(["run", "--config", CONFIGURATION, "--manifests", "examples", "--print-config"]).run()?;
    Ok(Outcome::Passed)
}

/// The unit, with the program that was built in the place of the installed one.
fn unit_text(repository: &Repository) -> Result<String> {
    let path = repository.path(UNIT);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    if !text.contains(INSTALLED) {
        bail!("{UNIT} does not start {INSTALLED}");
    }
    Ok(text.replace(INSTALLED, &repository.built("vrata").to_string_lossy()))
}
