//! `vrata demo` on the examples of this repository.

use anyhow::{Result, bail};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use crate::process::Process;
use crate::vrata::binary;
use crate::{Ports, eventually};

/// The example apps listen on ports that are always the same.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// The examples.
pub const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");

/// A running demo.
#[derive(Debug)]
pub struct Demo {
    ports: Ports,
    steps: Vec<(String, String)>,
    _process: Process,
    _directory: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Demo {
    /// Starts it and waits until it has said what to try.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(ports: Ports, flags: &[&str]) -> Result<Self> {
        let alone = ONE_AT_A_TIME.lock().await;
        let directory = tempfile::tempdir()?;
        let state = directory.path().join("state").display().to_string();
        let listeners = [ports.http, ports.https, ports.dns, ports.admin].map(|address| address.to_string());
        let [http, https, dns, admin] = &listeners;
        let mut args = vec!["demo", "--dir", EXAMPLES, "--state", &state, "--http", http, "--https", https, "--dns", dns, "--admin", admin];
        args.extend(flags);
        let mut process = Process::start(&binary()?, args, &[], directory.path().join("demo.log"))?;
        let look = async || Ok((process.ended()?, process.log()));
        let (ended, log) = eventually("the demo says what to try", look, |(ended, log)| ended.is_some() || log.contains("Ctrl-C")).await?;
        if let Some(status) = ended {
            bail!("the demo ended with {status}:\n{log}");
        }
        Ok(Self { ports, steps: steps(&log), _process: process, _directory: directory, _alone: alone })
    }

    /// Its ports.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// What it printed: what a command shows, and the command.
    pub fn steps(&self) -> &[(String, String)] {
        &self.steps
    }
}

/// A command is indented, and the line before it says what it shows.
fn steps(log: &str) -> Vec<(String, String)> {
    let lines: Vec<&str> = log.lines().collect();
    let pairs = lines.windows(2).filter_map(|pair| Some((pair[0].strip_suffix(':')?, pair[1].strip_prefix("  ")?)));
    pairs.map(|(what, command)| (what.to_owned(), command.to_owned())).collect()
}
