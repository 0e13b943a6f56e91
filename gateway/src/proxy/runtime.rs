//! What is remembered between requests: the counters of each route and the state of each backend. Kept with the route itself, so that it is found at once.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::backend::BackendState;
use super::kept::RouteState;
use super::metrics::{Labels, Metrics, Series};
use crate::Snapshot;
use crate::table::{Action, Backend, Protocol, Route};

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
}

impl Runtime {
    /// Remembers nothing yet.
    pub(super) fn new(metrics: Metrics) -> Self {
        let unrouted = metrics.series(Labels::default());
        Self { metrics: Arc::new(metrics), unrouted, backends: Mutex::default() }
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
        RouteState { series: self.metrics.series(Labels::new(names(route))), backend }
    }

    fn backends(&self) -> MutexGuard<'_, HashMap<BackendKey, Arc<BackendState>>> {
        self.backends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what no route of the current snapshot asks for and nobody has. Where everything is had, that is all there is to find out; else it takes
    /// time in proportion to the routes that nobody asked for yet.
    pub(super) fn prune(&self, current: impl FnOnce() -> Arc<Snapshot>) {
        let (series, backends) = (self.metrics.unheld(), self.unheld_backends());
        if series.is_empty() && backends.is_empty() {
            return;
        }
        // Loaded after the look at who has what: one from before could lack a route that came, was asked for and was replaced since.
        self.resolve_heirs(&current(), &series, &backends);
        self.metrics.end_unheld(&series);
        let mut living = self.backends();
        for key in &backends {
            if living.get(key).is_some_and(is_unheld) {
                living.remove(key);
            }
        }
    }

    /// Gives what is left of earlier routes to the routes of the same names, so that they have it and no later search looks for it.
    fn resolve_heirs(&self, snapshot: &Snapshot, series: &[Arc<Labels>], backends: &[BackendKey]) {
        let series: HashSet<_> = series.iter().map(|labels| labels.names()).collect();
        let backends: HashSet<_> = backends.iter().map(|(name, protocol)| (name.as_str(), *protocol)).collect();
        let is_heir = |route: &Route| {
            series.contains(&names(route)) || backend(route).is_some_and(|backend| backends.contains(&(backend.name.as_str(), backend.protocol)))
        };
        for rule in snapshot.table.rules() {
            if rule.route.kept.get().is_none() && is_heir(&rule.route) {
                self.of(&rule.route);
            }
        }
    }

    fn unheld_backends(&self) -> Vec<BackendKey> {
        self.backends().iter().filter(|(_, state)| is_unheld(state)).map(|(key, _)| key.clone()).collect()
    }
}

/// Prunes once in a period, for ever, whether requests come or not. On a thread of its own: those that serve do not wait for it.
pub(super) async fn prune_always(runtime: Arc<Runtime>, snapshots: Arc<ArcSwap<Snapshot>>, period: Duration) {
    loop {
        tokio::time::sleep(period).await;
        let (runtime, snapshots) = (Arc::clone(&runtime), Arc::clone(&snapshots));
        if let Err(error) = tokio::task::spawn_blocking(move || runtime.prune(|| snapshots.load_full())).await {
            tracing::error!(%error, "what is remembered of routes that are gone could not be forgotten");
        }
    }
}

/// Under the lock nobody can begin to hold it.
fn is_unheld(state: &Arc<BackendState>) -> bool {
    Arc::strong_count(state) == 1
}

/// Namespace, Ingress and host as labels have them.
fn names(route: &Route) -> [&str; 3] {
    let id = &route.id;
    [&id.namespace, &id.ingress, if id.host.is_empty() { "_" } else { &id.host }]
}

fn backend(route: &Route) -> Option<&Backend> {
    match &route.action {
        Action::Forward(backend) => Some(backend),
        Action::Fail(_) => None,
    }
}

fn backend_key(backend: &Backend) -> BackendKey {
    (backend.name.clone(), backend.protocol)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::RoutingTable;
    use crate::proxy::metrics::Finished;
    use crate::table::{HostPattern, PathMatch, Policy, RouteId, Rule};

    fn route(ingress: &str, backend: &str) -> Arc<Route> {
        Arc::new(Route::new(
            RouteId { namespace: "ns".into(), ingress: ingress.into(), host: "a.test".into(), path: "/".into() },
            Arc::new(Policy::default()),
            Action::Forward(Arc::new(Backend {
                name: backend.into(),
                namespace: "ns".into(),
                service: backend.into(),
                port: "80".into(),
                protocol: Protocol::Http,
                server_name: String::new(),
                endpoints: vec![],
            })),
        ))
    }

    fn snapshot(routes: &[&Arc<Route>]) -> Arc<Snapshot> {
        let rule = |(at, route): (usize, &&Arc<Route>)| {
            Rule::new(HostPattern::Exact(format!("{at}.test").into()), PathMatch::Prefix("/".into()), Arc::clone(route))
        };
        Arc::new(Snapshot { table: RoutingTable::build(routes.iter().enumerate().map(rule)), ..Snapshot::default() })
    }

    fn runtime() -> (Runtime, prometheus::Registry) {
        let registry = prometheus::Registry::new();
        (Runtime::new(Metrics::new(&registry, Arc::default()).unwrap()), registry)
    }

    /// How many series are told of and how many backends are remembered. The series of requests that no route serves is always there.
    fn kept((runtime, registry): &(Runtime, prometheus::Registry)) -> (usize, usize) {
        let retries = registry.gather().into_iter().find(|family| family.name() == "vrata_http_upstream_retries_total");
        (retries.map_or(0, |family| family.get_metric().len()), runtime.backends().len())
    }

    #[test]
    fn state_outlives_its_route_while_another_route_needs_it_and_then_ends() {
        let all = runtime();
        let runtime = &all.0;
        let (one, two) = (route("one", "web"), route("two", "api"));
        let (before, _) = (runtime.of(&one), runtime.of(&two));
        assert!(std::ptr::eq(before, runtime.of(&one)));
        assert_eq!(kept(&all), (3, 2));

        // The same route of another configuration: another value with the same counters and backend.
        let again = route("one", "web");
        let after = runtime.of(&again);
        assert!(Arc::ptr_eq(&before.series, &after.series));
        assert!(Arc::ptr_eq(before.backend.as_ref().unwrap(), after.backend.as_ref().unwrap()));

        drop(one);
        drop(two);
        runtime.prune(|| snapshot(&[&again]));
        assert_eq!(kept(&all), (2, 1));
        drop(again);
        runtime.prune(|| snapshot(&[]));
        assert_eq!(kept(&all), (1, 0));
    }

    #[test]
    fn state_waits_for_a_route_that_nobody_asked_for_yet() {
        let all = runtime();
        let runtime = &all.0;
        let old = route("one", "web");
        let (series, backend) = (Arc::downgrade(&runtime.of(&old).series), Arc::downgrade(runtime.of(&old).backend.as_ref().unwrap()));
        drop(old);
        // One route has the counters, another one the backend.
        let (counted, served) = (route("one", "other"), route("two", "web"));
        runtime.prune(|| snapshot(&[&counted, &served]));
        assert!(series.upgrade().is_some_and(|series| Arc::ptr_eq(&series, &runtime.of(&counted).series)));
        assert!(backend.upgrade().is_some_and(|backend| Arc::ptr_eq(&backend, runtime.of(&served).backend.as_ref().unwrap())));
        runtime.prune(|| panic!("nothing is left that could end"));
    }

    #[test]
    fn a_route_that_nobody_asked_for_gets_no_state() {
        let all = runtime();
        let (gone, idle) = (route("gone", "web"), route("idle", "api"));
        all.0.of(&gone);
        drop(gone);
        all.0.prune(|| snapshot(&[&idle]));
        assert!(idle.kept.get().is_none());
        assert_eq!(kept(&all), (1, 0));
    }

    #[test]
    fn what_a_route_of_another_snapshot_has_is_told_of() {
        let all = runtime();
        let runtime = &all.0;
        let (old, new) = (route("one", "web"), route("one", "web"));
        runtime.of(&old);
        drop(old);
        // A request comes by a newer snapshot while the search is under way.
        runtime.prune(|| {
            runtime.of(&new);
            snapshot(&[])
        });
        assert_eq!(kept(&all), (2, 1));
        assert!(Arc::ptr_eq(&runtime.of(&new).series, &runtime.metrics.series(Labels::new(names(&new)))));
    }

    #[test]
    fn what_a_route_counts_is_told_once_while_it_is_served_and_when_it_ended() {
        let (registry, snapshots) = (prometheus::Registry::new(), Arc::<ArcSwap<Snapshot>>::default());
        let runtime = Runtime::new(Metrics::new(&registry, Arc::clone(&snapshots)).unwrap());
        let told = || {
            let families = registry.gather();
            let requests = families.iter().find(|family| family.name() == "vrata_http_requests_total");
            requests.map_or(0.0, |family| family.get_metric().iter().map(|metric| metric.get_counter().get_value()).sum())
        };
        let serve = |route: &Arc<Route>| {
            let route = runtime.resolved(route);
            let duration = Duration::from_millis(1);
            route.kept.record(&Finished { method: &http::Method::GET, status: 200, duration, received: 0, sent: 1, connect_failures: 0, retries: 0 });
            route
        };
        let (old, new) = (route("one", "web"), route("one", "web"));
        snapshots.store(snapshot(&[&old]));
        let mut under_way = vec![serve(&old), serve(&old)];
        assert_eq!((told(), told()), (2.0, 2.0));
        under_way.push(serve(&old));
        snapshots.store(snapshot(&[&new]));
        serve(&new);
        drop(old);
        assert_eq!(told(), 3.0);
        drop(under_way);
        assert_eq!((told(), told()), (4.0, 4.0));
    }
}
