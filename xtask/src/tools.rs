//! Tools that no distribution has in the version that is needed: pinned, built from their registries, and kept by version outside of `target/`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::Program;
use crate::kubelab;

/// A pinned tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    /// The ACME server for tests.
    Pebble,
    /// Checks dependencies.
    CargoDeny,
    /// Renders the chart.
    Helm,
    /// The Kubernetes cluster for tests.
    Kubelab,
}

impl Tool {
    /// Name and version, which is the name of its directory too.
    pub(crate) fn directory(self) -> Result<String> {
        match self {
            Self::Pebble => Ok("pebble-2.10.1".to_owned()),
            Self::CargoDeny => Ok("cargo-deny-0.20.2".to_owned()),
            Self::Helm => Ok("helm-4.3.1".to_owned()),
            Self::Kubelab => kubelab::directory(),
        }
    }

    /// The program in its directory.
    const fn program(self) -> &'static str {
        match self {
            Self::Pebble => "pebble",
            Self::CargoDeny => "bin/cargo-deny",
            Self::Helm => "helm",
            Self::Kubelab => "kubelab",
        }
    }

    /// Its path, whether it is there or not.
    ///
    /// # Errors
    /// When its sources cannot be read.
    pub(crate) fn path(self, cache: &Path) -> Result<PathBuf> {
        Ok(cache.join(self.directory()?).join(self.program()))
    }

    /// Builds it unless it is there.
    pub(crate) fn ensure(self, cache: &Path) -> Result<()> {
        if self.path(cache)?.exists() {
            return Ok(());
        }
        let directory = cache.join(self.directory()?);
        std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        println!("{} is not in {}: building it once", self.directory()?, cache.display());
        match self {
            Self::Pebble => go_install("Pebble", "github.com/letsencrypt/pebble/v2/cmd/pebble@v2.10.1", &directory)?,
            Self::CargoDeny => build_cargo_deny(&directory)?,
            Self::Helm => go_install("Helm", "helm.sh/helm/v4/cmd/helm@v4.3.1", &directory)?,
            Self::Kubelab => kubelab::build(&directory)?,
        }
        Ok(())
    }
}

/// Builds a program that is a Go module, leaving the machine to others as far as it can.
fn go_install(name: &str, module: &str, directory: &Path) -> Result<()> {
    if !Program::new("go", directory).args(["version"]).succeeds() {
        bail!("{name} is built with Go 1.26 or newer, and there is no `go` in PATH: install it from https://go.dev/dl/");
    }
    let install = Program::new("nice", directory).args(["-n", "10", "go", "install", module]);
    install.env("GOBIN", directory).env("GOFLAGS", "-p=1").env("CGO_ENABLED", "0").run()
}

fn build_cargo_deny(directory: &Path) -> Result<()> {
    let install = Program::new("cargo", directory).args(["install", "--locked", "cargo-deny@0.20.2", "--root"]).args([directory]);
    // The toolchain of this repository builds it, whatever the default is; its build directory is its own.
    install.env("CARGO_TARGET_DIR", directory.join("build")).run()?;
    let build = directory.join("build");
    std::fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))
}

/// Where tools are kept: `$VRATA_TOOLS`, by default `~/.cache/vrata-tools`.
pub(crate) fn cache() -> Result<PathBuf> {
    cache_of(std::env::var_os("VRATA_TOOLS").map(PathBuf::from), std::env::var_os("HOME").map(PathBuf::from))
}

fn cache_of(chosen: Option<PathBuf>, home: Option<PathBuf>) -> Result<PathBuf> {
    chosen.or_else(|| home.map(|home| home.join(".cache/vrata-tools"))).context("neither VRATA_TOOLS nor HOME is set: where are tools to be kept?")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::path::{Path, PathBuf};

    use super::{Tool, cache_of};

    #[test]
    fn tools_are_kept_by_version_where_one_chooses() {
        let home = Some(PathBuf::from("/home/me"));
        assert_eq!(cache_of(None, home.clone()).unwrap(), Path::new("/home/me/.cache/vrata-tools"));
        assert_eq!(cache_of(Some("/tools".into()), home).unwrap(), Path::new("/tools"));
        assert!(cache_of(None, None).is_err());
        assert_eq!(Tool::CargoDeny.path(Path::new("/tools")).unwrap(), Path::new("/tools/cargo-deny-0.20.2/bin/cargo-deny"));
        assert_eq!(Tool::Pebble.path(Path::new("/tools")).unwrap(), Path::new("/tools/pebble-2.10.1/pebble"));
        assert_eq!(Tool::Helm.path(Path::new("/tools")).unwrap(), Path::new("/tools/helm-4.3.1/helm"));
    }
}
