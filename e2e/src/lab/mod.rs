//! A Kubernetes cluster for tests: `e2e/kubelab` (etcd, kube-apiserver, controllers, pods as local programs) in network and mount namespaces of its own, or one
//! that was there before.
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
mod kubelab;
mod network;
pub mod relay;
mod rights;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use tokio::sync::OnceCell;

use crate::kubectl::Kubectl;
use install::{HERE, Options, Replica, Vrata};
use kubelab::Kubelab;
use network::Network;

/// Names the kubeconfig of a cluster that is used instead of kubelab. Not KUBECONFIG: nobody's cluster is tested in because a shell happens to know it.
const EXISTING: &str = "VRATA_E2E_KUBECONFIG";

/// Where kubelab's API server listens.
const API_PORT: u16 = 6443;

static SHARED: Mutex<Weak<Lab>> = Mutex::new(Weak::new());

/// A running cluster.
#[derive(Debug)]
pub struct Lab {
    cluster: Cluster,
    /// The program, once a test has asked for it.
    vrata: OnceCell<Vrata>,
}

#[derive(Debug)]
enum Cluster {
    Own(Kubelab),
    /// By its kubeconfig.
    Existing(PathBuf),
}

impl Lab {
    /// The lab that tests have in common; each has namespaces of its own there. It may be a cluster that was there before.
    ///
    /// # Errors
    /// As [`Lab::start`].
    pub fn shared() -> Result<Arc<Self>> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lab) = shared.upgrade() {
            return Ok(lab);
        }
        let lab = match std::env::var_os(EXISTING) {
            Some(kubeconfig) => Self { cluster: Cluster::Existing(kubeconfig.into()), vrata: OnceCell::new() },
            None => Self::start()?,
        };
        let lab = Arc::new(lab);
        *shared = Arc::downgrade(&lab);
        Ok(lab)
    }

    /// Starts one.
    ///
    /// # Errors
    /// When kubelab is not built, this is not root, or the cluster does not come up.
    pub fn start() -> Result<Self> {
        if std::env::var_os(EXISTING).is_some() {
            bail!("this test wants a cluster that it may break; with {EXISTING} run only those of `shared::`");
        }
        Self::with(crate::vrata::binary()?)
    }

    /// Starts one with this program as the image of Vrata.
    ///
    /// # Errors
    /// As [`Lab::start`].
    pub fn with(program: PathBuf) -> Result<Self> {
        Ok(Self { cluster: Cluster::Own(Kubelab::start(program)?), vrata: OnceCell::new() })
    }

    /// Runs a test whose threads, and the programs that it starts, are inside the lab's network. Logs are shown when it fails.
    ///
    /// # Errors
    /// The test's.
    pub fn run<T: Send>(&self, test: impl AsyncFnOnce(&Self) -> Result<T> + Send) -> Result<T> {
        let Cluster::Own(kubelab) = &self.cluster else { return runtime(None)?.block_on(test(self)) };
        let outcome = std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                kubelab.network.enter()?;
                runtime(Some(kubelab.network.clone()))?.block_on(test(self))
            });
            inside.join()
        });
        match outcome {
            Ok(Ok(value)) => kubelab.check_rights().map(|()| value),
            Ok(Err(error)) => {
                kubelab.show_logs("pod.");
                Err(kubelab.refused().into_iter().fold(error, |error, refused| error.context(refused)))
            }
            Err(panic) => {
                kubelab.show_logs("pod.");
                std::panic::resume_unwind(panic)
            }
        }
    }

    fn own(&self) -> Result<&Kubelab> {
        match &self.cluster {
            Cluster::Own(kubelab) => Ok(kubelab),
            Cluster::Existing(kubeconfig) => bail!("this is for kubelab alone, not for the cluster of {}", kubeconfig.display()),
        }
    }

    /// Whether its network is this process's to arrange.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self.cluster, Cluster::Own(_))
    }

    /// How the cluster's administrator reaches it.
    pub fn kubeconfig(&self) -> PathBuf {
        match &self.cluster {
            Cluster::Own(kubelab) => kubelab.kubeconfig(),
            Cluster::Existing(kubeconfig) => kubeconfig.clone(),
        }
    }

    /// `kubectl`, as the administrator; with a cluster that was there before the one in PATH.
    pub fn kubectl(&self) -> Kubectl {
        let program = self.own().map_or_else(|_| "kubectl".into(), |kubelab| kubelab.tools.join("kubectl"));
        Kubectl::new(program, self.kubeconfig())
    }

    /// The program, installed in the cluster by the first test that asks, with a CA of its own.
    ///
    /// # Errors
    /// When it cannot be installed or does not become ready.
    pub async fn vrata(&self) -> Result<&Vrata> {
        self.vrata.get_or_try_init(|| install::vrata(self, Options::default())).await
    }

    /// The API server's address, and its certificate, which has signed itself, PEM.
    ///
    /// # Errors
    /// When the lab has ended.
    pub fn api_server(&self) -> Result<(SocketAddr, String)> {
        let certificate = std::fs::read_to_string(self.own()?.path("pki/apiserver.crt"))?;
        Ok((SocketAddr::from((HERE, API_PORT)), certificate))
    }

    /// What ServiceAccounts have asked the API server for, a JSON object a line.
    ///
    /// # Errors
    /// When this is no kubelab.
    pub fn audit(&self) -> Result<String> {
        Ok(self.own()?.log("audit.log"))
    }

    /// What a pod's program has written to a file of its volume `volume`, whichever pod has one.
    ///
    /// # Errors
    /// When no pod has it.
    pub fn file(&self, volume: &str, path: &str) -> Result<String> {
        let pods = std::fs::read_dir(self.own()?.path("pods"))?;
        let files = pods.flatten().map(|pod| pod.path().join(volume).join(path));
        let found = files.filter_map(|file| std::fs::read_to_string(file).ok()).next();
        found.with_context(|| format!("no pod has {path} in its volume {volume}"))
    }

    /// Kills the API server, as `kill -9` does.
    ///
    /// # Errors
    /// When the lab has ended.
    pub fn kill_api_server(&self) -> Result<()> {
        self.own()?.signal("pid", Signal::SIGUSR1)
    }

    /// Starts it again.
    ///
    /// # Errors
    /// When the lab has ended.
    pub fn start_api_server(&self) -> Result<()> {
        self.own()?.signal("pid", Signal::SIGUSR2)
    }

    /// Sends the API server a signal: SIGSTOP makes one that accepts connections and never answers.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal_api_server(&self, signal: Signal) -> Result<()> {
        self.own()?.signal("kube-apiserver.pid", signal)
    }

    /// Sends a signal to a replica.
    ///
    /// # Errors
    /// When it does not run on this machine.
    pub fn signal(&self, replica: &Replica, signal: Signal) -> Result<()> {
        kubelab::send(replica.process.with_context(|| format!("{} does not run on this machine", replica.name))?, signal)
    }

    /// The number of the process that the lab's namespaces are those of.
    ///
    /// # Errors
    /// When the lab has ended.
    pub fn process(&self) -> Result<i32> {
        self.own()?.number("pid")
    }
}

/// A runtime whose threads are inside a network; one that is not must not run anything.
fn runtime(network: Option<Network>) -> Result<tokio::runtime::Runtime> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all();
    if let Some(network) = network {
        runtime.on_thread_start(move || network.enter().expect("this thread enters the lab's network"));
    }
    Ok(runtime.build()?)
}
