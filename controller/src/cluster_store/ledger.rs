//! Orders, accounts and records as Secrets: names, labels and content. Pure.

use std::collections::BTreeMap;

use acme::SecretName;
use acme::ledger::{OrderRecord, Record};
use acme::store::AccountRecord;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::replicas::{KIND, metadata};

/// What is kept for one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The order that the CA has.
    Order,
    /// What is known of it.
    Record,
}

/// What was kept.
#[derive(Debug, PartialEq)]
pub(super) enum Entry {
    /// See [`Kind::Order`].
    Order(SecretName, OrderRecord),
    /// See [`Kind::Record`].
    Record(SecretName, Record),
}

const ACCOUNT: &str = "account";

impl Kind {
    const fn label(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Record => "record",
        }
    }
}

/// Name of the Secret. The certificate's own names may be too long together, and could be read in two ways.
pub(super) fn name(kind: Kind, secret: &SecretName) -> String {
    let mut hash = Sha256::new();
    for part in [&secret.namespace, &secret.name] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let digest: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("vrata-{}-{digest}", kind.label())
}

/// Name of the Secret of an account.
pub(super) fn account_name(id: &str) -> String {
    format!("vrata-{ACCOUNT}-{id}")
}

/// The Secret that has `value`.
pub(super) fn to_secret(kind: Kind, secret: &SecretName, value: &impl Serialize) -> Secret {
    let data = [("namespace", secret.namespace.clone().into_bytes()), ("name", secret.name.clone().into_bytes()), ("value", json(value))];
    with_data(&name(kind, secret), kind.label(), data)
}

/// The Secret that has the account.
pub(super) fn account_to_secret(id: &str, account: &AccountRecord) -> Secret {
    with_data(&account_name(id), ACCOUNT, [("value", json(account))])
}

fn with_data<const N: usize>(name: &str, kind: &str, data: [(&str, Vec<u8>); N]) -> Secret {
    let data = data.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value))).collect::<BTreeMap<_, _>>();
    Secret { metadata: metadata(name, kind), type_: Some("Opaque".to_owned()), data: Some(data), ..Secret::default() }
}

/// What a Secret of ours has; `None` when it is of another kind.
///
/// # Errors
/// When it is not what [`to_secret`] makes.
pub(super) fn from_secret(found: &Secret) -> Result<Option<Entry>, String> {
    let kind = found.metadata.labels.as_ref().and_then(|labels| labels.get(KIND)).map(String::as_str);
    let secret = || Ok::<_, String>(SecretName { namespace: text(found, "namespace")?, name: text(found, "name")? });
    match kind {
        Some("order") => Ok(Some(Entry::Order(secret()?, value(found)?))),
        Some("record") => Ok(Some(Entry::Record(secret()?, value(found)?))),
        _ => Ok(None),
    }
}

/// The account that a Secret has.
///
/// # Errors
/// When it is not what [`account_to_secret`] makes.
pub(super) fn account_from_secret(found: &Secret) -> Result<AccountRecord, String> {
    value(found)
}

fn bytes<'a>(found: &'a Secret, key: &str) -> Result<&'a [u8], String> {
    found.data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.as_slice()).ok_or_else(|| format!("data.{key} is missing"))
}

fn text(found: &Secret, key: &str) -> Result<String, String> {
    String::from_utf8(bytes(found, key)?.to_vec()).map_err(|_| format!("data.{key} is no text"))
}

fn value<T: DeserializeOwned>(found: &Secret) -> Result<T, String> {
    serde_json::from_slice(bytes(found, "value")?).map_err(|error| format!("data.value: {error}"))
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("records have a JSON form")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_names_do_not_collide() {
        let secret = |namespace: &str, name: &str| SecretName { namespace: namespace.to_owned(), name: name.to_owned() };
        let order = OrderRecord { url: "u".to_owned(), spec: "s".to_owned(), key_pem: "k".to_owned(), created: SystemTime::UNIX_EPOCH };
        let shop = secret(SecretName::PLATFORM, "shop");
        let kept = to_secret(Kind::Order, &shop, &order);
        assert_eq!(from_secret(&kept).unwrap(), Some(Entry::Order(shop.clone(), order)));
        let record = Record { challenge_turns: BTreeMap::from([("a.test".to_owned(), 2)]), ..Record::default() };
        assert_eq!(from_secret(&to_secret(Kind::Record, &shop, &record)).unwrap(), Some(Entry::Record(shop.clone(), record)));
        let account = AccountRecord { server: "s".to_owned(), key: "k".to_owned(), url: None, email: String::new() };
        let kept = account_to_secret("0a", &account);
        assert!(account_from_secret(&kept).unwrap() == account && from_secret(&kept).unwrap().is_none());
        assert_eq!(kept.metadata.name.as_deref(), Some("vrata-account-0a"));
        assert_ne!(name(Kind::Order, &secret("a", "b-c")), name(Kind::Order, &secret("a-b", "c")));
        assert_ne!(name(Kind::Order, &shop), name(Kind::Record, &shop));
        let broken = Secret { data: None, ..to_secret(Kind::Order, &shop, &"") };
        assert_eq!(from_secret(&broken).unwrap_err(), "data.namespace is missing");
    }
}
