//! What survives a restart: certificates, account keys, orders under way and what is known of each certificate. Where it is kept is not this crate's
//! business: [`crate::FileStore`] keeps it in files.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::ledger::{OrderRecord, Record};
use crate::{HeldCertificate, SecretName, Wanted};

/// Why something cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// What was read or written.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Another process uses the same directory.
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    /// A namespace or name that Kubernetes would not take either, or that is too long for a file name.
    #[error("Secret {0}: not a name that can be kept (lower case letters, digits, '-' and '.', at most 248 characters)")]
    Name(SecretName),
    /// A Secret that no issuer wrote: somebody brought it, and it is never overwritten.
    #[error("the Secret {0} is there already and was not written by an issuer; delete it, or name another Secret for this certificate")]
    Foreign(SecretName),
    /// Another process is to write now, not this one.
    #[error("{object} was not written: another replica leads")]
    NotLeading {
        /// What was to be written.
        object: String,
    },
    /// A store over the network did not do what it was asked to.
    #[error("{object}: {message}")]
    Remote {
        /// What was read or written.
        object: String,
        /// What the other side said.
        message: String,
    },
}

/// Something that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// The file or object.
    pub place: String,
    /// What is wrong with it, and what became of it.
    pub message: String,
}

/// An ACME account: its key, and its URL once the CA has given one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountRecord {
    /// Directory URL of the CA.
    pub server: String,
    /// Private key, PKCS#8 DER in base64.
    pub key: String,
    /// URL of the account; `None` until the CA has confirmed it.
    pub url: Option<String>,
    /// Contact that the CA has.
    pub email: String,
}

/// What the store held when it was read.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Certificates.
    pub certificates: BTreeMap<SecretName, HeldCertificate>,
    /// What is known of each.
    pub records: BTreeMap<SecretName, Record>,
    /// Orders under way.
    pub orders: BTreeMap<SecretName, OrderRecord>,
    /// What could not be read.
    pub set_aside: Vec<SetAside>,
}

/// Keeps what has to survive. Every call blocks until that is so; none is made on a thread of the runtime.
///
/// # Errors
/// Each fails when it cannot be read or written for good, or when this process may not write; what was kept before then stays.
pub trait Store: Send + Sync + 'static {
    /// Reads everything. What cannot be read is reported, and never stops the rest.
    ///
    /// # Errors
    /// When the store itself cannot be read.
    fn load(&self) -> Result<Loaded, StoreError>;

    /// Keeps a certificate.
    ///
    /// # Errors
    /// See the trait.
    fn save_certificate(&self, secret: &SecretName, wanted: &Wanted, certificate: &HeldCertificate) -> Result<(), StoreError>;

    /// Keeps what is known of a certificate.
    ///
    /// # Errors
    /// See the trait.
    fn save_record(&self, secret: &SecretName, record: &Record) -> Result<(), StoreError>;

    /// Keeps an order.
    ///
    /// # Errors
    /// See the trait.
    fn save_order(&self, secret: &SecretName, order: &OrderRecord) -> Result<(), StoreError>;

    /// Forgets an order.
    ///
    /// # Errors
    /// See the trait.
    fn remove_order(&self, secret: &SecretName) -> Result<(), StoreError>;

    /// The account on record, if there is one.
    ///
    /// # Errors
    /// See the trait.
    fn account(&self, id: &str) -> Result<Option<AccountRecord>, StoreError>;

    /// Keeps an account. `id` has only lower case letters and digits.
    ///
    /// # Errors
    /// See the trait.
    fn save_account(&self, id: &str, account: &AccountRecord) -> Result<(), StoreError>;
}
