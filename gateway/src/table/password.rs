//! Password hashes of an htpasswd file: which kinds are accepted, and whether a password fits. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use sha1::Sha1;
use subtle::ConstantTimeEq;

/// Largest bcrypt cost that is verified: about a second of processor time.
const MAX_BCRYPT_COST: u32 = 14;
/// Largest number of SHA-crypt rounds that is verified: about a second of processor time.
const MAX_SHA_CRYPT_ROUNDS: u32 = 1_000_000;
/// Longest password that is looked at; some kinds take time quadratic in it.
const MAX_PASSWORD: usize = 512;

/// One hash of an htpasswd file, checked to be of a kind that can be verified: apr1, bcrypt, `{SHA}`, `{SSHA}` or crypt(3) (DES, `$1$`, `$5$`, `$6$`).
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Md5 { magic: &'static str, salt: String, digest: String },
    Bcrypt(String),
    Sha1 { digest: [u8; 20], salt: Vec<u8> },
    Sha256Crypt(String),
    Sha512Crypt(String),
    Des(String),
}

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
        let kind = if let Some(rest) = hash.strip_prefix("$apr1$") {
            md5_kind("$apr1$", rest).ok_or(UnsupportedHash::Malformed("apr1"))
        } else if let Some(rest) = hash.strip_prefix("$1$") {
            md5_kind("$1$", rest).ok_or(UnsupportedHash::Malformed("MD5-crypt"))
        } else if ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| hash.starts_with(prefix)) {
            check_bcrypt(hash).map(|()| Kind::Bcrypt(hash.to_owned()))
        } else if let Some(rest) = hash.strip_prefix("{SHA}") {
            sha1_kind(rest, |salt| salt == 0).ok_or(UnsupportedHash::Malformed("SHA"))
        } else if let Some(rest) = hash.strip_prefix("{SSHA}") {
            sha1_kind(rest, |salt| (1..=64).contains(&salt)).ok_or(UnsupportedHash::Malformed("SSHA"))
        } else if let Some(rest) = hash.strip_prefix("$5$") {
            check_sha_crypt("SHA256-crypt", rest, 43).map(|()| Kind::Sha256Crypt(hash.to_owned()))
        } else if let Some(rest) = hash.strip_prefix("$6$") {
            check_sha_crypt("SHA512-crypt", rest, 86).map(|()| Kind::Sha512Crypt(hash.to_owned()))
        } else if hash.len() == 13 && is_crypt64(hash) {
            Ok(Kind::Des(hash.to_owned()))
        } else {
            Err(UnsupportedHash::UnknownKind)
        };
        kind.map(Self)
    }

    /// Whether the password fits. Takes up to a second of processor time (bcrypt and SHA-crypt): call it where it may block. The time does not tell how
    /// much of the password is right. Passwords of more than 512 bytes never fit.
    #[must_use]
    pub fn verify(&self, password: &[u8]) -> bool {
        if password.len() > MAX_PASSWORD || password.contains(&0) {
            return false;
        }
        match &self.0 {
            Kind::Md5 { magic, salt, digest } => md5_crypt(magic, salt.as_bytes(), password).ct_eq(digest.as_bytes()).into(),
            Kind::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Kind::Sha1 { digest, salt } => Sha1::new().chain_update(password).chain_update(salt).finalize().ct_eq(digest).into(),
            Kind::Sha256Crypt(hash) => pwhash::sha256_crypt::verify(password, hash),
            Kind::Sha512Crypt(hash) => pwhash::sha512_crypt::verify(password, hash),
            Kind::Des(hash) => pwhash::unix_crypt::verify(password, hash),
        }
    }
}

/// Whether all characters are of the alphabet of crypt(3).
fn is_crypt64(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/'))
}

fn md5_kind(magic: &'static str, rest: &str) -> Option<Kind> {
    let (salt, digest) = rest.split_once('$')?;
    let valid = salt.len() <= 8 && salt.bytes().all(|byte| byte.is_ascii_graphic()) && digest.len() == 22 && is_crypt64(digest);
    valid.then(|| Kind::Md5 { magic, salt: salt.to_owned(), digest: digest.to_owned() })
}

fn sha1_kind(encoded: &str, salt_length: impl Fn(usize) -> bool) -> Option<Kind> {
    let decoded = STANDARD.decode(encoded).ok()?;
    let (digest, salt) = decoded.split_first_chunk()?;
    salt_length(salt.len()).then(|| Kind::Sha1 { digest: *digest, salt: salt.to_vec() })
}

fn check_bcrypt(hash: &str) -> Result<(), UnsupportedHash> {
    let cost = hash.parse::<bcrypt::HashParts>().ok().filter(|_| hash.len() == 60).ok_or(UnsupportedHash::Malformed("bcrypt"))?.get_cost();
    match cost {
        4..=MAX_BCRYPT_COST => Ok(()),
        ..4 => Err(UnsupportedHash::Malformed("bcrypt")),
        _ => Err(UnsupportedHash::TooCostly { kind: "bcrypt", cost, limit: MAX_BCRYPT_COST }),
    }
}

/// `[rounds=N$]salt$digest`
fn check_sha_crypt(kind: &'static str, rest: &str, digest_length: usize) -> Result<(), UnsupportedHash> {
    let malformed = UnsupportedHash::Malformed(kind);
    let (rounds, rest) = match rest.strip_prefix("rounds=") {
        Some(rest) => {
            let (rounds, rest) = rest.split_once('$').ok_or(malformed)?;
            (rounds.parse::<u32>().map_err(|_| malformed)?, rest)
        }
        None => (0, rest),
    };
    let (salt, digest) = rest.split_once('$').ok_or(malformed)?;
    if salt.len() > 16 || !is_crypt64(salt) || digest.len() != digest_length || !is_crypt64(digest) {
        return Err(malformed);
    }
    if rounds > MAX_SHA_CRYPT_ROUNDS {
        return Err(UnsupportedHash::TooCostly { kind, cost: rounds, limit: MAX_SHA_CRYPT_ROUNDS });
    }
    Ok(())
}

/// MD5-crypt, of which apr1 differs by the magic alone. Returns the 22 characters of the digest.
fn md5_crypt(magic: &str, salt: &[u8], password: &[u8]) -> [u8; 22] {
    let inner = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut outer = Md5::new().chain_update(password).chain_update(magic).chain_update(salt);
    for block in password.chunks(16) {
        outer.update(&inner[..block.len()]);
    }
    let mut bits = password.len();
    while bits > 0 {
        outer.update(if bits & 1 == 1 { &[0] } else { &password[..1] });
        bits >>= 1;
    }
    let mut digest = outer.finalize();
    for round in 0..1000 {
        let odd = round & 1 == 1;
        let mut next = Md5::new().chain_update(if odd { password } else { &digest });
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        next.update(if odd { &digest[..] } else { password });
        digest = next.finalize();
    }
    encode_md5(&digest)
}

/// The order and alphabet in which MD5-crypt writes its digest.
fn encode_md5(digest: &[u8]) -> [u8; 22] {
    const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    const ORDER: [[usize; 3]; 5] = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];
    let mut out = [0; 22];
    let last = u32::from(digest[11]);
    let groups = ORDER.iter().map(|group| group.iter().fold(0, |value, index| value << 8 | u32::from(digest[*index])));
    for (chunk, mut value) in out.chunks_mut(4).zip(groups.chain([last])) {
        for character in chunk {
            *character = ALPHABET[(value & 63) as usize];
            value >>= 6;
        }
    }
    out
}

#[cfg(test)]
mod tests;
