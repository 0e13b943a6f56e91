//! Credentials that were found right a short time ago, so that a slow password hash is computed once and not for each request. Holds no password and
//! nothing a password could be guessed from without this process's key. Pure; time is an argument.

use std::collections::HashMap;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::basic::Credentials;
use crate::table::PasswordHash;

/// How long right credentials are remembered.
const LIFETIME: Duration = Duration::from_secs(300);
/// Entries of one of the two halves.
const HALF: usize = 4096;

/// A fingerprint of credentials, keyed by a random number of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of credentials for the users of one namespace.
    pub(super) fn of(key: &[u8; 32], namespace: &str, credentials: &Credentials) -> Self {
        let mut hash = Sha256::new();
        for part in [&key[..], namespace.as_bytes(), credentials.user.as_bytes(), &credentials.password] {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

/// Fingerprints with the hash that they fitted. When one half is full the other is dropped, so the size is bounded and nothing is ever searched.
#[derive(Debug, Default)]
pub(super) struct Verified {
    young: HashMap<Fingerprint, Entry>,
    old: HashMap<Fingerprint, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    hash: PasswordHash,
    until: Duration,
}

impl Verified {
    /// Whether the credentials fitted this very hash a short time ago.
    pub(super) fn holds(&self, fingerprint: &Fingerprint, hash: &PasswordHash, now: Duration) -> bool {
        let entry = self.young.get(fingerprint).or_else(|| self.old.get(fingerprint));
        entry.is_some_and(|entry| now < entry.until && entry.hash == *hash)
    }

    /// Remembers that the credentials fit.
    pub(super) fn insert(&mut self, fingerprint: Fingerprint, hash: PasswordHash, now: Duration) {
        if self.young.len() >= HALF {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(fingerprint, Entry { hash, until: now + LIFETIME });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn fingerprint(namespace: &str, user: &str, password: &str) -> Fingerprint {
        Fingerprint::of(&[7; 32], namespace, &Credentials { user: user.into(), password: password.into() })
    }

    fn hash(text: &str) -> PasswordHash {
        PasswordHash::parse(text).unwrap()
    }

    const ONE: &str = "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=";
    const OTHER: &str = "{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=";

    #[test]
    fn fingerprints_differ_by_every_part() {
        let all = [("a", "u", "p"), ("b", "u", "p"), ("a", "v", "p"), ("a", "u", "q"), ("a", "up", ""), ("au", "", "p")]
            .map(|(namespace, user, password)| fingerprint(namespace, user, password));
        assert_eq!(all.iter().collect::<std::collections::HashSet<_>>().len(), all.len());
        assert_eq!(all[0], fingerprint("a", "u", "p"));
        let keyed = Fingerprint::of(&[8; 32], "a", &Credentials { user: "u".into(), password: "p".into() });
        assert_ne!(all[0], keyed);
    }

    #[test]
    fn credentials_are_remembered_for_a_time_and_for_one_hash() {
        let mut verified = Verified::default();
        let print = fingerprint("a", "u", "p");
        assert!(!verified.holds(&print, &hash(ONE), Duration::ZERO));
        verified.insert(print, hash(ONE), Duration::ZERO);
        let almost = LIFETIME.checked_sub(Duration::from_millis(1)).unwrap();
        for (text, now, expected) in [(ONE, Duration::ZERO, true), (ONE, almost, true), (ONE, LIFETIME, false), (OTHER, Duration::ZERO, false)] {
            assert_eq!(verified.holds(&print, &hash(text), now), expected);
        }
    }

    #[test]
    fn size_is_bounded() {
        let mut verified = Verified::default();
        for at in 0..10 * HALF {
            verified.insert(fingerprint("a", "u", &at.to_string()), hash(ONE), Duration::ZERO);
        }
        assert!(verified.young.len() + verified.old.len() <= 2 * HALF);
        assert!(verified.holds(&fingerprint("a", "u", &(10 * HALF - 1).to_string()), &hash(ONE), Duration::ZERO));
    }
}
