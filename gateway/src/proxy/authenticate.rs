//! Checks Basic credentials without holding up other requests: slow hashes are computed on blocking threads, few at a time, and never all of them for one
//! namespace.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::basic;
use super::verified::{Fingerprint, Verified};
use crate::table::BasicAuth;

/// Longest wait for a turn to have a password hash computed; then the request is answered 503.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The user may pass.
    Passed(String),
    /// No credentials, or wrong ones.
    Refused,
    /// Too many are being checked.
    Overloaded,
}

/// Checks credentials.
#[derive(Debug)]
pub(super) struct Authenticator {
    key: [u8; 32],
    verified: Mutex<Verified>,
    turns: Arc<Semaphore>,
    /// Turns that one namespace may have at a time.
    share: usize,
    shares: Mutex<HashMap<String, Arc<Semaphore>>>,
    longest_wait: Duration,
}

/// A turn to have a hash computed; it goes back when dropped.
type Turn = (OwnedSemaphorePermit, OwnedSemaphorePermit);

impl Authenticator {
    /// `turns` hashes are computed at a time, two at least, and half of them for one namespace; `key` is random.
    pub(super) fn new(key: [u8; 32], turns: usize) -> Self {
        let turns = turns.max(2);
        Self {
            key,
            verified: Mutex::default(),
            turns: Arc::new(Semaphore::new(turns)),
            share: turns / 2,
            shares: Mutex::default(),
            longest_wait: LONGEST_WAIT,
        }
    }

    /// Checks the `Authorization` header of a request against the users of a route in `namespace`, at `now`.
    pub(super) async fn check(&self, namespace: &str, auth: &BasicAuth, authorization: Option<&HeaderValue>, now: Duration) -> Verdict {
        let Some(credentials) = authorization.and_then(basic::credentials) else { return Verdict::Refused };
        let Some(hash) = auth.users.get(&credentials.user) else { return Verdict::Refused };
        let fingerprint = Fingerprint::of(&self.key, namespace, &credentials);
        if self.verified().holds(&fingerprint, hash, now) {
            return Verdict::Passed(credentials.user);
        }
        let Ok(Some(turn)) = tokio::time::timeout(self.longest_wait, self.turn(namespace)).await else {
            return Verdict::Overloaded;
        };
        let (owned, password) = (hash.clone(), credentials.password);
        let computed = tokio::task::spawn_blocking(move || {
            let fits = owned.verify(&password);
            drop(turn);
            fits
        });
        match computed.await {
            Ok(true) => {
                self.verified().insert(fingerprint, hash.clone(), now);
                Verdict::Passed(credentials.user)
            }
            Ok(false) => Verdict::Refused,
            Err(_) => Verdict::Overloaded,
        }
    }

    /// Waits for the namespace's share first, so that who waits for it takes no turn from the others.
    async fn turn(&self, namespace: &str) -> Option<Turn> {
        let share = self.share_of(namespace).acquire_owned().await.ok()?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        Some((share, turn))
    }

    fn share_of(&self, namespace: &str) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(namespace) {
            return Arc::clone(share);
        }
        // Nobody computes or waits where this is the only reference.
        shares.retain(|_, share| Arc::strong_count(share) > 1);
        let share = Arc::new(Semaphore::new(self.share));
        shares.insert(namespace.to_owned(), Arc::clone(&share));
        share
    }

    fn verified(&self) -> std::sync::MutexGuard<'_, Verified> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::*;
    use crate::table::PasswordHash;

    fn auth() -> BasicAuth {
        // htpasswd: jane / secret
        let hash = PasswordHash::parse("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=").unwrap();
        BasicAuth { realm: "Staff".into(), users: BTreeMap::from([("jane".into(), hash)]) }
    }

    async fn check(authenticator: &Authenticator, namespace: &str, header: &'static str) -> Verdict {
        let header = HeaderValue::from_static(header);
        authenticator.check(namespace, &auth(), Some(&header).filter(|header| !header.is_empty()), Duration::ZERO).await
    }

    const RIGHT: &str = "Basic amFuZTpzZWNyZXQ=";

    #[tokio::test]
    async fn only_a_known_user_with_the_right_password_passes() {
        let authenticator = Authenticator::new([7; 32], 1);
        for (header, expected) in [
            (RIGHT, Verdict::Passed("jane".into())),
            (RIGHT, Verdict::Passed("jane".into())),
            ("Basic amFuZTp3cm9uZw==", Verdict::Refused),
            ("Basic am9objpzZWNyZXQ=", Verdict::Refused),
            ("Bearer x", Verdict::Refused),
            ("", Verdict::Refused),
        ] {
            assert_eq!(check(&authenticator, "ns", header).await, expected, "{header}");
        }
    }

    #[tokio::test]
    async fn a_namespace_whose_hashes_take_long_holds_up_itself_alone() {
        let authenticator = Authenticator { longest_wait: Duration::from_millis(50), ..Authenticator::new([7; 32], 4) };
        let (_first, _second) = (authenticator.turn("busy").await.unwrap(), authenticator.turn("busy").await.unwrap());
        assert_eq!(check(&authenticator, "busy", RIGHT).await, Verdict::Overloaded);
        assert_eq!(check(&authenticator, "other", RIGHT).await, Verdict::Passed("jane".into()));
        let _third = authenticator.turn("other").await.unwrap();
        let _fourth = authenticator.turn("other").await.unwrap();
        assert_eq!(check(&authenticator, "third", RIGHT).await, Verdict::Overloaded, "all turns are taken");
        // What was verified before needs no turn.
        assert_eq!(check(&authenticator, "other", RIGHT).await, Verdict::Passed("jane".into()));
    }

    #[tokio::test]
    async fn shares_of_namespaces_that_ask_no_more_are_forgotten() {
        let authenticator = Authenticator::new([7; 32], 2);
        for at in 0..100 {
            check(&authenticator, &at.to_string(), RIGHT).await;
        }
        assert_eq!(authenticator.shares.lock().unwrap().len(), 1);
    }
}
