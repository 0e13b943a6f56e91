//! Where `e2e/kubelab` is built to, and how: the directory is named after the version of Kubernetes and the sources, so that a change of either is a new build.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::command::Program;

/// Longest build: ten minutes of two free cores are usual.
const LIMIT: Duration = Duration::from_secs(60 * 60);

/// Neither debugging symbols nor inlining: they are two fifths of the compiler's work, and a test cluster needs no speed.
const COMPILER: &str = "-gcflags=all=-dwarf=false -l";

/// Where its sources are.
fn sources() -> Result<PathBuf> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask/ lies in the work tree")?.join("e2e/kubelab"))
}

/// The name of its directory in the cache: `kubelab-VERSION-SOURCES`. `e2e/src/lab/binary.rs` has the same rule.
pub(crate) fn directory() -> Result<String> {
    let sources = sources()?;
    let mut files: Vec<PathBuf> = std::fs::read_dir(&sources)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    let mut hash = DefaultHasher::new();
    for file in &files {
        (file.file_name(), std::fs::read(file)?).hash(&mut hash);
    }
    Ok(format!("kubelab-{}-{:016x}", version(&sources)?, hash.finish()))
}

/// The version of Kubernetes, from go.mod.
fn version(sources: &Path) -> Result<String> {
    let module = sources.join("go.mod");
    let text = std::fs::read_to_string(&module).with_context(|| format!("cannot read {}", module.display()))?;
    let version = text.lines().find_map(|line| line.trim().trim_start_matches("require ").strip_prefix("k8s.io/kubernetes v"));
    Ok(version.with_context(|| format!("{} names no version of k8s.io/kubernetes", module.display()))?.to_owned())
}

/// Builds it into `directory`, with a link `kubectl` beside it.
pub(crate) fn build(directory: &Path) -> Result<()> {
    if !Program::new("go", directory).args(["version"]).succeeds() {
        bail!(
            "kubelab is built with Go 1.26 or newer (or with 1.21 or newer that may fetch it), and there is no `go` in PATH: install it from https://go.dev/dl/"
        );
    }
    let sources = sources()?;
    let version = version(&sources)?;
    let minor = version.split('.').nth(1).unwrap_or_default();
    let package = "k8s.io/component-base/version";
    let link = format!("-ldflags=-s -w -X {package}.gitVersion=v{version} -X {package}.gitMajor=1 -X {package}.gitMinor={minor}");
    let draft = directory.join("kubelab.new");
    let build = Program::new("go", &sources).args(["build", "-trimpath", COMPILER, &link, "-o"]).args([&draft]).args(["."]);
    build.env("GOTOOLCHAIN", "auto").limit(LIMIT).run()?;
    let kubectl = directory.join("kubectl");
    if !kubectl.exists() {
        symlink("kubelab", &kubectl).with_context(|| format!("cannot make {}", kubectl.display()))?;
    }
    std::fs::rename(&draft, directory.join("kubelab")).context("cannot put kubelab in its place")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::directory;

    #[test]
    fn the_directory_tells_version_and_sources() {
        let name = directory().unwrap();
        let (version, hash) = name.strip_prefix("kubelab-1.").unwrap().rsplit_once('-').unwrap();
        assert!(version.split('.').all(|part| part.parse::<u32>().is_ok()), "{name}");
        assert_eq!((hash.len(), directory().unwrap()), (16, name.clone()));
    }
}
