//! A Kubernetes cluster for tests: `e2e/kubelab` (etcd, kube-apiserver, controllers, pods as local programs) in network and mount namespaces of its own.
//!
//! ```text
//! Lab::shared() ── one for all tests that run at the same time       Lab::start() ── one for a test that breaks things
//!   .run(async |lab| …)    the test's threads are inside the lab's network: clients, `dig` and child processes reach pods and cluster
//!   .kubectl()             apply, get, delete                        install::vrata(&lab, Options) ── replicas of the program as pods
//! ```
//! The lab ends when the last handle is dropped, and when this process ends in whatever way.

pub mod app;
mod binary;
pub mod commands;
pub mod install;
mod network;
pub mod relay;
mod rights;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::kubectl::Kubectl;
use install::{HERE, Options, Vrata};
use network::Network;

/// Longest that it may take to start.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks at whether it has.
const POLL: Duration = Duration::from_millis(20);

/// Where the API server listens.
const API_PORT: u16 = 6443;

/// How much of each log is shown when a test fails.
const SHOWN: usize = 60;

/// Programs that are images in the lab, besides `vrata`.
const IMAGES: [&str; 1] = ["echo"];

static SHARED: Mutex<Weak<Lab>> = Mutex::new(Weak::new());

/// A running cluster.
#[derive(Debug)]
pub struct Lab {
    child: Child,
    /// Its end is the end of the lab.
    input: Option<ChildStdin>,
    network: Network,
    tools: PathBuf,
    directory: TempDir,
    /// The program, once a test has asked for it.
    vrata: OnceCell<Vrata>,
}

impl Lab {
    /// The lab that tests have in common; each has namespaces of its own there.
    ///
    /// # Errors
    /// As [`Lab::start`].
    pub fn shared() -> Result<Arc<Self>> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lab) = shared.upgrade() {
            return Ok(lab);
        }
        let lab = Arc::new(Self::start()?);
        *shared = Arc::downgrade(&lab);
        Ok(lab)
    }

    /// Starts one.
    ///
    /// # Errors
    /// When kubelab is not built, this is not root, or the cluster does not come up.
    pub fn start() -> Result<Self> {
        let tools = binary::directory()?;
        let place = binary::scratch()?;
        let directory = tempfile::Builder::new().prefix("lab-").tempdir_in(place)?;
        let images = directory.path().join("images");
        std::fs::create_dir(&images)?;
        for image in IMAGES.into_iter().map(binary::built).chain([crate::vrata::binary()]) {
            let program = image?;
            let to = images.join(program.file_name().context("a program has a name")?);
            std::fs::hard_link(&program, &to).or_else(|_| std::fs::copy(&program, &to).map(drop))?;
        }
        let log = std::fs::File::create(directory.path().join("kubelab.log"))?;
        let mut command = Command::new(tools.join("kubelab"));
        command.args(["up", "-stdin", "-dir"]).arg(directory.path().join("cluster")).arg("-images").arg(&images);
        command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        let mut child = command.spawn().context("kubelab cannot be run")?;
        let input = child.stdin.take();
        let mut lab = Self { child, input, network: Network::default(), tools, directory, vrata: OnceCell::new() };
        lab.wait_until_ready()?;
        Ok(lab)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.kubeconfig().exists() {
            if let Some(status) = self.child.try_wait()? {
                bail!("kubelab ended with {status}:\n{}", self.log("../../kubelab.log"));
            }
            if Instant::now() > deadline {
                bail!("the cluster is not ready within {} s:\n{}", PATIENCE.as_secs(), self.log("../../kubelab.log"));
            }
            std::thread::sleep(POLL);
        }
        self.network = Network::of(self.number("pid")?);
        Ok(())
    }

    /// Runs a test whose threads, and the programs that it starts, are inside the lab's network. Logs are shown when it fails.
    ///
    /// # Errors
    /// The test's.
    pub fn run<T: Send>(&self, test: impl AsyncFnOnce(&Self) -> Result<T> + Send) -> Result<T> {
        let outcome = std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                self.network.enter()?;
                let network = self.network.clone();
                let mut runtime = tokio::runtime::Builder::new_multi_thread();
                // A thread that is not inside must not run anything.
                runtime.enable_all().on_thread_start(move || network.enter().expect("this thread enters the lab's network"));
                runtime.build()?.block_on(test(self))
            });
            inside.join()
        });
        match outcome {
            Ok(Ok(value)) => self.check_rights().map(|()| value),
            Ok(Err(error)) => {
                self.show_logs();
                let refused = rights::check(&self.audit()).err();
                Err(refused.into_iter().fold(error, |error, refused| error.context(refused)))
            }
            Err(panic) => {
                self.show_logs();
                std::panic::resume_unwind(panic)
            }
        }
    }

    /// What an API server refused that had just started is asked again, so a refusal has to last.
    fn check_rights(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match rights::check(&self.audit()) {
                Err(_) if Instant::now() < deadline => std::thread::sleep(POLL),
                checked => return checked,
            }
        }
    }

    /// How the cluster's administrator reaches it.
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("cluster/kubeconfig")
    }

    /// The API server's address, and its certificate, which has signed itself, PEM.
    ///
    /// # Errors
    /// When the lab has ended.
    pub fn api_server(&self) -> Result<(SocketAddr, String)> {
        let certificate = std::fs::read_to_string(self.directory.path().join("cluster/pki/apiserver.crt"))?;
        Ok((SocketAddr::from((HERE, API_PORT)), certificate))
    }

    /// `kubectl`, as the administrator.
    pub fn kubectl(&self) -> Kubectl {
        Kubectl::new(self.tools.join("kubectl"), self.kubeconfig())
    }

    /// The program, installed in the cluster by the first test that asks, with a CA of its own.
    ///
    /// # Errors
    /// When it cannot be installed or does not become ready.
    pub async fn vrata(&self) -> Result<&Vrata> {
        self.vrata.get_or_try_init(|| install::vrata(self, Options::default())).await
    }

    /// A log by its name: `kube-apiserver.log`, `pod.NAMESPACE.POD.CONTAINER.log`. Empty when there is none.
    pub fn log(&self, name: &str) -> String {
        std::fs::read(self.logs().join(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// What a pod's program has written to a file of its volume `volume`, whichever pod has one.
    ///
    /// # Errors
    /// When no pod has it.
    pub fn file(&self, volume: &str, path: &str) -> Result<String> {
        let pods = std::fs::read_dir(self.directory.path().join("cluster/pods"))?;
        let files = pods.flatten().map(|pod| pod.path().join(volume).join(path));
        let found = files.filter_map(|file| std::fs::read_to_string(file).ok()).next();
        found.with_context(|| format!("no pod has {path} in its volume {volume}"))
    }

    /// What ServiceAccounts have asked the API server for, a JSON object a line.
    pub fn audit(&self) -> String {
        self.log("audit.log")
    }

    /// Kills the API server, as `kill -9` does.
    ///
    /// # Errors
    /// When the lab has ended.
    pub fn kill_api_server(&self) -> Result<()> {
        self.signal(self.number("pid")?, Signal::SIGUSR1)
    }

    /// Starts it again.
    ///
    /// # Errors
    /// When the lab has ended.
    pub fn start_api_server(&self) -> Result<()> {
        self.signal(self.number("pid")?, Signal::SIGUSR2)
    }

    /// Sends the API server a signal: SIGSTOP makes one that accepts connections and never answers.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal_api_server(&self, signal: Signal) -> Result<()> {
        self.signal(self.number("kube-apiserver.pid")?, signal)
    }

    /// Sends a signal to a process of the lab.
    ///
    /// # Errors
    /// When there is none of that number.
    pub fn signal(&self, process: i32, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(process), signal).with_context(|| format!("cannot send {signal} to process {process}"))
    }

    /// The number of the process that the lab's namespaces are those of.
    ///
    /// # Errors
    /// When the lab has ended.
    pub fn process(&self) -> Result<i32> {
        self.number("pid")
    }

    fn number(&self, file: &str) -> Result<i32> {
        let path = self.directory.path().join("cluster").join(file);
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(text.trim().parse()?)
    }

    fn logs(&self) -> PathBuf {
        self.directory.path().join("cluster/log")
    }

    fn show_logs(&self) {
        let mut logs: Vec<PathBuf> = std::fs::read_dir(self.logs()).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        logs.sort();
        let ours = logs.iter().filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("pod.")));
        for log in ours.map(PathBuf::as_path).chain([self.directory.path().join("kubelab.log").as_path()]) {
            show(log);
        }
    }
}

fn show(log: &Path) {
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    eprintln!("--- {}\n{}", log.display(), lines[lines.len().saturating_sub(SHOWN)..].join("\n"));
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(self.input.take());
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(POLL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
