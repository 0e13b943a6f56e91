//! Where things are: the work tree, cargo, and what it builds.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::command::Program;

/// The work tree and the directory of what is built from it.
pub(crate) struct Repository {
    root: PathBuf,
    target: PathBuf,
}

impl Repository {
    /// The one that this program was built from.
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask/ lies in the work tree")?.to_owned();
        let this = std::env::current_exe().context("cannot tell where this program is")?;
        let target = this.parent().and_then(Path::parent).context("this program lies in target/PROFILE/")?.to_owned();
        Ok(Self { root, target })
    }

    /// A path of the work tree.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A directory for what a step writes, made when it is missing.
    pub(crate) fn scratch(&self, name: &str) -> Result<PathBuf> {
        let path = self.target.join("xtask").join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// The path of a program that was built here, in the dev profile.
    pub(crate) fn built(&self, name: &str) -> PathBuf {
        self.target.join("debug").join(name)
    }

    /// The path of a program that was built here for another target, in the dev profile.
    pub(crate) fn built_for(&self, target: &str, name: &str) -> PathBuf {
        self.target.join(target).join("debug").join(name)
    }

    /// A program that was built here, in the dev profile.
    pub(crate) fn program(&self, name: &str) -> Program {
        Program::new(self.built(name), &self.root)
    }

    /// The path of a program that was built here, in the release profile.
    pub(crate) fn release(&self, name: &str) -> PathBuf {
        self.target.join("release").join(name)
    }

    /// Cargo, with the target directory that this program was built in.
    pub(crate) fn cargo<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Program {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        Program::new(cargo, &self.root).args(args).env("CARGO_TARGET_DIR", &self.target)
    }

    /// Any program, run in the work tree.
    pub(crate) fn run(&self, name: impl AsRef<OsStr>) -> Program {
        Program::new(name, &self.root)
    }
}
