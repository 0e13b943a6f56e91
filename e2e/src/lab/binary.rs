//! Where the lab's programs are.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The directory of Helm in the cache of tools.
const HELM: &str = "helm-4.3.1";

/// The directory with `helm`.
pub(super) fn helm() -> Result<PathBuf> {
    let directory = crate::pebble::tools()?.join(HELM);
    if !directory.join("helm").exists() {
        bail!("{} is not there; run: cargo xtask test --only e2e", directory.join("helm").display());
    }
    Ok(directory)
}

/// The directory with `kubelab` and `kubectl`, named after the version of Kubernetes and the sources: the same rule as in `xtask/src/kubelab.rs`.
pub(super) fn directory() -> Result<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("kubelab");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&sources)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    let mut hash = DefaultHasher::new();
    for file in &files {
        (file.file_name(), std::fs::read(file)?).hash(&mut hash);
    }
    let module = std::fs::read_to_string(sources.join("go.mod"))?;
    let version = module.lines().find_map(|line| line.trim().trim_start_matches("require ").strip_prefix("k8s.io/kubernetes v"));
    let version = version.context("e2e/kubelab/go.mod names no version of k8s.io/kubernetes")?;
    let directory = crate::pebble::tools()?.join(format!("kubelab-{version}-{:016x}", hash.finish()));
    if !directory.join("kubelab").exists() {
        bail!("{} is not there; run: cargo xtask kubelab kubectl version --client", directory.join("kubelab").display());
    }
    Ok(directory)
}

/// A program of this crate, in `target/PROFILE/`.
pub(super) fn built(name: &str) -> Result<PathBuf> {
    let binary = profile()?.join(name);
    if !binary.exists() {
        bail!("{} is not there; run: cargo build --workspace --bin {name}", binary.display());
    }
    Ok(binary)
}

/// Where labs are: on the file system of the programs, which are linked into them.
pub(super) fn scratch() -> Result<PathBuf> {
    let scratch = profile()?.parent().context("a profile lies in target/")?.join("tmp");
    std::fs::create_dir_all(&scratch)?;
    Ok(scratch)
}

/// `target/PROFILE/`, in which programs are, and tests in its `deps/`.
fn profile() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let directory = this.parent().context("a program is in a directory")?;
    Ok(if directory.ends_with("deps") { directory.parent().context("deps/ lies in target/PROFILE/")? } else { directory }.to_owned())
}
