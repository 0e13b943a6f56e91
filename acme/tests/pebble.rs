//! Certificates from a real ACME server: Pebble asks real listeners, which answer what the engine publishes.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::sync::Arc;

use acme::ChallengeKind::{Dns01, Http01, TlsAlpn01};
use acme::{CertificateState, Challenges, KeyKind, Wanted};
use http::StatusCode;
use support::eventually;
use support::pebble::{Behaviour, Pebble};
use support::proxy::{Proxy, Side};
use support::world::{World, secret, wanted};

async fn world(behaviour: Behaviour) -> (World, Pebble) {
    let world = World::new().await;
    let pebble = Pebble::start(behaviour, &world.responders).await;
    (world, pebble)
}

#[tokio::test]
async fn every_challenge_type_leads_to_a_certificate() {
    let (mut world, pebble) = world(Behaviour::default()).await;
    let rsa = Wanted { key: KeyKind::Rsa(2048), ..wanted(&["rsa.example"], &[TlsAlpn01]) };
    world.want(
        &pebble.directory_url,
        &pebble.ca_bundle,
        vec![
            ("http", wanted(&["http.example"], &[Http01])),
            ("alpn", wanted(&["alpn.example"], &[TlsAlpn01])),
            ("dns", wanted(&["dns.example"], &[Dns01])),
            ("wild", wanted(&["*.wild.example", "wild.example"], &[Dns01])),
            ("many", wanted(&["a.many.example", "b.many.example", "c.many.example"], &[Http01, Dns01])),
            ("rsa", rsa),
        ],
    );
    world.start().await;
    for (name, names) in [
        ("http", vec!["http.example"]),
        ("alpn", vec!["alpn.example"]),
        ("dns", vec!["dns.example"]),
        ("wild", vec!["*.wild.example", "wild.example"]),
        ("many", vec!["a.many.example", "b.many.example", "c.many.example"]),
    ] {
        let mut got = world.certificate(name).await.names.clone();
        got.sort();
        assert_eq!(got, names);
    }
    assert_eq!(world.certificate("rsa").await.key_kind, Some(KeyKind::Rsa(2048)));
    eventually("nothing is presented any more", || (world.held().challenges == Challenges::default()).then_some(())).await;
    eventually("all are ready", || world.held().states.values().all(|state| matches!(state, CertificateState::Ready { .. })).then_some(())).await;
    assert_eq!((world.files("ledger/accounts"), world.files("ledger/orders"), world.files("secrets")), (1, 0, 6));
    let before = world.held().certificates.clone();
    world.stop().await;
    world.start().await;
    assert_eq!(world.held().certificates, before, "held is complete at once after a restart");
}

#[tokio::test]
async fn a_certificate_is_renewed_with_a_new_key_before_it_ends() {
    let (mut world, pebble) = world(Behaviour { validity: 12, ..Behaviour::default() }).await;
    let proxy = Proxy::start(&pebble).await;
    world.want(&proxy.directory_url, &proxy.ca_bundle, vec![("short", wanted(&["short.example"], &[Http01]))]);
    world.start().await;
    let first = world.certificate("short").await;
    let second = eventually("a renewal", || world.held().certificates.get(&secret("short")).filter(|next| **next != first).cloned()).await;
    assert!(second.not_after > first.not_after && second.key_pem != first.key_pem);
    assert!(second.not_before < first.not_after, "renewed while the first was valid");
    let faults = proxy.faults.lock().unwrap();
    let identifier = first.ari_identifier().unwrap();
    let advised = faults.seen.iter().any(|(_, path, status)| path.ends_with(&identifier) && *status == StatusCode::OK);
    assert!(advised, "the CA was asked when to renew: {:?}", faults.seen);
    assert_eq!(faults.orders[1]["replaces"], identifier);
}

#[tokio::test]
async fn refused_nonces_are_only_slow() {
    for nonce_reject in [50, 90] {
        let (mut world, pebble) = world(Behaviour { nonce_reject, ..Behaviour::default() }).await;
        let names = ["a.nonce.example", "b.nonce.example"];
        world.want(&pebble.directory_url, &pebble.ca_bundle, vec![("nonce", wanted(&names, &[Http01]))]);
        world.start().await;
        assert_eq!(world.certificate("nonce").await.names.len(), 2);
    }
}

#[tokio::test]
async fn a_ca_that_is_down_is_waited_for() {
    let mut world = World::new().await;
    let port = ports::free().port();
    let url = format!("https://127.0.0.1:{port}/dir");
    let bundle = support::LoopbackIdentity::new().certificate_pem;
    world.want(&url, &bundle, vec![("late", wanted(&["late.example"], &[Http01]))]);
    world.start().await;
    let failure = world.failure("late").await;
    assert!(failure.message.contains(&format!("cannot reach 127.0.0.1:{port}")), "{}", failure.message);
    assert_eq!(failure.attempts, 1);
    let pebble = Pebble::start(Behaviour { port, ..Behaviour::default() }, &world.responders).await;
    world.want(&url, &[bundle, pebble.ca_bundle.clone()].concat(), vec![("late", wanted(&["late.example"], &[Http01]))]);
    assert_eq!(world.certificate("late").await.names, ["late.example"]);
}

#[tokio::test]
async fn a_ca_that_recovers_is_asked_again_by_itself() {
    let (mut world, pebble) = world(Behaviour::default()).await;
    let proxy = Proxy::start(&pebble).await;
    proxy.faults.lock().unwrap().instead = vec![("/dir", StatusCode::SERVICE_UNAVAILABLE, 1)];
    world.want(&proxy.directory_url, &proxy.ca_bundle, vec![("again", wanted(&["again.example"], &[Http01]))]);
    world.start().await;
    let failure = world.failure("again").await;
    assert!(failure.message.contains("status 503"), "{}", failure.message);
    proxy.faults.lock().unwrap().instead.clear();
    assert_eq!(world.certificate("again").await.names, ["again.example"]);
}

#[tokio::test]
async fn retry_after_of_a_limit_is_obeyed_and_its_words_are_shown() {
    let (mut world, pebble) = world(Behaviour::default()).await;
    let proxy = Proxy::start(&pebble).await;
    proxy.faults.lock().unwrap().instead = vec![("/order-plz", StatusCode::TOO_MANY_REQUESTS, 3)];
    world.want(&proxy.directory_url, &proxy.ca_bundle, vec![("limited", wanted(&["limited.example"], &[Http01]))]);
    let asked = std::time::SystemTime::now();
    world.start().await;
    let failure = world.failure("limited").await;
    assert!(failure.message.contains("too many, says the test (rateLimited)"), "{}", failure.message);
    let wait = failure.retry_at.duration_since(asked).unwrap();
    assert!(wait.as_secs() >= 2 && wait.as_secs() < 3600, "the server's time, not the ladder's hour: {wait:?}");
    proxy.faults.lock().unwrap().instead.clear();
    assert_eq!(world.certificate("limited").await.names, ["limited.example"]);
}

#[tokio::test]
async fn a_refused_name_shows_the_words_of_the_ca_and_its_neighbour_gets_a_certificate() {
    let (mut world, pebble) = world(Behaviour::default()).await;
    world.want(
        &pebble.directory_url,
        &pebble.ca_bundle,
        vec![("blocked", wanted(&["x.blocked.example"], &[Http01])), ("good", wanted(&["good.example"], &[Http01]))],
    );
    world.start().await;
    let failure = world.failure("blocked").await;
    assert!(failure.message.contains("rejectedIdentifier") && failure.message.contains("blocked.example"), "{}", failure.message);
    assert_eq!(world.certificate("good").await.names, ["good.example"]);
}

#[tokio::test]
async fn the_ca_is_not_asked_before_our_own_listener_answers() {
    let (mut world, pebble) = world(Behaviour::default()).await;
    let proxy = Proxy::start(&pebble).await;
    world.self_check.deadline = std::time::Duration::from_millis(300);
    world.want(&proxy.directory_url, &proxy.ca_bundle, vec![("checked", wanted(&["checked.example"], &[Http01]))]);
    world.start().await;
    let source = world.responders.source.clone();
    source.follow(None);
    let failure = world.failure("checked").await;
    assert!(failure.message.contains("our own listener does not answer") && failure.message.contains("status 404"), "{}", failure.message);
    let told = proxy.faults.lock().unwrap().seen.iter().any(|(_, path, _)| path.contains("/chalZ/"));
    assert!(!told, "the CA was told of a challenge that is not answered");
    world.stop().await;
    world.start().await;
    assert_eq!(world.certificate("checked").await.names, ["checked.example"]);
    assert_eq!((proxy.created("/order-plz"), proxy.created("/sign-me-up")), (1, 1), "the same order went on");
}

#[tokio::test]
async fn a_failed_validation_shows_what_the_ca_saw() {
    let (mut world, pebble) = world(Behaviour::default()).await;
    // Nothing is checked here, so that the CA is told although its way to us is closed.
    world.self_check = acme::SelfCheck::default();
    world.want(&pebble.directory_url, &pebble.ca_bundle, vec![("closed", wanted(&["closed.example"], &[Http01, TlsAlpn01]))]);
    world.start().await;
    world.responders.source.follow(None);
    let failure = world.failure("closed").await;
    assert!(failure.message.starts_with("closed.example: ") && failure.message.contains("(unauthorized)"), "{}", failure.message);
    assert_eq!(world.files("ledger/orders"), 0, "a spent order is forgotten");
}

/// Breaks the engine off at each of its requests, before the CA hears of it and after, and starts another one on the same store.
#[tokio::test]
async fn an_order_survives_a_crash_at_any_request() {
    for side in [Side::Request, Side::Answer] {
        for request in 0.. {
            let (mut world, pebble) = world(Behaviour::default()).await;
            let proxy = Proxy::start(&pebble).await;
            proxy.faults.lock().unwrap().cut = Some((request, side));
            world.want(&proxy.directory_url, &proxy.ca_bundle, vec![("crash", wanted(&["crash.example"], &[Http01]))]);
            world.start().await;
            let ended = eventually("the crash, or the end", || {
                if proxy.faults.lock().unwrap().was_cut { Some(false) } else { world.held().certificates.get(&secret("crash")).map(|_| true) }
            });
            if ended.await {
                assert!(request > 8, "only {request} requests to a certificate");
                break;
            }
            let lost_order = side == Side::Answer && proxy.created("/order-plz") == 1 && world.files("ledger/orders") == 0;
            // A CA that was told of the challenge looks at once. Were nobody to answer, it would rightly find the order invalid.
            world.responders.source.keep();
            world.stop().await;
            world.start().await;
            assert_eq!(world.certificate("crash").await.names, ["crash.example"]);
            assert_eq!(proxy.created("/sign-me-up"), 1, "{side:?} {request}: one account");
            // The answer that names a new order was lost: nobody can know of that one.
            let orders = if lost_order { 2 } else { 1 };
            let seen: Vec<_> = proxy.faults.lock().unwrap().seen.iter().map(|(_, path, status)| format!("{path} {status}")).collect();
            assert_eq!(proxy.created("/order-plz"), orders, "{side:?} {request}: orders; {seen:#?}");
        }
    }
}

#[tokio::test]
async fn issuers_without_a_server_sign_here() {
    use acme::{CaKeyPair, Issuer, IssuerId, WantedSet};
    let mut world = World::new().await;
    let id = |name: &str| IssuerId { namespace: Some("team".to_owned()), name: name.to_owned() };
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = CaKeyPair { chain_pem: params.self_signed(&key).unwrap().pem(), key_pem: key.serialize_pem() };
    let broken = CaKeyPair { chain_pem: "none".to_owned(), ..ca.clone() };
    let issuers = [("self", Issuer::SelfSigned), ("ca", Issuer::Ca(ca.clone())), ("broken", Issuer::Ca(broken))];
    let certificates = ["self", "ca", "broken"].map(|name| (secret(name), Wanted { issuer: id(name), ..wanted(&["local.example"], &[]) }));
    let set = WantedSet { issuers: issuers.map(|(name, issuer)| (id(name), issuer)).into(), certificates: certificates.into() };
    world.wanted.send_replace(Arc::new(set));
    world.start().await;
    assert_eq!(world.certificate("self").await.issuer, "Issuer team/self");
    assert!(world.certificate("ca").await.ca_pem.is_some());
    let failure = world.failure("broken").await;
    assert_eq!(failure.message, "the issuer's key pair cannot be used: no certificate in PEM form");
}
