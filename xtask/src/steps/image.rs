//! The image of `deploy/Dockerfile`, built and run without anything from a registry: the program is built here with the pinned toolchain, stands in for the
//! first stage, and runs as it would in a pod, without privileges but with the ports below 1024.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::{Options, Outcome};
use crate::command::Program;
use crate::repository::Repository;

const DOCKERFILE: &str = "deploy/Dockerfile";

/// Lays out what the first stage leaves.
const LAYOUT: &str = "deploy/image.sh";

/// Runs the image.
const SCRIPT: &str = include_str!("image.sh");

const NAME: &str = "vrata:test";

/// What is to be seen of the running image. The one capability is `NET_BIND_SERVICE`, which the file of the program has.
const EXPECTED: [&str; 8] = [
    "ready yes",
    "http 308",
    "dns ns1.dyn.cloud.e-infra.cz.",
    "Uid 65532",
    "Gid 65532",
    "CapPrm 0000000000000400",
    "CapEff 0000000000000400",
    "end 0",
];

pub(super) fn run(repository: &Repository, _: &Options) -> Result<Outcome> {
    if !nix::unistd::geteuid().is_root() {
        bail!("only root may build and run images without a daemon: run it as root");
    }
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    if !repository.run("rustup").args(["target", "add", &target]).succeeds() {
        return Ok(Outcome::Skipped(format!("the toolchain has no target {target}, and rustup cannot fetch it")));
    }
    repository.cargo(["build", "--workspace", "--bin", "vrata", "--target", &target]).run()?;

    let scratch = repository.scratch("image")?;
    std::fs::remove_dir_all(&scratch).with_context(|| format!("cannot remove {}", scratch.display()))?;
    std::fs::create_dir(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    let store = Store { root: scratch.join("images"), state: scratch.join("state") };
    let stage = scratch.join("stage");
    repository.run("sh").args([LAYOUT]).args([repository.built_for(&target, "vrata"), stage.join("image")]).run()?;
    let build = ["build", "--isolation", "chroot", "--file", DOCKERFILE, "--tag", NAME, "--build-context"];
    store.buildah(repository).args(build).args([format!("build={}", stage.display())]).args(["."]).run()?;

    let log = scratch.join("image.log");
    let (printed, well) = store.buildah(repository).args(["from", "--pull-never", NAME]).output(&log)?;
    if !well {
        bail!("buildah from {NAME}: {printed}");
    }
    let (container, examples) = (printed.trim().to_owned(), repository.path("examples"));
    let apart = repository.run("unshare").args(["--net", "--pid", "--fork", "--mount-proc", "sh", "-c", SCRIPT, "sh", &container]);
    let (seen, _) = apart.args([examples]).args(["buildah"]).args(store.flags()).output(&log)?;
    let missing: Vec<&str> = EXPECTED.into_iter().filter(|line| !seen.lines().any(|seen| seen == *line)).collect();
    if !missing.is_empty() {
        bail!("of the running image this is not seen: {}\n{seen}", missing.join(", "));
    }
    Ok(Outcome::Passed)
}

/// Images and containers of this step alone.
struct Store {
    root: PathBuf,
    state: PathBuf,
}

impl Store {
    fn flags(&self) -> [String; 6] {
        let (root, state) = (self.root.display().to_string(), self.state.display().to_string());
        ["--storage-driver".to_owned(), "vfs".to_owned(), "--root".to_owned(), root, "--runroot".to_owned(), state]
    }

    fn buildah(&self, repository: &Repository) -> Program {
        repository.run("buildah").args(self.flags())
    }
}
