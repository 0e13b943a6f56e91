//! Where the name of an ExternalName Service leads: resolved when a request needs it, remembered for a moment, and never to the gateway itself.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::table::may_reach;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer is used.
const LIFETIME: Duration = Duration::from_secs(5);
/// Names that are remembered; beyond it the memory starts anew.
const MAX_NAMES: usize = 4096;
/// Resolutions at a time, so that slow name servers of one tenant cannot take all blocking threads.
const MAX_CONCURRENT: usize = 32;

/// Why a name leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ResolveError {
    /// It does not resolve.
    #[error("the external name does not resolve")]
    NotFound,
    /// The name server did not answer in time, or too many names are being resolved.
    #[error("resolving the external name took too long")]
    TimedOut,
    /// Every address is one that a tenant must not reach through the gateway.
    #[error("the external name leads to a loopback, link-local, unspecified or multicast address")]
    Forbidden,
}

/// The first address that is allowed, IPv4 and IPv6 alike, in the resolver's order.
fn first_allowed(addresses: impl Iterator<Item = SocketAddr>, allow_loopback: bool) -> Result<SocketAddr, ResolveError> {
    let mut outcome = Err(ResolveError::NotFound);
    for address in addresses {
        if may_reach(address.ip(), allow_loopback) {
            return Ok(address);
        }
        outcome = Err(ResolveError::Forbidden);
    }
    outcome
}

/// Resolves names.
#[derive(Debug)]
pub(super) struct ExternalNames {
    allow_loopback: bool,
    known: Mutex<HashMap<(String, u16), Known>>,
    turns: Semaphore,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    outcome: Result<SocketAddr, ResolveError>,
    until: Duration,
}

impl ExternalNames {
    /// `allow_loopback` is for machines that serve only themselves.
    pub(super) fn new(allow_loopback: bool) -> Arc<Self> {
        Arc::new(Self { allow_loopback, known: Mutex::default(), turns: Semaphore::new(MAX_CONCURRENT) })
    }

    /// The address of a name and port, at `now`.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn resolve(&self, name: &str, port: u16, now: Duration) -> Result<SocketAddr, ResolveError> {
        let key = (name.to_owned(), port);
        if let Some(known) = self.known().get(&key).filter(|known| now < known.until) {
            return known.outcome;
        }
        let outcome = tokio::time::timeout(TIMEOUT, self.ask(name, port)).await.unwrap_or(Err(ResolveError::TimedOut));
        if self.remember(key, Known { outcome, until: now + LIFETIME }) {
            tracing::warn!(name, port, "{}; requests to it answer an error: name another host in the Service or auth-url", ResolveError::Forbidden);
        }
        outcome
    }

    /// Keeps an answer. Returns whether it is news that the name leads where it must not: to be told once, not for each answer.
    fn remember(&self, key: (String, u16), answer: Known) -> bool {
        let mut known = self.known();
        if known.len() >= MAX_NAMES {
            known.clear();
        }
        let before = known.insert(key, answer);
        let is_forbidden = |known: Known| known.outcome == Err(ResolveError::Forbidden);
        is_forbidden(answer) && !before.is_some_and(is_forbidden)
    }

    async fn ask(&self, name: &str, port: u16) -> Result<SocketAddr, ResolveError> {
        let _turn = self.turns.acquire().await.map_err(|_| ResolveError::TimedOut)?;
        let addresses = tokio::net::lookup_host((name, port)).await.map_err(|_| ResolveError::NotFound)?;
        first_allowed(addresses, self.allow_loopback)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<(String, u16), Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn first_allowed_address_is_taken() {
        let of = |addresses: &[&str]| first_allowed(addresses.iter().map(|a| a.parse().unwrap()).collect::<Vec<_>>().into_iter(), false);
        assert_eq!(of(&[]), Err(ResolveError::NotFound));
        assert_eq!(of(&["127.0.0.1:80"]), Err(ResolveError::Forbidden));
        assert_eq!(of(&["127.0.0.1:80", "192.0.2.1:80"]), Ok("192.0.2.1:80".parse().unwrap()));
    }

    #[tokio::test]
    async fn literal_loopback_is_refused_unless_allowed() {
        let at = Duration::ZERO;
        assert_eq!(ExternalNames::new(false).resolve("127.0.0.1", 80, at).await, Err(ResolveError::Forbidden));
        assert_eq!(ExternalNames::new(true).resolve("127.0.0.1", 80, at).await, Ok("127.0.0.1:80".parse().unwrap()));
        assert_eq!(ExternalNames::new(false).resolve("localhost", 80, at).await, Err(ResolveError::Forbidden));
    }

    #[tokio::test]
    async fn answers_are_remembered_for_a_moment() {
        let names = ExternalNames::new(false);
        let key = || ("remembered.invalid".to_owned(), 80);
        let address: SocketAddr = "192.0.2.1:80".parse().unwrap();
        names.known().insert(key(), Known { outcome: Ok(address), until: LIFETIME });
        assert_eq!(names.resolve("remembered.invalid", 80, Duration::ZERO).await, Ok(address));
        assert_eq!(names.known().len(), 1);
    }

    #[test]
    fn a_forbidden_name_is_news_once_until_it_leads_elsewhere() {
        let names = ExternalNames::new(false);
        let forbidden = Err(ResolveError::Forbidden);
        let allowed = Ok("192.0.2.1:80".parse().unwrap());
        for (name, outcome, expected) in [
            ("a.test", Err(ResolveError::NotFound), false),
            ("a.test", forbidden, true),
            ("a.test", forbidden, false),
            ("b.test", forbidden, true),
            ("a.test", allowed, false),
            ("a.test", forbidden, true),
        ] {
            assert_eq!(names.remember((name.to_owned(), 80), Known { outcome, until: LIFETIME }), expected, "{name} {outcome:?}");
        }
    }
}
