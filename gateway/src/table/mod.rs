//! Which route wins: hosts, paths and their precedence (ingress-nginx 1.15 semantics). Pure.

mod password;
pub mod path;
mod route;

use std::sync::Arc;

pub use password::{PasswordHash, UnsupportedHash};
pub use route::{Action, Backend, BasicAuth, Endpoint, HostPattern, PathMatch, Policy, Protocol, Route, RouteId, TlsRedirect};

/// All hosts with their routes.
#[derive(Debug, Default)]
pub struct RoutingTable {}

/// One rule as it is put into the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its hosts.
    pub host: HostPattern,
    /// Its paths.
    pub path: PathMatch,
    /// What it does.
    pub route: Arc<Route>,
}

/// What a host and path select, and why.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Selection<'a> {
    /// A rule.
    Route(&'a Rule),
    /// No pattern matches the host.
    UnknownHost,
    /// The host is known by this pattern, and none of its paths matches. Less specific hosts are not asked.
    NoPath(&'a HostPattern),
    /// The path as it is written selects one rule, but as backends commonly decode it another one with a different backend or policy.
    Ambiguous {
        /// Rule for the path as it is written.
        written: Option<&'a Rule>,
        /// Rule for the path decoded.
        decoded: Option<&'a Rule>,
    },
}

impl RoutingTable {
    /// Builds the table. Rules come in order of precedence: where two have the same host and path, the first one is kept.
    #[must_use]
    pub fn build(_rules: impl IntoIterator<Item = Rule>) -> Self {
        Self {}
    }

    /// The route for a host and path. Both are as the request has them: the host without its port, in any case, perhaps with a trailing dot; the path
    /// without its query, and accepted by [`path::check`].
    ///
    /// `None` also where a backend may read the path differently and so reach what another route protects ([`Selection::Ambiguous`]).
    #[must_use]
    pub fn find(&self, host: &str, path: &str) -> Option<&Arc<Route>> {
        match self.select(host, path) {
            Selection::Route(rule) => Some(&rule.route),
            Selection::UnknownHost | Selection::NoPath(_) | Selection::Ambiguous { .. } => None,
        }
    }

    /// What [`Self::find`] finds, and why.
    #[must_use]
    pub fn select(&self, _host: &str, _path: &str) -> Selection<'_> {
        Selection::UnknownHost
    }

    /// All rules that can be selected, in no particular order.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        std::iter::empty()
    }
}
