//! Brings what runs in line with the table: binds, swaps, removes, tries again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::DropGuard;
use tokio_util::task::AbortOnDropHandle;

use super::metrics::Metrics;
use super::serving::{Serving, Shared, Tenure};
use super::{L4Table, Limits, Listener, Transport, bind, tcp, udp};

/// The longest pause between two attempts to bind.
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// An address and port that could not be bound; the others are served.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot bind {transport} {address} for Service {service}: {source}")]
pub struct BindFailure {
    /// What was to be bound.
    pub address: SocketAddr,
    /// TCP or UDP.
    pub transport: Transport,
    /// `namespace/service`.
    pub service: String,
    /// What the operating system says.
    pub source: Arc<io::Error>,
}

/// Forwards TCP and UDP by the last [`L4Table`] that was applied. Needs a tokio runtime; dropping it resets every connection.
#[derive(Debug)]
pub struct Forwarder {
    inner: Arc<Inner>,
    _abort: DropGuard,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    state: Mutex<State>,
    failures: watch::Sender<Vec<BindFailure>>,
}

#[derive(Debug, Default)]
struct State {
    table: Arc<L4Table>,
    running: BTreeMap<(SocketAddr, Transport), Running>,
    /// Services that have metrics.
    labelled: BTreeSet<(String, Transport)>,
    retry: Option<AbortOnDropHandle<()>>,
    shut_down: bool,
}

/// A bound socket.
#[derive(Debug)]
struct Running {
    serving: watch::Sender<Arc<Serving>>,
    task: AbortOnDropHandle<()>,
}

enum Socket {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

impl Forwarder {
    /// A forwarder without listeners and with default limits. Its metrics `vrata_l4_*` are registered here.
    ///
    /// # Errors
    /// When the registry already holds metrics of these names.
    pub fn new(registry: &prometheus::Registry) -> Result<Self, prometheus::Error> {
        Self::with_limits(registry, Limits::default())
    }

    /// [`Self::new`] with other limits.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_limits(registry: &prometheus::Registry, limits: Limits) -> Result<Self, prometheus::Error> {
        let shared = Arc::new(Shared::new(limits, Metrics::register(registry)?));
        let abort = shared.abort.clone().drop_guard();
        let inner = Inner { shared, state: Mutex::default(), failures: watch::Sender::new(Vec::new()) };
        Ok(Self { inner: Arc::new(inner), _abort: abort })
    }

    /// Brings the listeners in line with the table and returns those that could not be bound; these are tried again, at growing intervals and by the next
    /// call. A listener that stays keeps its socket and connections, and new connections follow the new endpoints and limits. A listener that is gone
    /// accepts no more when this returns; its TCP connections, and those of a listener that another Service has got, end within [`Limits::drain`], its UDP
    /// sessions at once. After [`Self::shutdown`] this does nothing.
    pub async fn apply(&self, table: Arc<L4Table>) -> Vec<BindFailure> {
        let mut state = self.inner.state.lock().await;
        if state.shut_down {
            return Vec::new();
        }
        state.retry = None;
        state.table = table;
        self.inner.remove(&mut state).await;
        self.inner.swap(&state);
        let failures = self.inner.bind(&mut state);
        if !failures.is_empty() {
            state.retry = Some(AbortOnDropHandle::new(tokio::spawn(retry(Arc::downgrade(&self.inner), self.inner.shared.limits.bind_retry))));
        }
        failures
    }

    /// What cannot be bound now; changes with each call of [`Self::apply`] and each retry.
    #[must_use]
    pub fn failures(&self) -> watch::Receiver<Vec<BindFailure>> {
        self.inner.failures.subscribe()
    }

    /// Stops accepting and ends UDP sessions at once, lets TCP connections go on until `deadline`, and resets those that are left.
    pub async fn shutdown(&self, deadline: Instant) {
        let shared = &self.inner.shared;
        let mut state = self.inner.state.lock().await;
        *state =
            State { shut_down: true, labelled: std::mem::take(&mut state.labelled), running: std::mem::take(&mut state.running), ..State::default() };
        for (_, running) in std::mem::take(&mut state.running) {
            running.stop().await;
        }
        self.inner.publish(&mut state, Vec::new());
        shared.tasks.close();
        if timeout_at(deadline, shared.tasks.wait()).await.is_err() {
            shared.abort.cancel();
            shared.tasks.wait().await;
        }
    }
}

impl Inner {
    /// Stops what is not in the table any more, so that its addresses are free for what comes.
    async fn remove(&self, state: &mut State) {
        let State { table, running, .. } = state;
        let gone: Vec<_> = running.extract_if(.., |key, running| !table.listeners.contains_key(key) || running.task.is_finished()).collect();
        for (_, running) in gone {
            self.retire(&running.serving.borrow().tenure);
            running.stop().await;
        }
    }

    fn swap(&self, state: &State) {
        for ((address, transport), running) in &state.running {
            let Some(listener) = state.table.listeners.get(&(*address, *transport)) else { continue };
            let current = Arc::clone(&running.serving.borrow());
            let Some(next) = current.successor(&self.shared, &state.table, *transport, listener) else { continue };
            if !Arc::ptr_eq(&next.tenure, &current.tenure) {
                self.retire(&current.tenure);
            }
            running.serving.send_replace(Arc::new(next));
        }
    }

    /// Binds what is not bound yet.
    fn bind(&self, state: &mut State) -> Vec<BindFailure> {
        let mut failures = Vec::new();
        let table = Arc::clone(&state.table);
        for (&(address, transport), listener) in &table.listeners {
            if state.running.contains_key(&(address, transport)) {
                continue;
            }
            match self.start(&table, address, transport, listener) {
                Ok(running) => _ = state.running.insert((address, transport), running),
                Err(error) => failures.push(BindFailure { address, transport, service: listener.service.clone(), source: Arc::new(error) }),
            }
        }
        self.publish(state, failures.clone());
        failures
    }

    fn start(&self, table: &L4Table, address: SocketAddr, transport: Transport, listener: &Listener) -> io::Result<Running> {
        // The socket comes first: a Service that cannot be bound has no metrics.
        let socket = match transport {
            Transport::Tcp => Socket::Tcp(bind::tcp(address)?),
            Transport::Udp => Socket::Udp(bind::udp(address)?),
        };
        let (serving, receiver) = watch::channel(Arc::new(Serving::new(&self.shared, table, transport, listener)));
        let shared = Arc::clone(&self.shared);
        let task = match socket {
            Socket::Tcp(socket) => tokio::spawn(tcp::serve(socket, receiver, shared)),
            Socket::Udp(socket) => tokio::spawn(udp::serve(socket, receiver, shared)),
        };
        Ok(Running { serving, task: AbortOnDropHandle::new(task) })
    }

    /// Gives connections of a Service that lost its listener the time to end.
    fn retire(&self, tenure: &Tenure) {
        let (abort, drain) = (tenure.abort.clone(), self.shared.limits.drain);
        tokio::spawn(async move {
            if abort.run_until_cancelled(sleep(drain)).await.is_some() {
                abort.cancel();
            }
        });
    }

    fn publish(&self, state: &mut State, failures: Vec<BindFailure>) {
        let service = |(transport, running): (&Transport, &Running)| (running.serving.borrow().listener.service.clone(), *transport);
        let labelled: BTreeSet<_> = state.running.iter().map(|((_, transport), running)| service((transport, running))).collect();
        let metrics = &self.shared.metrics;
        metrics.forget(&state.labelled, &labelled);
        metrics.listeners.set(i64::try_from(state.running.len()).unwrap_or(i64::MAX));
        metrics.bind_failures.set(i64::try_from(failures.len()).unwrap_or(i64::MAX));
        state.labelled = labelled;
        self.failures.send_replace(failures);
    }
}

impl Running {
    /// Closes the socket; it is closed when this returns.
    async fn stop(self) {
        self.task.abort();
        // It was cancelled, or has panicked and is gone as well.
        let _ = self.task.await;
    }
}

/// Tries again what could not be bound, until nothing is left.
async fn retry(inner: Weak<Inner>, first_pause: Duration) {
    let mut pause = first_pause;
    loop {
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_RETRY);
        let Some(inner) = inner.upgrade() else { return };
        let mut state = inner.state.lock().await;
        if inner.bind(&mut state).is_empty() {
            return;
        }
    }
}
