//! Checks Basic credentials without holding up other requests: slow hashes are computed on blocking threads, few at a time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::Semaphore;

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
}

impl Authenticator {
    /// `turns` hashes are computed at a time; `key` is random.
    pub(super) fn new(key: [u8; 32], turns: usize) -> Self {
        Self { key, verified: Mutex::default(), turns: Arc::new(Semaphore::new(turns)) }
    }

    /// Checks the `Authorization` header of a request against the users of a route in `namespace`, at `now`.
    pub(super) async fn check(&self, namespace: &str, auth: &BasicAuth, authorization: Option<&HeaderValue>, now: Duration) -> Verdict {
        let Some(credentials) = authorization.and_then(basic::credentials) else { return Verdict::Refused };
        let Some(hash) = auth.users.get(&credentials.user) else { return Verdict::Refused };
        let fingerprint = Fingerprint::of(&self.key, namespace, &credentials);
        if self.verified().holds(&fingerprint, hash, now) {
            return Verdict::Passed(credentials.user);
        }
        let Ok(Ok(turn)) = tokio::time::timeout(LONGEST_WAIT, Arc::clone(&self.turns).acquire_owned()).await else {
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

    fn verified(&self) -> std::sync::MutexGuard<'_, Verified> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
