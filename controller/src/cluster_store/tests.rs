//! The store in a cluster, over a simulated API server.
#![allow(clippy::unwrap_used, clippy::panic)]
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::*;
use crate::fixtures::{self, secret};
use crate::lease::{Grants, Moment};
use crate::replicas::fake_api::{FakeApi, Fault};

const OWN: &str = "/api/v1/namespaces/vrata-system/secrets";
const SHOP: &str = "/api/v1/namespaces/team/secrets/shop";

/// A replica over an API server.
struct Replica {
    store: ClusterStore,
    grants: Grants,
}

impl Replica {
    fn leading(api: &Arc<FakeApi>) -> Self {
        let (leadership, grants) = Leadership::contended("a");
        grants.grant(Some(Moment::now() + Duration::from_secs(3600)));
        Self { store: ClusterStore::new(api.client(), "vrata-system", leadership.in_term(1), Handle::current()), grants }
    }

    /// Calls the store where it may block.
    async fn call<T: Send>(&self, call: impl FnOnce(&ClusterStore) -> T + Send) -> T {
        tokio::task::block_in_place(|| call(&self.store))
    }
}

fn wanted() -> Wanted {
    fixtures::wanted("a.test")
}

fn certificate() -> HeldCertificate {
    fixtures::certificate("a.test")
}

fn order(url: &str) -> OrderRecord {
    OrderRecord { url: url.to_owned(), spec: "s".to_owned(), key_pem: "k".to_owned(), created: SystemTime::UNIX_EPOCH }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_leader_keeps_the_next_one_finds() {
    let api = Arc::<FakeApi>::default();
    let replica = Replica::leading(&api);
    let (shop, wildcard, certificate) = (secret("team", "shop"), secret(SecretName::PLATFORM, "wildcard-a.test"), certificate());
    let record = Record { challenge_turns: BTreeMap::from([("a.test".to_owned(), 1)]), ..Record::default() };
    let account = AccountRecord { server: "s".to_owned(), key: "k".to_owned(), url: None, email: "e".to_owned() };
    replica
        .call(|store| {
            store.save_certificate(&shop, &wanted(), &certificate).unwrap();
            store.save_certificate(&wildcard, &wanted(), &certificate).unwrap();
            store.save_certificate(&wildcard, &wanted(), &certificate).unwrap();
            for _ in 0..2 {
                store.save_record(&shop, &record).unwrap();
                store.save_order(&shop, &order("1")).unwrap();
                store.save_account("0a", &account).unwrap();
            }
        })
        .await;
    let next = Replica::leading(&api);
    let loaded = next.call(|store| store.load().unwrap()).await;
    assert_eq!(loaded.set_aside, []);
    assert_eq!(loaded.certificates.keys().collect::<Vec<_>>(), [&wildcard, &shop]);
    assert_eq!(loaded.certificates[&shop].chain_pem, certificate.chain_pem);
    assert_eq!((loaded.records, loaded.orders), (BTreeMap::from([(shop.clone(), record)]), BTreeMap::from([(shop.clone(), order("1"))])));
    assert!(next.call(|store| store.account("0a").unwrap()).await == Some(account));
    assert!(next.call(|store| store.account("0b").unwrap()).await.is_none());
    assert_eq!(api.get(SHOP).unwrap()["type"], "kubernetes.io/tls");
    assert!(api.get(&format!("{OWN}/wildcard-a.test")).is_some());
    next.call(|store| {
        store.remove_order(&shop).unwrap();
        store.remove_order(&shop).unwrap();
        store.save_record(&shop, &Record::default()).unwrap();
    })
    .await;
    assert_eq!(api.paths(), [SHOP, &format!("{OWN}/vrata-account-0a"), &format!("{OWN}/wildcard-a.test")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_somebody_brought_is_left_alone() {
    let api = Arc::<FakeApi>::default();
    let replica = Replica::leading(&api);
    let brought = api.set(SHOP, json!({"metadata": {"name": "shop", "namespace": "team"}, "type": "kubernetes.io/tls", "data": {"tls.crt": ""}}));
    let save = |store: &ClusterStore| store.save_certificate(&secret("team", "shop"), &wanted(), &certificate());
    let refused = replica.call(save).await.unwrap_err();
    assert!(matches!(refused, StoreError::Foreign(_)), "{refused}");
    assert_eq!(api.get(SHOP), Some(brought.clone()));
    // The same when it comes between the look and the write.
    api.paths().iter().for_each(|path| drop(api.set(path, json!({"metadata": {"annotations": {"cert-manager.io/issuer-name": "le"}}}))));
    let came = brought.clone();
    api.fail_next(Fault::After(Box::new(move |api| drop(api.set(SHOP, came)))));
    let refused = replica.call(save).await.unwrap_err();
    assert!(matches!(refused, StoreError::Foreign(_)), "{refused}");
    assert_eq!(api.get(SHOP).unwrap()["data"], brought["data"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cert_manager_had_written_is_taken_over() {
    let api = Arc::<FakeApi>::default();
    let issued = json!({"name": "shop", "namespace": "team", "annotations": {"cert-manager.io/issuer-name": "le"}});
    api.set(SHOP, json!({"metadata": issued, "type": "kubernetes.io/tls"}));
    let replica = Replica::leading(&api);
    replica.call(|store| store.save_certificate(&secret("team", "shop"), &wanted(), &certificate()).unwrap()).await;
    assert!(api.get(SHOP).unwrap()["data"]["tls.crt"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_lead_writes_nothing() {
    let api = Arc::<FakeApi>::default();
    let replica = Replica::leading(&api);
    let shop = secret("team", "shop");
    replica.grants.grant(None);
    // Leadership that is won again is another term: the store of the first must not go on.
    replica.grants.grant(Some(Moment::now() + Duration::from_secs(3600)));
    let failures = replica.call(|store| {
        [
            store.save_certificate(&shop, &wanted(), &certificate()),
            store.save_order(&shop, &order("1")),
            store.save_record(&shop, &Record { challenge_turns: BTreeMap::from([("a".to_owned(), 1)]), ..Record::default() }),
        ]
    });
    for failure in failures.await {
        assert!(matches!(failure, Err(StoreError::NotLeading { .. })), "{failure:?}");
    }
    assert_eq!(api.paths(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_held_up_does_not_undo_what_the_next_leader_wrote() {
    let api = Arc::<FakeApi>::default();
    let (old, shop) = (Replica::leading(&api), secret("team", "shop"));
    old.call(|store| store.save_order(&shop, &order("1")).unwrap()).await;
    let path = format!("{OWN}/{}", ledger::name(Kind::Order, &shop));
    // Between its look at the clock and the arrival of its request another one leads and writes.
    let grants = old.grants;
    let newer = serde_json::to_value(ledger::to_secret(Kind::Order, &shop, &order("3"))).unwrap();
    let stolen = path.clone();
    api.fail_next(Fault::After(Box::new(move |api| {
        grants.grant(None);
        api.set(&stolen, newer);
    })));
    let failure = tokio::task::block_in_place(|| old.store.save_order(&shop, &order("2")));
    assert!(matches!(failure, Err(StoreError::NotLeading { .. })), "{failure:?}");
    let found: Secret = serde_json::from_value(api.get(&path).unwrap()).unwrap();
    assert_eq!(ledger::from_secret(&found).unwrap(), Some(Entry::Order(shop, order("3"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_and_a_server_that_is_away_are_tried_again() {
    let api = Arc::<FakeApi>::default();
    let (replica, shop) = (Replica::leading(&api), secret("team", "shop"));
    for fault in [Fault::LosesAnswer, Fault::Unavailable, Fault::LosesAnswer] {
        api.fail_next(fault);
    }
    replica.call(|store| store.save_order(&shop, &order("1")).unwrap()).await;
    api.fail_next(Fault::LosesAnswer);
    replica.call(|store| store.save_order(&shop, &order("2")).unwrap()).await;
    api.fail_next(Fault::LosesAnswer);
    replica.call(|store| store.save_certificate(&shop, &wanted(), &certificate()).unwrap()).await;
    let loaded = replica.call(|store| store.load().unwrap()).await;
    assert_eq!(loaded.orders, BTreeMap::from([(shop.clone(), order("2"))]));
    api.fail_next(Fault::LosesAnswer);
    replica.call(|store| store.remove_order(&shop).unwrap()).await;
    assert_eq!(api.paths(), [SHOP]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_cannot_be_read_is_not_replaced() {
    let api = Arc::<FakeApi>::default();
    let replica = Replica::leading(&api);
    api.set(&format!("{OWN}/vrata-account-0a"), json!({"metadata": {"name": "vrata-account-0a"}, "data": {"value": "e30="}}));
    let failure = replica.call(|store| store.account("0a").map(drop)).await.unwrap_err().to_string();
    assert!(failure.contains("vrata-system/vrata-account-0a") && failure.contains("delete the Secret"), "{failure}");
}
