//! What the store on disk keeps and refuses.
#![allow(clippy::unwrap_used, clippy::panic)]
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use proptest::prelude::{any, proptest};

use super::{AccountRecord, FileStore, Store, StoreError, file_of};
use crate::ledger::{OrderRecord, Record};
use crate::sign::{new_key, self_signed};
use crate::{HeldCertificate, IssuerId, KeyKind, SecretName, Wanted};

fn secret(namespace: &str, name: &str) -> SecretName {
    SecretName { namespace: namespace.to_owned(), name: name.to_owned() }
}

fn wanted(issuer: IssuerId) -> Wanted {
    Wanted {
        names: ["a.example".to_owned(), "*.a.example".to_owned()].into(),
        issuer,
        key: KeyKind::EcdsaP256,
        duration: None,
        renew_before: None,
        challenges: BTreeMap::new(),
        obtained_for: None,
        wanted_by: String::new(),
        secret_annotations: BTreeMap::from([("team".to_owned(), "blue".to_owned())]),
        secret_labels: BTreeMap::from([("app".to_owned(), "shop".to_owned())]),
    }
}

fn certificate(wanted: &Wanted) -> HeldCertificate {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let made = self_signed(wanted, &new_key(KeyKind::EcdsaP256).unwrap(), now).unwrap();
    HeldCertificate { signer: Some("the same CA".to_owned()), ..made }
}

fn order() -> OrderRecord {
    OrderRecord { url: "https://ca.example/order/1".to_owned(), spec: "abc".to_owned(), key_pem: "key".to_owned(), created: SystemTime::UNIX_EPOCH }
}

#[test]
fn what_is_kept_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let wanted = wanted(IssuerId { namespace: Some("team".to_owned()), name: "local".to_owned() });
    let (certificate, record) =
        (certificate(&wanted), Record { challenge_turns: BTreeMap::from([("a.example".to_owned(), 1)]), ..Record::default() });
    let account = AccountRecord { server: "s".to_owned(), key: "k".to_owned(), url: None, email: "e".to_owned() };
    let name = secret("team", "shop.tls");
    let store = FileStore::open(directory.path()).unwrap();
    store.save_certificate(&name, &wanted, &certificate).unwrap();
    store.save_record(&name, &record).unwrap();
    store.save_order(&name, &order()).unwrap();
    store.save_account("id", &account).unwrap();
    drop(store);
    let store = FileStore::open(directory.path()).unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.certificates, BTreeMap::from([(name.clone(), certificate)]));
    assert_eq!(loaded.records, BTreeMap::from([(name.clone(), record)]));
    assert_eq!(loaded.orders, BTreeMap::from([(name.clone(), order())]));
    assert_eq!(loaded.set_aside, []);
    assert!(store.account("id").unwrap() == Some(account));
    store.remove_order(&name).unwrap();
    store.remove_order(&name).unwrap();
    assert_eq!(store.load().unwrap().orders, BTreeMap::new());
}

#[test]
fn the_manifest_is_one_that_cert_manager_would_write() {
    let directory = tempfile::tempdir().unwrap();
    let wanted = wanted(IssuerId { namespace: None, name: "le".to_owned() });
    FileStore::open(directory.path()).unwrap().save_certificate(&secret("team", "shop"), &wanted, &certificate(&wanted)).unwrap();
    let text = fs::read(directory.path().join("secrets/team/shop.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let expected = serde_json::json!({
        "name": "shop", "namespace": "team",
        "labels": {"app": "shop", "controller.cert-manager.io/fao": "true"},
        "annotations": {
            "team": "blue",
            "cert-manager.io/alt-names": "*.a.example,a.example",
            "cert-manager.io/certificate-name": "shop",
            "cert-manager.io/common-name": "",
            "cert-manager.io/ip-sans": "",
            "cert-manager.io/issuer-group": "cert-manager.io",
            "cert-manager.io/issuer-kind": "ClusterIssuer",
            "cert-manager.io/issuer-name": "le",
            "cert-manager.io/uri-sans": "",
            "vrata.io/signer": "the same CA",
        },
    });
    assert_eq!(manifest["metadata"], expected);
    assert_eq!((&manifest["kind"], &manifest["type"], &manifest["apiVersion"]), (&"Secret".into(), &"kubernetes.io/tls".into(), &"v1".into()));
    assert_eq!(manifest["data"].as_object().unwrap().keys().collect::<Vec<_>>(), ["ca.crt", "tls.crt", "tls.key"]);
}

#[test]
fn only_the_owner_can_read_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path()).unwrap();
    store.save_order(&secret("team", "shop"), &order()).unwrap();
    let mode = |path: &str| fs::metadata(directory.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("ledger/orders/team/shop.json"), 0o600);
    assert_eq!([mode("ledger"), mode("ledger/orders"), mode("ledger/orders/team"), mode("secrets")], [0o700; 4]);
}

#[test]
fn broken_files_are_set_aside_and_the_rest_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path()).unwrap();
    store.save_order(&secret("team", "good"), &order()).unwrap();
    let below = |path: &str| directory.path().join(path);
    fs::write(below("ledger/orders/team/half.json"), "{\"url\": \"htt").unwrap();
    fs::write(below("ledger/orders/team/half.json.corrupt"), "an earlier one").unwrap();
    fs::write(below("ledger/orders/team/.tmp-1-1"), "left by a crash").unwrap();
    fs::create_dir_all(below("secrets/team")).unwrap();
    fs::write(below("secrets/team/empty.json"), "").unwrap();
    fs::write(below("secrets/team/UPPER.json"), "{}").unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.orders.keys().collect::<Vec<_>>(), [&secret("team", "good")]);
    let mut names: Vec<_> = loaded.set_aside.iter().map(|aside| aside.place.rsplit('/').next().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(names, ["UPPER.json", "empty.json", "half.json"]);
    assert!(below("ledger/orders/team/half.json.corrupt-1").exists() && !below("ledger/orders/team/.tmp-1-1").exists());
    assert_eq!(store.load().unwrap().set_aside, []);
    fs::create_dir_all(below("ledger/accounts")).unwrap();
    fs::write(below("ledger/accounts/id.json"), "[]").unwrap();
    assert!(store.account("id").unwrap().is_none());
    assert!(below("ledger/accounts/id.json.corrupt").exists());
}

#[test]
fn a_second_process_is_kept_out() {
    let directory = tempfile::tempdir().unwrap();
    let first = FileStore::open(directory.path()).unwrap();
    assert!(matches!(FileStore::open(directory.path()), Err(StoreError::InUse(_))));
    drop(first);
    assert!(FileStore::open(directory.path()).is_ok());
}

#[test]
fn names_that_could_leave_the_directory_are_refused() {
    let long = "a".repeat(249);
    let rows = [
        ("team", "shop", true),
        ("_platform", "wildcard-dyn.example", true),
        ("team", &long[..248], true),
        ("team", long.as_str(), false),
        ("_other", "x", false),
        ("..", "x", false),
        ("team", "..", false),
        ("team", "../x", false),
        ("team", "a/b", false),
        ("team", ".hidden", false),
        ("te.am", "x", false),
        ("", "x", false),
        ("team", "", false),
        ("team", "Shop", false),
        ("team", "a\0b", false),
    ];
    for (namespace, name, good) in rows {
        assert_eq!(file_of(Path::new("/d"), &secret(namespace, name)).is_ok(), good, "{namespace:?} {name:?}");
    }
}

proptest! {
    #[test]
    fn a_path_stays_two_levels_below_its_directory(namespace in any::<String>(), name in any::<String>()) {
        if let Ok(path) = file_of(Path::new("/d"), &secret(&namespace, &name)) {
            assert_eq!(path.components().count(), 4);
            assert_eq!(path.parent().and_then(Path::parent), Some(Path::new("/d")));
        }
    }
}
