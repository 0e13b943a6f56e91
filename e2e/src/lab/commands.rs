//! The program installed as the README says, by its own commands: Helm and kubectl on the chart in `deploy/`.

use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::install::{self, Vrata};
use super::{Lab, binary};
use crate::shell::{Printed, sh_in};
use crate::vrata::Authority;
use crate::{eventually, manifest};

/// What the README puts before its commands.
const HEADING: &str = "install in three commands\n```sh\n";

/// Values of the installation.
const VALUES: &str = include_str!("values.yaml");

/// Replicas that the chart installs unless it is told otherwise.
pub const REPLICAS: usize = 2;

/// The commands of the README, in order: image, chart, and to see that it serves.
///
/// # Errors
/// When the README has other than three.
pub fn of_the_readme() -> Result<[String; 3]> {
    let readme = std::fs::read_to_string(root()?.join("README.md")).context("README.md cannot be read")?;
    let (_, block) = readme.split_once(HEADING).with_context(|| format!("README.md does not have {HEADING:?}"))?;
    let (block, _) = block.split_once("```").context("the block of commands ends")?;
    let lines: Vec<String> = block.lines().map(str::to_owned).collect();
    lines.try_into().map_err(|lines| anyhow::anyhow!("three commands are promised, these are written: {lines:#?}"))
}

/// Installs the program by the README's commands, but for the image, which a lab has; then a CA of the lab's own as the issuer `letsencrypt-prod`.
///
/// # Errors
/// When a command fails, or the program does not become ready.
pub async fn install(lab: &Lab) -> Result<Vrata> {
    let kubectl = lab.kubectl();
    kubectl.apply(&("apiVersion: v1\nkind: Namespace\nmetadata: {name: cert-manager}\n---\n".to_owned() + &install::crds())).await?;
    kubectl.run(&["wait", "crd", "--all", "--for=condition=Established", "--timeout=30s"]).await?;
    let [_, install, status] = of_the_readme()?;
    for command in [install, status] {
        typed(lab, &command).await?;
    }
    let authority = Authority::new()?;
    let issuer = manifest::ca_issuer(&authority.certificate, &authority.key);
    let vrata = Vrata::ready_at(lab, REPLICAS, &authority.certificate, issuer).await?;
    eventually("the issuer is taken", async || kubectl.apply(&vrata.issuer()).await, |()| true).await?;
    Ok(vrata)
}

/// Runs a line as the administrator types it beside `deploy/` and `my-values.yaml`.
///
/// # Errors
/// When it fails, with what it says.
pub async fn typed(lab: &Lab, line: &str) -> Result<Printed> {
    let directory = tempfile::tempdir()?;
    symlink(root()?.join("deploy"), directory.path().join("deploy"))?;
    std::fs::write(directory.path().join("my-values.yaml"), VALUES)?;
    let printed = sh_in(directory.path(), &environment(lab, directory.path())?, line).await?;
    ensure!(printed.code == Some(0), "{line}: {}{}", printed.out, printed.err);
    Ok(printed)
}

/// The lab's cluster, its programs before all others, and a home of its own, where Helm keeps what it likes.
fn environment(lab: &Lab, home: &Path) -> Result<Vec<(&'static str, OsString)>> {
    let programs = [binary::helm()?, lab.own()?.tools.clone()];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(programs.into_iter().chain(std::env::split_paths(&path)))?;
    Ok(vec![("KUBECONFIG", lab.kubeconfig().into_os_string()), ("PATH", path), ("HOME", home.as_os_str().to_owned())])
}

fn root() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("e2e/ lies in the work tree")
}
