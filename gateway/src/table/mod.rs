//! Which route wins: hosts, paths and their precedence (ingress-nginx 1.15 semantics). Pure.

mod route;

use std::sync::Arc;

pub use route::{
    Action, Backend, BasicAuth, Endpoint, HostPattern, PasswordHash, PathMatch, Policy, Protocol, Route, RouteId, TlsRedirect, UnsupportedHash,
};

/// All hosts with their routes.
#[derive(Debug, Default)]
pub struct RoutingTable {}

/// One rule as it is put into the table.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its hosts.
    pub host: HostPattern,
    /// Its paths.
    pub path: PathMatch,
    /// What it does.
    pub route: Arc<Route>,
}

impl RoutingTable {
    /// Builds the table. Rules come in order of precedence: where two have the same host and path, the first one is kept.
    #[must_use]
    pub fn build(_rules: impl IntoIterator<Item = Rule>) -> Self {
        Self {}
    }

    /// The route for a host and path. Both are as the request has them: the host without its port, in any case, perhaps with a trailing dot; the path
    /// without its query.
    #[must_use]
    pub fn find(&self, _host: &str, _path: &str) -> Option<&Arc<Route>> {
        None
    }
}
