//! The program as it is shipped: built twice, the second time optimised by what the first did under load (profile-guided optimisation), then its machine code
//! laid out so that what runs together lies together. The load is the measurements' own, over HTTP, TLS and DNS and with thousands of Ingresses that change.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::packages::BOLT;
use crate::repository::Repository;

/// The measurements whose load the profile is taken under, and how long each of their runs is.
const TRAINING: [&str; 4] = ["--only", "http,dns,scale", "--seconds", "1"];

/// What the layout leaves as it is: cryptography, whose assembler is written so that its time tells nothing.
const LEFT_ALONE: &str = "-skip-funcs=aws_lc.*,AWS_LC.*,ring_core.*";

/// How the rest is laid out: blocks that follow each other and functions that call each other side by side, what hardly ever runs apart from them.
const LAYOUT: [&str; 6] = ["-reorder-blocks=ext-tsp", "-reorder-functions=cdsort", "-split-functions", "-split-all-cold", "-split-eh", "-icf=1"];

/// Builds it and gives its path. The profiles are taken anew when the program has changed.
pub(crate) fn build(repository: &Repository) -> Result<PathBuf> {
    let host = host(repository)?;
    let profiles = repository.scratch("pgo")?;
    let raw = profiles.join("raw");
    let gathering = compile(repository, &host, &profiles.join("build"), &format!("-Cprofile-generate={}", raw.display()))?;
    let profile = profiles.join(format!("{}.profdata", fingerprint(repository, &gathering, &profiles)?));
    if !profile.exists() {
        train(repository, &gathering, &raw)?;
        merge(repository, &host, &raw, &profile)?;
    }
    // With its relocations, by which the layout finds what refers to what it moves.
    let flags = format!("-Cprofile-use={} -Clink-arg=-Wl,--emit-relocs", profile.display());
    let optimised = compile(repository, &host, &profiles.join("optimised"), &flags)?;
    lay_out(repository, &optimised, &profiles)
}

/// Lays out an optimised program by a profile of its own.
fn lay_out(repository: &Repository, program: &Path, profiles: &Path) -> Result<PathBuf> {
    let profile = profiles.join(format!("{}.fdata", fingerprint(repository, program, profiles)?));
    if !profile.exists() {
        let (raw, gathering) = (profiles.join("raw"), profiles.join("gathering/vrata"));
        let to = format!("-instrumentation-file={}", raw.join("layout").display());
        bolt(repository, program, &gathering, &["-instrument", &to, "-instrumentation-file-append-pid"])?;
        train(repository, &gathering, &raw)?;
        let files = std::fs::read_dir(&raw)?.map(|file| Ok(file?.path())).collect::<Result<Vec<_>>>()?;
        repository.run(Path::new(BOLT).with_file_name("merge-fdata")).args(["-o"]).args([&profile]).args(files).run()?;
    }
    let shipped = profiles.join("shipped/vrata");
    let data = format!("-data={}", profile.display());
    bolt(repository, program, &shipped, &[&[data.as_str()], &LAYOUT[..]].concat())?;
    Ok(shipped)
}

/// Writes `program` anew, to `to`.
fn bolt(repository: &Repository, program: &Path, to: &Path, how: &[&str]) -> Result<()> {
    let directory = to.parent().context("a program lies in a directory")?;
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    repository.run(BOLT).args([program]).args(["-o"]).args([to]).args([LEFT_ALONE]).args(how).run()
}

/// Builds for the host by name, so that the flags are for the program alone and not for what runs while it is built.
fn compile(repository: &Repository, host: &str, target: &Path, flags: &str) -> Result<PathBuf> {
    let build = repository.cargo(["build", "--workspace", "--release", "--bin", "vrata", "--target", host]);
    build.env("CARGO_TARGET_DIR", target).env("RUSTFLAGS", flags).run()?;
    Ok(target.join(host).join("release/vrata"))
}

/// Puts load on a program that writes what it did to `raw`, which has nothing else in the end.
fn train(repository: &Repository, program: &Path, raw: &Path) -> Result<()> {
    if raw.exists() {
        std::fs::remove_dir_all(raw).with_context(|| format!("cannot remove {}", raw.display()))?;
    }
    std::fs::create_dir_all(raw).with_context(|| format!("cannot make {}", raw.display()))?;
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
