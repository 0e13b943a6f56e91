//! The program as it is shipped: built twice, the second time optimised by what the first did under load (profile-guided optimisation). The load is the
//! measurements' own, over HTTP, TLS and DNS and with thousands of Ingresses that change.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::repository::Repository;

/// The measurements whose load the profile is taken under, and how long each of their runs is.
const TRAINING: [&str; 4] = ["--only", "http,dns,scale", "--seconds", "1"];

/// Builds it and gives its path. The profile is taken anew when the program has changed.
pub(crate) fn build(repository: &Repository) -> Result<PathBuf> {
    let host = host(repository)?;
    let profiles = repository.scratch("pgo")?;
    let gathering = compile(repository, &host, &profiles.join("build"), &format!("-Cprofile-generate={}", profiles.join("raw").display()))?;
    let profile = profiles.join(format!("{}.profdata", fingerprint(repository, &gathering, &profiles)?));
    if !profile.exists() {
        train(repository, &gathering, &profiles)?;
        merge(repository, &host, &profiles.join("raw"), &profile)?;
    }
    compile(repository, &host, &profiles.join("optimised"), &format!("-Cprofile-use={}", profile.display()))
}

/// Builds for the host by name, so that the flags are for the program alone and not for what runs while it is built.
fn compile(repository: &Repository, host: &str, target: &Path, flags: &str) -> Result<PathBuf> {
    let build = repository.cargo(["build", "--workspace", "--release", "--bin", "vrata", "--target", host]);
    build.env("CARGO_TARGET_DIR", target).env("RUSTFLAGS", flags).run()?;
    Ok(target.join(host).join("release/vrata"))
}

fn train(repository: &Repository, program: &Path, profiles: &Path) -> Result<()> {
    let raw = profiles.join("raw");
    if raw.exists() {
        std::fs::remove_dir_all(&raw).with_context(|| format!("cannot remove {}", raw.display()))?;
    }
    repository.cargo(["build", "--workspace", "--release", "--bin", "loadtest"]).run()?;
    repository.run(repository.release("loadtest")).args(["run", "--vrata"]).args([program]).args(TRAINING).run()
}

fn merge(repository: &Repository, host: &str, raw: &Path, profile: &Path) -> Result<()> {
    let (root, _) = repository.run("rustc").args(["--print", "sysroot"]).output(&raw.with_file_name("sysroot"))?;
    let tool = Path::new(root.trim()).join("lib/rustlib").join(host).join("bin/llvm-profdata");
    if !tool.exists() {
        repository.run("rustup").args(["component", "add", "llvm-tools"]).run().context("llvm-profdata of this toolchain is missing")?;
    }
    repository.run(tool).args(["merge", "--output"]).args([profile, raw]).run()
}

/// The target of this machine, as rustc calls it.
fn host(repository: &Repository) -> Result<String> {
    let (version, _) = repository.run("rustc").args(["-vV"]).output(&repository.scratch("pgo")?.join("rustc"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).with_context(|| format!("rustc does not tell its host: {version}"))
}

/// What changes when the program does.
fn fingerprint(repository: &Repository, program: &Path, profiles: &Path) -> Result<String> {
    let (sum, _) = repository.run("sha256sum").args([program]).output(&profiles.join("sum"))?;
    sum.get(..16).map(str::to_owned).with_context(|| format!("sha256sum {}: {sum}", program.display()))
}
