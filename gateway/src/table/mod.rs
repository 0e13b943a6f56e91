//! Which route wins: hosts, paths and their precedence (ingress-nginx 1.15 semantics). Pure.
//!
//! 1. Host: exact, else the wildcard exactly one label up, else the catch-all. Whichever is found decides alone: a host whose paths do not match is not
//!    looked for among less specific hosts.
//! 2. Path: Exact, else the longest Prefix on segment boundaries. The path is compared byte for byte as the backend sees it; see [`path`].
//! 3. Of two rules with the same host and path, the first one.

mod external_auth;
mod host;
mod part;
mod password;
pub mod path;
mod paths;
mod reach;
mod route;
mod template;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use crate::proxy::Kept;
pub(crate) use external_auth::Destination;
pub use external_auth::{AuthUrl, AuthUrlError, ExternalAuth, sign_in};
pub(crate) use host::{FoldedHost, HostKey, HostMap};
pub use part::TablePart;
pub use password::{PasswordHash, UnsupportedHash};
use paths::HostRules;
pub use reach::{may_reach, may_reach_host};
pub use route::{Action, Backend, BasicAuth, Endpoint, Failure, HostPattern, PathMatch, Policy, Protocol, Route, RouteId, TlsRedirect};
pub(crate) use template::Original;
pub use template::{Template, TemplateError};

/// All hosts with their routes.
#[derive(Debug, Default)]
pub struct RoutingTable {
    hosts: HostMap<HostRules>,
    any: Option<HostRules>,
}

/// One rule as it is put into the table. A copy shares its parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// What it does.
    pub route: Arc<Route>,
    /// Elsewhere: most requests need not read it, and small rules lie close together.
    matches: Arc<(HostPattern, PathMatch)>,
}

impl Rule {
    /// A rule for these hosts and paths.
    #[must_use]
    pub fn new(host: HostPattern, path: PathMatch, route: Arc<Route>) -> Self {
        Self { route, matches: Arc::new((host, path)) }
    }

    /// Its hosts.
    #[must_use]
    pub fn host(&self) -> &HostPattern {
        &self.matches.0
    }

    /// Its paths.
    #[must_use]
    pub fn path(&self) -> &PathMatch {
        &self.matches.1
    }
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
    /// The path as it is written selects one rule, and as backends commonly decode it another one with a different backend or policy.
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
    pub fn build(rules: impl IntoIterator<Item = Rule>) -> Self {
        Self::of([&TablePart::new(rules)])
    }

    /// Puts parts together that have no host in common; of one that several have, the first part's rules are kept. Takes a few references for each host:
    /// nothing of a rule is copied, and nothing is sorted.
    #[must_use]
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a TablePart>) -> Self {
        let parts: Vec<_> = parts.into_iter().collect();
        let wildcards = parts.iter().map(|part| part.wildcards()).sum();
        let exact = parts.iter().map(|part| part.hosts().len()).sum::<usize>() - wildcards;
        let mut hosts = HostMap::with_capacity(exact, wildcards);
        for (key, rules) in parts.iter().flat_map(|part| part.hosts()) {
            hosts.add(key, || rules.clone());
        }
        Self { hosts, any: parts.iter().find_map(|part| part.any()).cloned() }
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

    /// What [`Self::find`] finds, and why. Allocates nothing, except for paths of more than a kilobyte that can be read in two ways.
    #[must_use]
    pub fn select(&self, host: &str, path: &str) -> Selection<'_> {
        let Some(host) = FoldedHost::new(host).and_then(|host| self.hosts.get(&host).or(self.any.as_ref())) else {
            return Selection::UnknownHost;
        };
        let written = host.find(path);
        if host.rules().len() > 1 && path::has_second_reading(path.as_bytes()) {
            let decoded = host.find_decoded(path);
            if !serve_alike(written, decoded) {
                return Selection::Ambiguous { written, decoded };
            }
        }
        match (written, host.rules().first()) {
            (Some(rule), _) => Selection::Route(rule),
            (None, Some(rule)) => Selection::NoPath(rule.host()),
            (None, None) => Selection::UnknownHost,
        }
    }

    /// All rules that can be selected, in no particular order.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.hosts.values().chain(&self.any).flat_map(HostRules::rules)
    }

    /// The same by host and path.
    #[must_use]
    pub fn rules_in_order(&self) -> Vec<&Rule> {
        let mut rules: Vec<_> = self.rules().collect();
        rules.sort_by(|a, b| a.matches.cmp(&b.matches));
        rules
    }
}

/// Whether it makes no difference which of the two is taken.
fn serve_alike(one: Option<&Rule>, other: Option<&Rule>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => {
            Arc::ptr_eq(&one.route, &other.route) || (one.route.action == other.route.action && one.route.policy == other.route.policy)
        }
        (None, None) => true,
        _ => false,
    }
}
