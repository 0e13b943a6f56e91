//! An engine with a state directory that outlives it, what it is asked for, and what it says.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use acme::{
    AcmeIssuer, CertificateState, ChallengeKind, Engine, Failure, FileStore, Held, HeldCertificate, Issuer, IssuerId, KeyKind, Listeners, Metrics,
    Options, SecretName, SelfCheck, Wanted, WantedSet,
};
use tokio::sync::watch;

use super::eventually;
use super::responders::Responders;

pub struct World {
    pub state: tempfile::TempDir,
    pub wanted: watch::Sender<Arc<WantedSet>>,
    pub responders: Responders,
    pub self_check: SelfCheck,
    pub registry: prometheus::Registry,
    running: Option<(Engine, watch::Receiver<Arc<Held>>)>,
}

pub fn secret(name: &str) -> SecretName {
    SecretName { namespace: "team".to_owned(), name: name.to_owned() }
}

pub fn issuer_id() -> IssuerId {
    IssuerId { namespace: None, name: "pebble".to_owned() }
}

pub fn wanted(names: &[&str], challenges: &[ChallengeKind]) -> Wanted {
    Wanted {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        issuer: issuer_id(),
        key: KeyKind::EcdsaP256,
        duration: None,
        renew_before: None,
        challenges: names.iter().map(|name| ((*name).to_owned(), challenges.to_vec())).collect(),
        obtained_for: None,
        wanted_by: "Ingress team/app".to_owned(),
        secret_annotations: BTreeMap::new(),
        secret_labels: BTreeMap::new(),
    }
}

impl World {
    pub async fn new() -> Self {
        let responders = Responders::start().await;
        let listeners = Listeners { dns: vec![responders.dns], http: vec![responders.http], https: vec![responders.https] };
        let self_check = SelfCheck { deadline: Duration::from_secs(10), ..SelfCheck::of(listeners) };
        let state = tempfile::tempdir().unwrap();
        let (wanted, registry) = (watch::Sender::default(), prometheus::Registry::new());
        Self { state, wanted, responders, self_check, registry, running: None }
    }

    /// Asks for certificates from this CA.
    pub fn want(&self, directory_url: &str, ca_bundle: &str, certificates: Vec<(&str, Wanted)>) {
        let issuer = Issuer::Acme(AcmeIssuer {
            server: directory_url.to_owned(),
            email: "ops@platform.example".to_owned(),
            ca_bundle: Some(ca_bundle.to_owned()),
            account_key: secret("account"),
            profile: Some("default".to_owned()),
        });
        let certificates = certificates.into_iter().map(|(name, wanted)| (secret(name), wanted)).collect();
        self.wanted.send_replace(Arc::new(WantedSet { issuers: BTreeMap::from([(issuer_id(), issuer)]), certificates }));
    }

    pub async fn start(&mut self) {
        let store = FileStore::open(self.state.path()).unwrap();
        self.registry = prometheus::Registry::new();
        let metrics = Metrics::register(&self.registry).unwrap();
        let options = Options::new(self.self_check.clone());
        let (engine, held) = Engine::start(Arc::new(store), self.wanted.subscribe(), options, metrics).await.unwrap();
        self.responders.source.follow(Some(held.clone()));
        self.running = Some((engine, held));
    }

    /// Stops the engine wherever it is.
    pub async fn stop(&mut self) {
        self.responders.source.follow(None);
        if let Some((engine, _)) = self.running.take() {
            engine.stop().await;
        }
        let path = self.state.path().to_owned();
        eventually("the store is free", || FileStore::open(&path).ok()).await;
    }

    pub fn held(&self) -> Arc<Held> {
        self.running.as_ref().unwrap().1.borrow().clone()
    }

    pub async fn certificate(&self, name: &str) -> Arc<HeldCertificate> {
        eventually(name, || self.held().certificates.get(&secret(name)).cloned()).await
    }

    /// Waits until an attempt has failed.
    pub async fn failure(&self, name: &str) -> Failure {
        eventually(name, || match self.held().states.get(&secret(name)) {
            Some(CertificateState::Failed(failure)) => Some(failure.clone()),
            _ => None,
        })
        .await
    }

    pub fn files(&self, below: &str) -> usize {
        count(&self.state.path().join(below))
    }
}

fn count(path: &Path) -> usize {
    let Ok(listing) = std::fs::read_dir(path) else { return 0 };
    listing.map(|entry| entry.unwrap().path()).map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
}
