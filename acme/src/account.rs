//! The account with a CA. Its key is kept before the CA hears of it, so that a crash in between finds the same account again by its key
//! (RFC 8555 section 7.3.1) and never makes a second one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use instant_acme::{Account, Key};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::AcmeIssuer;
use crate::ask::{failure, patiently};
use crate::engine::offload;
use crate::failure::{AttemptFailure, FailureKind};
use crate::ledger::digest;
use crate::store::{AccountRecord, Store};
use crate::transport::Session;

/// The accounts, each registered by one attempt at a time.
#[derive(Clone)]
pub(crate) struct Accounts {
    store: Arc<dyn Store>,
    gates: Arc<Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>>,
}

impl Accounts {
    /// The accounts that this store keeps.
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, gates: Arc::default() }
    }

    /// The account with this issuer, registered when there is none yet.
    pub(crate) async fn open(&self, acme: &AcmeIssuer, session: &Session) -> Result<Account, AttemptFailure> {
        let id = id(acme);
        let gate = self.gates.lock().unwrap_or_else(PoisonError::into_inner).entry(id.clone()).or_default().clone();
        let _alone = gate.lock().await;
        let mut record = self.record(&id, acme).await?;
        let account = match &record.url {
            Some(url) => restored(url.clone(), &record, session).await?,
            None => {
                let account = registered(&record, session).await?;
                record.url = Some(account.id().to_owned());
                self.keep(&id, &record).await?;
                account
            }
        };
        if record.email != acme.email {
            announce(&account, acme, session).await?;
            record.email = acme.email.clone();
            self.keep(&id, &record).await?;
        }
        Ok(account)
    }

    /// Forgets the account's URL, not its key: the CA does not know the account any more.
    pub(crate) async fn forget(&self, acme: &AcmeIssuer) -> Result<(), AttemptFailure> {
        let id = id(acme);
        let record = AccountRecord { url: None, email: String::new(), ..self.record(&id, acme).await? };
        self.keep(&id, &record).await
    }

    async fn record(&self, id: &str, acme: &AcmeIssuer) -> Result<AccountRecord, AttemptFailure> {
        let (store, name) = (self.store.clone(), id.to_owned());
        if let Some(record) = offload(move || store.account(&name)).await?.map_err(AttemptFailure::local)? {
            return Ok(record);
        }
        let (_, key) = Key::generate_pkcs8().map_err(AttemptFailure::local)?;
        let key = BASE64_STANDARD.encode(key.secret_pkcs8_der());
        let record = AccountRecord { server: acme.server.clone(), key, url: None, email: String::new() };
        self.keep(id, &record).await?;
        Ok(record)
    }

    async fn keep(&self, id: &str, record: &AccountRecord) -> Result<(), AttemptFailure> {
        let (store, id, record) = (self.store.clone(), id.to_owned(), record.clone());
        offload(move || store.save_account(&id, &record)).await?.map_err(AttemptFailure::local)
    }
}

/// One account per (server, Secret).
fn id(acme: &AcmeIssuer) -> String {
    digest([&acme.server, &acme.account_key.namespace, &acme.account_key.name])
}

fn key(record: &AccountRecord) -> Result<PrivatePkcs8KeyDer<'static>, AttemptFailure> {
    let der = BASE64_STANDARD.decode(&record.key).map_err(|_| AttemptFailure::local("the account's key on disk is not base64"))?;
    Ok(PrivatePkcs8KeyDer::from(der))
}

async fn restored(url: String, record: &AccountRecord, session: &Session) -> Result<Account, AttemptFailure> {
    let key = key(record)?;
    let builder = Account::builder_with_http(Box::new(session.clone()));
    let account = builder.from_parts(url, key, record.server.clone()).await;
    account.map_err(|error| failure("directory", &error, &session.last()))
}

async fn registered(record: &AccountRecord, session: &Session) -> Result<Account, AttemptFailure> {
    let key = key(record)?;
    let registered = patiently!(register(&key, &record.server, session));
    registered.map_err(|error| of_account("new account", &error, session))
}

async fn register(key: &PrivatePkcs8KeyDer<'static>, server: &str, session: &Session) -> Result<Account, instant_acme::Error> {
    let pair = (Key::from_pkcs8_der(key.clone_key())?, PrivateKeyDer::Pkcs8(key.clone_key()));
    let builder = Account::builder_with_http(Box::new(session.clone()));
    builder.create_from_key(pair, server.to_owned()).await.map(|(account, _)| account)
}

async fn announce(account: &Account, acme: &AcmeIssuer, session: &Session) -> Result<(), AttemptFailure> {
    let contact = format!("mailto:{}", acme.email);
    let contacts: &[&str] = if acme.email.is_empty() { &[] } else { &[&contact] };
    let updated = patiently!(account.update_contacts(contacts));
    updated.map_err(|error| of_account("contact of the account", &error, session))
}

/// Whatever the CA refuses here is about the account.
fn of_account(step: &str, error: &instant_acme::Error, session: &Session) -> AttemptFailure {
    let failure = failure(step, error, &session.last());
    let kind = if matches!(failure.kind, FailureKind::RateLimited | FailureKind::Unavailable) { failure.kind } else { FailureKind::Account };
    AttemptFailure { kind, ..failure }
}
