//! A cluster of this process: `e2e/kubelab` as a child, in namespaces of its own, with its directory.

use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::binary;
use super::network::Network;
use super::rights;

/// Longest that it may take to start.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks at whether it has.
const POLL: Duration = Duration::from_millis(20);

/// How much of each log is shown when a test fails.
const SHOWN: usize = 60;

/// Programs that are images in the lab, besides `vrata`.
const IMAGES: [&str; 1] = ["echo"];

/// A running kubelab.
#[derive(Debug)]
pub(super) struct Kubelab {
    child: Child,
    /// Its end is the end of the cluster.
    input: Option<ChildStdin>,
    pub(super) network: Network,
    /// Where its programs are.
    pub(super) tools: PathBuf,
    directory: TempDir,
}

impl Kubelab {
    /// Starts it with `program` as the image of Vrata.
    pub(super) fn start(program: PathBuf) -> Result<Self> {
        let tools = binary::directory()?;
        let place = binary::scratch()?;
        let directory = tempfile::Builder::new().prefix("lab-").tempdir_in(place)?;
        let images = directory.path().join("images");
        std::fs::create_dir(&images)?;
        for (name, image) in IMAGES.into_iter().map(|name| (name, binary::built(name))).chain([("vrata", Ok(program))]) {
            let (image, to) = (image?, images.join(name));
            std::fs::hard_link(&image, &to).or_else(|_| std::fs::copy(&image, &to).map(drop))?;
        }
        let log = std::fs::File::create(directory.path().join("kubelab.log"))?;
        let mut command = Command::new(tools.join("kubelab"));
        command.args(["up", "-stdin", "-dir"]).arg(directory.path().join("cluster")).arg("-images").arg(&images);
        command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        let mut child = command.spawn().context("kubelab cannot be run")?;
        let input = child.stdin.take();
        let mut lab = Self { child, input, network: Network::default(), tools, directory };
        lab.wait_until_ready()?;
        Ok(lab)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.kubeconfig().exists() {
            let ended = self.child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                self.show_logs("");
                match ended {
                    Some(status) => bail!("kubelab ended with {status}"),
                    None => bail!("the cluster is not ready within {} s", PATIENCE.as_secs()),
                }
            }
            std::thread::sleep(POLL);
        }
        self.network = Network::of(self.number("pid")?);
        Ok(())
    }

    /// What an API server refused that had just started is asked again, so a refusal has to last.
    pub(super) fn check_rights(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match rights::check(&self.log("audit.log")) {
                Err(_) if Instant::now() < deadline => std::thread::sleep(POLL),
                checked => return checked,
            }
        }
    }

    /// What lasts of refusals, or not, at this moment.
    pub(super) fn refused(&self) -> Option<anyhow::Error> {
        rights::check(&self.log("audit.log")).err()
    }

    /// A file of its directory.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("cluster").join(name)
    }

    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    pub(super) fn log(&self, name: &str) -> String {
        std::fs::read(self.path("log").join(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Sends a signal to the process whose number is in a file of the directory.
    pub(super) fn signal(&self, file: &str, signal: Signal) -> Result<()> {
        send(self.number(file)?, signal)
    }

    pub(super) fn number(&self, file: &str) -> Result<i32> {
        let path = self.path(file);
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(text.trim().parse()?)
    }

    /// Shows kubelab's own log and those of its directory whose names begin so.
    pub(super) fn show_logs(&self, prefix: &str) {
        let mut logs: Vec<PathBuf> = std::fs::read_dir(self.path("log")).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        logs.sort();
        let ours = logs.iter().filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)));
        for log in ours.map(PathBuf::as_path).chain([self.directory.path().join("kubelab.log").as_path()]) {
            show(log);
        }
    }
}

/// Sends a signal to a process.
pub(super) fn send(process: i32, signal: Signal) -> Result<()> {
    kill(Pid::from_raw(process), signal).with_context(|| format!("cannot send {signal} to process {process}"))
}

fn show(log: &Path) {
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    eprintln!("--- {}\n{}", log.display(), lines[lines.len().saturating_sub(SHOWN)..].join("\n"));
}

impl Drop for Kubelab {
    fn drop(&mut self) {
        drop(self.input.take());
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline && !matches!(self.child.try_wait(), Ok(Some(_))) {
            std::thread::sleep(POLL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.end_orphans();
    }
}

impl Kubelab {
    /// Ends programs of pods that were started again at the very moment of the end: as another user they do not hear of their parent's death.
    fn end_orphans(&self) {
        let images = self.directory.path().join("images");
        for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(number) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            if std::fs::read_link(process.path().join("exe")).is_ok_and(|program| program.starts_with(&images)) {
                // It may have ended meanwhile.
                let _ = send(number, Signal::SIGKILL);
            }
        }
    }
}
