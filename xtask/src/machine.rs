//! Sets this machine up: system packages and pinned tools.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::Program;
use crate::packages::{self, Package};
use crate::tools::{self, Tool};

/// Where programs are looked for besides PATH: servers lie in `sbin`, which is not in everybody's.
const SYSTEM_PROGRAMS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/sbin"];

/// Tells the package system that services are not to be started; see invoke-rc.d(8).
const SERVICE_POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs what is missing. Without the rights for it: an error with the command to type.
pub(crate) fn prepare(needed: &[Package], tools: &[Tool]) -> Result<()> {
    let missing = packages::missing(needed, is_there);
    if !missing.is_empty() {
        install(&missing)?;
    }
    let cache = tools::cache()?;
    tools.iter().try_for_each(|tool| tool.ensure(&cache))
}

fn install(missing: &[Package]) -> Result<()> {
    let arguments = packages::install_arguments(missing);
    if !nix::unistd::geteuid().is_root() {
        bail!("system packages are missing; as root, run:\n    apt-get update && apt-get {}", arguments.join(" "));
    }
    let _policy = NoServices::declare()?;
    apt(&["update", "--quiet"])?;
    apt(&arguments)?;
    let still = packages::missing(missing, is_there);
    if !still.is_empty() {
        bail!("installed, and yet not found: {}", still.iter().map(|package| package.program).collect::<Vec<_>>().join(", "));
    }
    Ok(())
}

fn apt(arguments: &[&str]) -> Result<()> {
    Program::new("apt-get", Path::new("/")).args(arguments).env("DEBIAN_FRONTEND", "noninteractive").run()
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(SYSTEM_PROGRAMS.iter().map(PathBuf::from));
    directories.map(|directory| directory.join(program)).any(|file| file.is_file())
}

/// While it lives, packages do not start the servers they bring: a name server that is installed for a test must not take port 53 of this machine.
struct NoServices(Option<&'static Path>);

impl NoServices {
    fn declare() -> Result<Self> {
        let policy = Path::new(SERVICE_POLICY);
        if policy.exists() {
            return Ok(Self(None));
        }
        std::fs::write(policy, "#!/bin/sh\nexit 101\n").with_context(|| format!("cannot write {SERVICE_POLICY}"))?;
        let declared = Self(Some(policy));
        std::fs::set_permissions(policy, std::fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot make {SERVICE_POLICY} executable"))?;
        Ok(declared)
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.map(std::fs::remove_file) {
            eprintln!("cannot remove {SERVICE_POLICY}: {error}; remove it, or no service will be started by packages");
        }
    }
}
