//! What is remembered of a backend across configuration swaps: whose turn it is, and who failed to connect.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::balance::{self, Ejections};
use crate::table::{Backend, Endpoint};

/// Most tries to connect for one request, over all endpoints.
pub(crate) const MAX_TRIES: usize = 3;

/// Runtime state of one backend; keyed by its name and protocol.
#[derive(Debug)]
pub(super) struct BackendState {
    /// Keeps pooled connections apart: two backends never share one, even where they reach the same address.
    pub(super) group_key: u64,
    turn: AtomicUsize,
    any_ejected: AtomicBool,
    ejections: Mutex<Ejections>,
}

/// The endpoints that a request could not connect to.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tried {
    endpoints: [usize; MAX_TRIES],
    count: usize,
}

impl Tried {
    fn contains(&self, at: usize) -> bool {
        self.endpoints[..self.count].contains(&at)
    }

    /// Notes an endpoint; false when no further try is allowed.
    pub(super) fn push(&mut self, at: usize) -> bool {
        if let Some(slot) = self.endpoints.get_mut(self.count) {
            *slot = at;
            self.count += 1;
        }
        self.count < MAX_TRIES
    }

    /// How many failed.
    pub(super) const fn count(&self) -> usize {
        self.count
    }
}

impl BackendState {
    /// State for a backend that was not seen before.
    pub(super) fn new(backend: &Backend) -> Self {
        Self { group_key: group_key(backend), turn: AtomicUsize::new(0), any_ejected: AtomicBool::new(false), ejections: Mutex::default() }
    }

    /// The index of the endpoint to try next; `None` when there is none left.
    pub(super) fn next(&self, backend: &Backend, tried: &Tried, now: Duration) -> Option<usize> {
        let endpoints = &backend.endpoints;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        if !self.any_ejected.load(Ordering::Relaxed) {
            return balance::choose(endpoints.len(), turn, |at| tried.contains(at), |_| false);
        }
        let ejections = self.lock();
        balance::choose(endpoints.len(), turn, |at| tried.contains(at), |at| ejections.holds(&endpoints[at], now))
    }

    /// Takes note of a failed connection.
    pub(super) fn failed(&self, backend: &Backend, endpoint: &Endpoint, now: Duration) {
        let mut ejections = self.lock();
        ejections.retain(&backend.endpoints);
        ejections.failed(endpoint, now);
        self.any_ejected.store(true, Ordering::Relaxed);
    }

    /// Takes note of a connection that was made.
    pub(super) fn connected(&self, endpoint: &Endpoint) {
        if self.any_ejected.load(Ordering::Relaxed) {
            let mut ejections = self.lock();
            ejections.connected(endpoint);
            self.any_ejected.store(!ejections.is_empty(), Ordering::Relaxed);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ejections> {
        self.ejections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Namespace, Service, port and protocol in one number; deterministic within a process.
fn group_key(backend: &Backend) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&backend.namespace, &backend.service, &backend.port, backend.protocol, &backend.server_name).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::table::Protocol;

    fn backend(namespace: &str, protocol: Protocol, ports: &[u16]) -> Backend {
        Backend {
            name: format!("{namespace}-web-80"),
            namespace: namespace.into(),
            service: "web".into(),
            port: "80".into(),
            protocol,
            server_name: format!("web.{namespace}.svc"),
            endpoints: ports.iter().map(|port| Endpoint::Address(([192, 0, 2, 1], *port).into())).collect(),
        }
    }

    #[test]
    fn endpoints_take_turns() {
        let backend = backend("a", Protocol::Http, &[1, 2, 3]);
        let state = BackendState::new(&backend);
        let picks: Vec<_> = (0..5).map(|_| state.next(&backend, &Tried::default(), Duration::ZERO)).collect();
        assert_eq!(picks, [Some(0), Some(1), Some(2), Some(0), Some(1)]);
    }

    #[test]
    fn failed_endpoint_is_passed_over_until_its_ejection_ends() {
        let backend = backend("a", Protocol::Http, &[1, 2]);
        let state = BackendState::new(&backend);
        state.failed(&backend, &backend.endpoints[0], Duration::ZERO);
        let at = |now| (0..4).map(|_| state.next(&backend, &Tried::default(), now)).collect::<Vec<_>>();
        assert_eq!(at(Duration::ZERO), [Some(1); 4]);
        assert_eq!(at(Duration::from_secs(2)), [Some(0), Some(1), Some(0), Some(1)]);
        state.connected(&backend.endpoints[0]);
        assert_eq!(at(Duration::ZERO), [Some(0), Some(1), Some(0), Some(1)]);
    }

    #[test]
    fn each_endpoint_is_tried_once_and_three_at_most() {
        let few = backend("a", Protocol::Http, &[1, 2]);
        let (state, mut tried) = (BackendState::new(&few), Tried::default());
        assert!(tried.push(state.next(&few, &tried, Duration::ZERO).unwrap()));
        assert!(tried.push(state.next(&few, &tried, Duration::ZERO).unwrap()));
        assert_eq!((state.next(&few, &tried, Duration::ZERO), tried.count()), (None, 2));
        assert!(!tried.push(7));
        assert!(!tried.push(8));
        assert_eq!(tried.count(), MAX_TRIES);
    }

    #[test]
    fn group_keys_differ_by_namespace_and_protocol() {
        let keys = [("a", Protocol::Http), ("b", Protocol::Http), ("a", Protocol::Grpc), ("a", Protocol::Https)]
            .map(|(namespace, protocol)| BackendState::new(&backend(namespace, protocol, &[1])).group_key);
        let distinct: std::collections::BTreeSet<_> = keys.into_iter().collect();
        assert_eq!(distinct.len(), 4);
        assert_eq!(keys[0], BackendState::new(&backend("a", Protocol::Http, &[2])).group_key);
    }
}
