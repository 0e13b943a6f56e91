//! Runs the plan: starts orders, keeps what came of them, wakes up when something is due. The decisions themselves are in `plan`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use crate::store::Store;
use crate::{Held, WantedSet};

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Where our own listeners are asked whether they answer a challenge, before the CA is told. A kind without an address is not checked.
#[derive(Debug, Clone)]
pub struct SelfCheck {
    /// DNS listeners, asked over UDP and TCP.
    pub dns: Vec<SocketAddr>,
    /// Listeners for plain HTTP.
    pub http: Vec<SocketAddr>,
    /// Listeners for HTTPS.
    pub https: Vec<SocketAddr>,
    /// How long all of them may take until they answer as they should.
    pub deadline: Duration,
}

impl Default for SelfCheck {
    fn default() -> Self {
        Self { dns: Vec::new(), http: Vec::new(), https: Vec::new(), deadline: Duration::from_secs(30) }
    }
}

/// How the engine runs.
#[derive(Clone)]
pub struct Options {
    /// Where answers are checked.
    pub self_check: SelfCheck,
    /// The clock; only tests set another one than the system's.
    pub clock: Clock,
    /// How many orders may be under way at once with one issuer.
    pub orders_per_issuer: usize,
}

/// Why the engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The registry refused the metrics: they were registered before.
    #[error("cannot register the metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// The running engine. Dropping it stops it at once, as a crash would: nothing that was acknowledged is lost.
pub struct Engine {
    task: tokio::task::JoinHandle<()>,
}

impl Engine {
    /// Starts the engine. `Held` is complete from the start with what the store has; what is wanted is read from `wanted` whenever it changes.
    ///
    /// # Errors
    /// When the metrics are registered already.
    pub fn start(
        store: Store,
        wanted: watch::Receiver<Arc<WantedSet>>,
        options: Options,
        registry: &prometheus::Registry,
    ) -> Result<(Self, watch::Receiver<Arc<Held>>), StartError> {
        let _ = (store, wanted, options, registry);
        let (_sender, held) = watch::channel(Arc::default());
        Ok((Self { task: tokio::spawn(async {}) }, held))
    }

    /// Stops the engine and waits until nothing of it runs.
    pub async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.task.abort();
    }
}
