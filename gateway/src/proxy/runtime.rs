//! What is remembered between requests: the counters of each route and the state of each backend. Kept with the route itself, so that it is found at once.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::backend::BackendState;
use super::metrics::{Labels, Metrics, Series};
use crate::Snapshot;
use crate::table::{Action, Backend, Protocol, Route};

/// What belongs to one route.
#[derive(Debug)]
pub(crate) struct RouteState {
    /// Its counters.
    pub(super) series: Arc<Series>,
    /// Its backend; none where it fails by configuration.
    pub(super) backend: Option<Arc<BackendState>>,
}

type BackendKey = (String, Protocol);

/// All of it.
#[derive(Debug)]
pub(super) struct Runtime {
    /// Counters and gauges.
    pub(super) metrics: Arc<Metrics>,
    /// Counters of requests that no route serves.
    pub(super) unrouted: Arc<Series>,
    /// Survive the routes, as long as some route refers to them; so do the series.
    backends: Mutex<HashMap<BackendKey, Arc<BackendState>>>,
    pruned_generation: AtomicU64,
}

impl Runtime {
    /// Remembers nothing yet.
    pub(super) fn new(metrics: Metrics) -> Self {
        let unrouted = metrics.series(Labels::default());
        Self { metrics: Arc::new(metrics), unrouted, backends: Mutex::default(), pruned_generation: AtomicU64::new(0) }
    }

    /// The state of a route. A route is served by one runtime only.
    pub(super) fn of<'a>(&self, route: &'a Route) -> &'a RouteState {
        route.kept.get_or_init(|| self.resolve(route))
    }

    /// The route for a request to keep, with its state in it.
    pub(super) fn resolved(&self, route: &Arc<Route>) -> Arc<Route> {
        self.of(route);
        Arc::clone(route)
    }

    fn resolve(&self, route: &Route) -> RouteState {
        let backend = backend(route).map(|backend| {
            let mut backends = self.backends();
            Arc::clone(backends.entry(backend_key(backend)).or_insert_with(|| Arc::new(BackendState::new(backend))))
        });
        RouteState { series: self.metrics.series(labels(route)), backend }
    }

    fn backends(&self) -> MutexGuard<'_, HashMap<BackendKey, Arc<BackendState>>> {
        self.backends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a snapshot is the first of its generation to be seen here: then [`Self::prune`] is due, once.
    pub(super) fn is_new(&self, generation: u64) -> bool {
        let pruned = self.pruned_generation.load(Ordering::Relaxed);
        generation > pruned && self.pruned_generation.compare_exchange(pruned, generation, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Forgets what the snapshot has no route for. Takes time in proportion to the routes.
    pub(super) fn prune(&self, snapshot: &Snapshot) {
        // That of requests that no route serves stays.
        let mut live_series = HashSet::from([Labels::default()]);
        let mut live_backends = HashSet::new();
        for rule in snapshot.table.rules() {
            live_series.insert(labels(&rule.route));
            live_backends.extend(backend(&rule.route).map(backend_key));
        }
        self.backends().retain(|key, _| live_backends.contains(key));
        self.metrics.retain(&live_series);
    }
}

fn labels(route: &Route) -> Labels {
    let id = &route.id;
    let host = if id.host.is_empty() { "_" } else { &id.host };
    Labels { namespace: id.namespace.clone(), ingress: id.ingress.clone(), host: host.to_owned() }
}

fn backend(route: &Route) -> Option<&Backend> {
    match &route.action {
        Action::Forward(backend) => Some(backend),
        Action::Fail { .. } => None,
    }
}

fn backend_key(backend: &Backend) -> BackendKey {
    (backend.name.clone(), backend.protocol)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::RoutingTable;
    use crate::table::{HostPattern, Kept, PathMatch, Policy, RouteId, Rule};

    fn route(ingress: &str, backend: &str) -> Arc<Route> {
        Arc::new(Route {
            id: RouteId { namespace: "ns".into(), ingress: ingress.into(), host: "a.test".into(), path: "/".into() },
            policy: Arc::new(Policy::default()),
            action: Action::Forward(Arc::new(Backend {
                name: backend.into(),
                namespace: "ns".into(),
                service: backend.into(),
                port: "80".into(),
                protocol: Protocol::Http,
                server_name: String::new(),
                endpoints: vec![],
            })),
            kept: Kept::default(),
        })
    }

    fn snapshot(generation: u64, routes: &[&Arc<Route>]) -> Snapshot {
        let rule = |(at, route): (usize, &&Arc<Route>)| Rule {
            host: HostPattern::Exact(format!("{at}.test")),
            path: PathMatch::Prefix("/".into()),
            route: Arc::clone(route),
        };
        Snapshot { generation, table: RoutingTable::build(routes.iter().enumerate().map(rule).collect::<Vec<_>>()), ..Snapshot::default() }
    }

    /// How many series are told of and how many backends are remembered.
    fn kept(runtime: &Runtime, registry: &prometheus::Registry) -> (usize, usize) {
        let retries = registry.gather().into_iter().find(|family| family.name() == "vrata_http_upstream_retries_total");
        (retries.map_or(0, |family| family.get_metric().len()), runtime.backends().len())
    }

    #[test]
    fn state_outlives_its_route_while_another_route_needs_it_and_then_ends() {
        let registry = prometheus::Registry::new();
        let runtime = Runtime::new(Metrics::new(&registry).unwrap());
        let (one, two) = (route("one", "web"), route("two", "api"));
        let (before, _) = (runtime.of(&one), runtime.of(&two));
        assert!(std::ptr::eq(before, runtime.of(&one)));
        assert_eq!(kept(&runtime, &registry), (3, 2));

        // The same route of another configuration: another value with the same counters and backend.
        let again = route("one", "web");
        let after = runtime.of(&again);
        assert!(Arc::ptr_eq(&before.series, &after.series));
        assert!(Arc::ptr_eq(before.backend.as_ref().unwrap(), after.backend.as_ref().unwrap()));

        drop(one);
        drop(two);
        runtime.prune(&snapshot(1, &[&again]));
        assert_eq!(kept(&runtime, &registry), (2, 1));
        drop(again);
        runtime.prune(&snapshot(2, &[]));
        // The series of requests that no route serves is always there.
        assert_eq!(kept(&runtime, &registry), (1, 0));
    }

    #[test]
    fn each_generation_is_pruned_once_and_older_ones_never() {
        let runtime = Runtime::new(Metrics::new(&prometheus::Registry::new()).unwrap());
        assert_eq!([0, 1, 1, 3, 2, 3, 4].map(|generation| runtime.is_new(generation)), [false, true, false, true, false, false, true]);
    }
}
