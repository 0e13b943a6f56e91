//! Runs passes whenever something changed, and the tasks that serve, until a stop is asked for.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use acme::{Held, SecretName};
use nix::time::{ClockId, clock_gettime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::RunError;
use super::lead::Told;
use super::origin::Origin;
use crate::lease::Leadership;
use crate::pass::{Inputs, Passes};
use crate::problem::Problem;
use crate::replicas::held::Platform;
use crate::replicas::serials::Authority;
use crate::replicas::watch::Shared;
use crate::source;
use crate::status::Replica;

/// How often everything is looked at again although nothing changed: certificates expire by themselves.
const TICK: Duration = Duration::from_secs(3600);

/// After a pass nothing is done for so many times as long as it used the processor: under steady change most of that is left to those that serve, and several
/// changes become one pass. A change after some quiet is served at once. What it waited for on a busy machine does not count, or changes would wait for that
/// twice.
const REST: u32 = 3;
/// However much the pass used.
const LONGEST_REST: Duration = Duration::from_millis(100);

/// What makes a new pass necessary.
pub(super) struct Changes {
    reads: watch::Receiver<Arc<source::Read>>,
    held: watch::Receiver<Option<Arc<Held>>>,
    unbound: watch::Receiver<Vec<gateway::l4::BindFailure>>,
    conflicts: watch::Receiver<Vec<Problem>>,
    replicas: Option<Replicas>,
}

/// What comes from other replicas.
struct Replicas {
    shared: watch::Receiver<Option<Arc<Shared>>>,
    leadership: Leadership,
    terms: watch::Receiver<Option<u64>>,
    namespace: String,
    wildcards: Vec<SecretName>,
    platform: Platform,
}

impl Changes {
    /// `wildcards` are the Secrets of those of the zones.
    pub(super) fn new(origin: &Origin, wildcards: Vec<SecretName>, told: Told, unbound: watch::Receiver<Vec<gateway::l4::BindFailure>>) -> Self {
        let replicas = match origin {
            Origin::Alone { .. } => None,
            Origin::Cluster(cluster) => Some(Replicas {
                shared: cluster.watching.shared.clone(),
                leadership: origin.leadership().clone(),
                terms: origin.leadership().terms(),
                namespace: cluster.namespace.clone(),
                wildcards,
                platform: Platform::default(),
            }),
        };
        Self { reads: origin.reads(), held: told.held, unbound, conflicts: told.conflicts, replicas }
    }

    fn inputs(&mut self) -> Inputs {
        let read = self.reads.borrow_and_update().clone();
        let held = self.held.borrow_and_update().clone().unwrap_or_default();
        let inputs = Inputs {
            read,
            held,
            unbound: self.unbound.borrow_and_update().clone(),
            conflicts: self.conflicts.borrow_and_update().clone(),
            serials: Authority::Own,
            replica: None,
        };
        match &mut self.replicas {
            None => inputs,
            Some(replicas) => replicas.add_to(inputs),
        }
    }

    /// Waits for a change; `false` when none can come any more.
    async fn next(&mut self) -> bool {
        let shared = async {
            match &mut self.replicas {
                None => std::future::pending().await,
                Some(replicas) => tokio::select! {
                    changed = replicas.shared.changed() => changed.is_ok(),
                    changed = replicas.terms.changed() => changed.is_ok(),
                    changed = self.conflicts.changed() => changed.is_ok(),
                },
            }
        };
        tokio::select! {
            changed = self.reads.changed() => changed.is_ok(),
            changed = self.held.changed() => changed.is_ok(),
            changed = self.unbound.changed() => changed.is_ok(),
            more = shared => more,
            () = tokio::time::sleep(TICK) => true,
        }
    }
}

impl Replicas {
    fn add_to(&mut self, inputs: Inputs) -> Inputs {
        let shared = self.shared.borrow_and_update().clone().unwrap_or_default();
        let leader = self.terms.borrow_and_update().is_some();
        let held = self.platform.served(&inputs.held, &inputs.read.objects, &self.namespace, &self.wildcards, &shared.challenges);
        Inputs {
            held: Arc::new(held),
            serials: Authority::Shared(shared.reservations.clone()),
            replica: Some(Replica { identity: self.leadership.identity().to_owned(), leader }),
            ..inputs
        }
    }
}

/// Runs passes until a stop is asked for.
pub(super) async fn serve(mut passes: Passes, mut changes: Changes, ready: impl FnOnce()) -> Result<Passes, RunError> {
    let stop = asked_to_stop()?;
    tokio::pin!(stop);
    tokio::select! {
        // Its sender is dropped only with the program.
        _ = changes.held.wait_for(Option::is_some) => {},
        () = &mut stop => return Ok(passes),
    }
    let mut ready = Some(ready);
    loop {
        let inputs = changes.inputs();
        let pass = move || {
            let begun = processor_time();
            passes.run(&inputs, SystemTime::now());
            (passes, processor_time().saturating_sub(begun))
        };
        let used;
        (passes, used) = tokio::task::spawn_blocking(pass).await.map_err(io::Error::other)?;
        if let Some(ready) = ready.take() {
            ready();
        }
        let rested = Instant::now() + (used * REST).min(LONGEST_REST);
        let changed = async {
            let more = changes.next().await;
            sleep_until(rested).await;
            more
        };
        tokio::select! {
            () = &mut stop => return Ok(passes),
            more = changed => if !more {
                tracing::error!("a part of the program ended; what was served last goes on");
                stop.as_mut().await;
                return Ok(passes);
            },
        }
    }
}

/// Time for which this thread has used a processor.
fn processor_time() -> Duration {
    // Linux has this clock since 2.6.
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// A future that ends with SIGTERM or SIGINT.
pub(super) fn asked_to_stop() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {},
            _ = interrupt.recv() => {},
        }
    })
}

/// A task, and what stops it.
pub(super) fn spawned<F: Future<Output = ()> + Send + 'static>(
    task: impl FnOnce(CancellationToken) -> F,
) -> (CancellationToken, tokio::task::JoinHandle<()>) {
    let stop = CancellationToken::new();
    (stop.clone(), tokio::spawn(task(stop)))
}

/// The gateway, where there is one.
pub(super) async fn serve_gateway(gateway: Option<gateway::Gateway>, stop: CancellationToken) {
    if let Some(gateway) = gateway {
        gateway.run(stop).await;
    }
}

/// DNS, where it is served.
pub(super) async fn serve_dns(dns: Option<dns::Server>, stop: CancellationToken) {
    if let Some(dns) = dns {
        dns.run(stop).await;
    }
}

/// Forwards what the tables say.
pub(super) async fn forward(forwarder: Arc<gateway::l4::Forwarder>, mut tables: watch::Receiver<Arc<gateway::l4::L4Table>>) {
    loop {
        let table = tables.borrow_and_update().clone();
        for failure in forwarder.apply(table).await {
            tracing::warn!(%failure, "cannot forward");
        }
        if tables.changed().await.is_err() {
            return;
        }
    }
}
