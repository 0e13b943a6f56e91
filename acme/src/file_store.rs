//! The store in files below one directory:
//!
//! ```text
//! secrets/NAMESPACE/NAME.json               the certificate, as a Secret manifest
//! ledger/accounts/ID.json                   account key, and the account's URL once the CA gave one
//! ledger/orders/NAMESPACE/NAME.json         the order that the CA has, with the key of the certificate to come
//! ledger/certificates/NAMESPACE/NAME.json   failures, the CA's advice
//! ```
//!
//! Every file is replaced as a whole. One that cannot be read is moved aside and reported: it never stops the rest.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::files;
use crate::ledger::{OrderRecord, Record};
use crate::secret::{from_manifest, to_manifest};
use crate::store::{AccountRecord, Loaded, SetAside, Store, StoreError};
use crate::{HeldCertificate, SecretName, Wanted};

/// The store below a state directory. Only one process has it open.
#[derive(Debug)]
pub struct FileStore {
    secrets: PathBuf,
    ledger: PathBuf,
    /// Held as long as the store is.
    _lock: File,
}

impl FileStore {
    /// Opens the store, and creates the directories that are missing (0700).
    ///
    /// # Errors
    /// When a directory cannot be created, or when another process has the store open.
    pub fn open(state: &Path) -> Result<Self, StoreError> {
        let (secrets, ledger) = (state.join("secrets"), state.join("ledger"));
        for directory in [&secrets, &ledger] {
            files::make_directory(directory).map_err(at(directory))?;
        }
        let path = ledger.join("lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(at(&path))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => StoreError::InUse(state.to_owned()),
            TryLockError::Error(source) => StoreError::Io { path, source },
        })?;
        Ok(Self { secrets, ledger, _lock: lock })
    }

    /// `id` is a digest: it needs no check as a file name.
    fn account_file(&self, id: &str) -> PathBuf {
        self.ledger.join("accounts").join(format!("{id}.json"))
    }
}

impl Store for FileStore {
    fn load(&self) -> Result<Loaded, StoreError> {
        let mut set_aside = Vec::new();
        let certificates = load_all(&self.secrets, &mut set_aside, |secret, bytes| from_manifest(secret, bytes).map_err(|error| error.to_string()))?;
        let records = load_all(&self.ledger.join("certificates"), &mut set_aside, |_, bytes| from_json(bytes))?;
        let orders = load_all(&self.ledger.join("orders"), &mut set_aside, |_, bytes| from_json(bytes))?;
        Ok(Loaded { certificates, records, orders, set_aside })
    }

    fn save_certificate(&self, secret: &SecretName, wanted: &Wanted, certificate: &HeldCertificate) -> Result<(), StoreError> {
        write(&file_of(&self.secrets, secret)?, &to_manifest(secret, wanted, certificate))
    }

    fn save_record(&self, secret: &SecretName, record: &Record) -> Result<(), StoreError> {
        write(&file_of(&self.ledger.join("certificates"), secret)?, &to_json(record))
    }

    fn save_order(&self, secret: &SecretName, order: &OrderRecord) -> Result<(), StoreError> {
        write(&file_of(&self.ledger.join("orders"), secret)?, &to_json(order))
    }

    fn remove_order(&self, secret: &SecretName) -> Result<(), StoreError> {
        let path = file_of(&self.ledger.join("orders"), secret)?;
        files::remove(&path).map_err(at(&path))
    }

    fn account(&self, id: &str) -> Result<Option<AccountRecord>, StoreError> {
        let path = self.account_file(id);
        let Some(bytes) = files::read(&path).map_err(at(&path))? else { return Ok(None) };
        match from_json(&bytes) {
            Ok(account) => Ok(Some(account)),
            Err(why) => {
                let set_aside = move_aside(&path, &why)?;
                tracing::error!(place = set_aside.place, "{}", set_aside.message);
                Ok(None)
            }
        }
    }

    fn save_account(&self, id: &str, account: &AccountRecord) -> Result<(), StoreError> {
        write(&self.account_file(id), &to_json(account))
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    |source| StoreError::Io { path, source }
}

fn write(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    files::write(path, content).map_err(at(path))
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec_pretty(value).expect("records have a JSON form")
}

fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

/// The file of a Secret. Names come from outside: only those that Kubernetes allows become paths.
fn file_of(directory: &Path, secret: &SecretName) -> Result<PathBuf, StoreError> {
    let namespace = secret.namespace == SecretName::PLATFORM || (secret.namespace.len() <= 63 && label(&secret.namespace));
    if namespace && secret.name.len() <= 248 && secret.name.split('.').all(label) {
        Ok(directory.join(&secret.namespace).join(format!("{}.json", secret.name)))
    } else {
        Err(StoreError::Name(secret.clone()))
    }
}

/// A DNS label as RFC 1123 has it.
fn label(text: &str) -> bool {
    let inner = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    inner && !text.is_empty() && !text.starts_with('-') && !text.ends_with('-')
}

/// Reads every NAMESPACE/NAME.json below a directory.
fn load_all<T>(
    directory: &Path,
    set_aside: &mut Vec<SetAside>,
    parse: impl Fn(&SecretName, &[u8]) -> Result<T, String>,
) -> Result<BTreeMap<SecretName, T>, StoreError> {
    let mut found = BTreeMap::new();
    for namespace in entries(directory)?.into_iter().filter(|path| path.is_dir()) {
        for path in entries(&namespace)? {
            if remove_leftover(&path)? || path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match read_one(&path, &parse) {
                Ok((secret, value)) => drop(found.insert(secret, value)),
                Err(why) => set_aside.push(move_aside(&path, &why)?),
            }
        }
    }
    Ok(found)
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, StoreError> {
    match fs::read_dir(directory) {
        Ok(listing) => listing.map(|entry| entry.map(|entry| entry.path()).map_err(at(directory))).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(at(directory)(error)),
    }
}

fn remove_leftover(path: &Path) -> Result<bool, StoreError> {
    let leftover = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(files::TEMPORARY));
    if leftover {
        files::remove(path).map_err(at(path))?;
    }
    Ok(leftover)
}

fn read_one<T>(path: &Path, parse: impl Fn(&SecretName, &[u8]) -> Result<T, String>) -> Result<(SecretName, T), String> {
    let part = |text: Option<&std::ffi::OsStr>| text.and_then(|text| text.to_str()).unwrap_or_default().to_owned();
    let secret = SecretName { namespace: part(path.parent().and_then(Path::file_name)), name: part(path.file_stem()) };
    file_of(Path::new(""), &secret).map_err(|error| error.to_string())?;
    let bytes = files::read(path).map_err(|error| error.to_string())?.ok_or("it vanished")?;
    let value = parse(&secret, &bytes)?;
    Ok((secret, value))
}

fn move_aside(path: &Path, why: &str) -> Result<SetAside, StoreError> {
    let target = files::set_aside(path).map_err(at(path))?;
    Ok(SetAside { place: path.display().to_string(), message: format!("cannot be read ({why}); moved to {}", target.display()) })
}

#[cfg(test)]
mod tests;
