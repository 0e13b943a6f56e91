//! Plans for certificates that are held, wanted, failed and due.
#![allow(clippy::unwrap_used, clippy::panic)]
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};

use super::{Action, Limits, Plan, Reason, plan};
use crate::failure::FailureKind;
use crate::ledger::{FailureRecord, Ledger, OrderRecord, Record, Running, issuer_fingerprint, spec_fingerprint};
use crate::renewal::RenewalAdvice;
use crate::{AcmeIssuer, CertificateState, ChallengeKind, Failure, HeldCertificate, Issuer, IssuerId, KeyKind, SecretName, Wanted, WantedSet};

const LIMITS: Limits = Limits { per_issuer: 2, polls: 3 };
const DAY: u64 = 86_400;

fn at(days: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(days * DAY)
}

fn secret(name: &str) -> SecretName {
    let (namespace, name) = name.split_once('/').unwrap_or(("team", name));
    SecretName { namespace: namespace.to_owned(), name: name.to_owned() }
}

fn issuer_id(name: &str) -> IssuerId {
    IssuerId { namespace: None, name: name.to_owned() }
}

fn acme(server: &str) -> Issuer {
    Issuer::Acme(AcmeIssuer { server: server.to_owned(), email: String::new(), ca_bundle: None, account_key: secret("account"), profile: None })
}

fn want(names: &[&str]) -> Wanted {
    Wanted {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        issuer: issuer_id("le"),
        key: KeyKind::EcdsaP256,
        duration: None,
        renew_before: None,
        challenges: names.iter().map(|name| ((*name).to_owned(), vec![ChallengeKind::Http01])).collect(),
        obtained_for: None,
        wanted_by: "Ingress team/a".to_owned(),
        secret_annotations: BTreeMap::new(),
        secret_labels: BTreeMap::new(),
    }
}

fn held(names: &[&str], until: u64) -> HeldCertificate {
    HeldCertificate {
        chain_pem: String::new(),
        key_pem: String::new(),
        ca_pem: None,
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        not_before: at(0),
        not_after: at(until),
        issuer: "ClusterIssuer le".to_owned(),
        signer: None,
        key_kind: Some(KeyKind::EcdsaP256),
    }
}

/// A world with one issuer `le`; certificates are added to it.
#[derive(Clone, Default)]
struct World {
    wanted: WantedSet,
    held: BTreeMap<SecretName, Arc<HeldCertificate>>,
    ledger: Ledger,
}

impl World {
    fn new() -> Self {
        let mut world = Self::default();
        world.wanted.issuers.insert(issuer_id("le"), acme("https://ca.example/dir"));
        world
    }

    fn wants(mut self, name: &str, names: &[&str]) -> Self {
        self.wanted.certificates.insert(secret(name), want(names));
        self
    }

    fn holds(mut self, name: &str, certificate: HeldCertificate) -> Self {
        let advice = RenewalAdvice { not_after: certificate.not_after, window: None, next_poll: at(9999), failures: 0, explanation_url: None };
        self.ledger.records.insert(secret(name), Record { advice: Some(advice), ..Record::default() });
        self.held.insert(secret(name), Arc::new(certificate));
        self
    }

    fn failed(mut self, name: &str, retry: u64) -> Self {
        let spec = self.spec(name);
        let failure = FailureRecord { spec, kind: FailureKind::Rejected, message: "no".to_owned(), attempts: 3, retry_at: at(retry) };
        self.ledger.records.entry(secret(name)).or_default().failure = Some(failure);
        self
    }

    fn ordered(mut self, name: &str, spec: String) -> Self {
        let order = OrderRecord { url: "https://ca.example/order/1".to_owned(), spec, key_pem: String::new(), created: at(1) };
        self.ledger.orders.insert(secret(name), order);
        self
    }

    fn runs(mut self, name: &str, names: &[&str]) -> Self {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        self.ledger.running.insert(secret(name), Running { issuer: issuer_id("le"), payer: secret(name).namespace, names });
        self
    }

    fn spec(&self, name: &str) -> String {
        spec_fingerprint(&self.wanted.certificates[&secret(name)], &self.wanted.issuers[&issuer_id("le")])
    }

    fn plan(&self, day: u64) -> Plan {
        plan(&self.wanted, &self.held, &self.ledger, LIMITS, at(day))
    }
}

fn issue(name: &str, reason: Reason) -> Action {
    Action::Issue { secret: secret(name), reason }
}

fn plain_ready(renew: u64) -> CertificateState {
    CertificateState::Ready { renew_at: at(renew), renewal_failure: None }
}

#[test]
fn each_reason_leads_to_an_order_and_nothing_else_does() {
    let base = World::new().wants("a", &["a.example"]);
    let other_key = HeldCertificate { key_kind: Some(KeyKind::Rsa(2048)), ..held(&["a.example"], 90) };
    let other_issuer = HeldCertificate { issuer: "ClusterIssuer other".to_owned(), ..held(&["a.example"], 90) };
    let rows = [
        (base.clone(), 1, Some(Reason::Missing)),
        (base.clone().holds("a", held(&["b.example"], 90)), 1, Some(Reason::NamesNotCovered)),
        (base.clone().holds("a", other_issuer), 1, Some(Reason::IssuerChanged)),
        (base.clone().holds("a", other_key), 1, Some(Reason::KeyKindChanged)),
        (base.clone().holds("a", held(&["a.example"], 90)), 59, None),
        (base.clone().holds("a", held(&["a.example", "more.example"], 90)), 59, None),
        (base.clone().holds("a", held(&["a.example"], 90)), 60, Some(Reason::RenewalDue)),
        (base.clone().holds("a", held(&["a.example"], 90)), 200, Some(Reason::RenewalDue)),
        (base.clone().runs("a", &["a.example"]), 1, None),
        (base.clone().failed("a", 5), 4, None),
        (base.failed("a", 5), 5, Some(Reason::Missing)),
        (World::new().holds("a", held(&["a.example"], 90)), 89, None),
    ];
    for (row, (world, day, reason)) in rows.into_iter().enumerate() {
        let expected: Vec<_> = reason.map(|reason| issue("a", reason)).into_iter().collect();
        assert_eq!(world.plan(day).actions, expected, "row {row}");
    }
}

#[test]
fn a_changed_request_does_not_wait_for_an_old_failure() {
    let mut world = World::new().wants("a", &["a.example"]).failed("a", 50);
    assert_eq!(world.plan(1).actions, []);
    world.wanted.certificates.insert(secret("a"), want(&["a.example", "b.example"]));
    assert_eq!(world.plan(1).actions, [issue("a", Reason::Missing)]);
}

#[test]
fn the_same_issuer_name_with_another_server_is_another_issuer() {
    let signer = Some(issuer_fingerprint(&acme("https://ca.example/dir")));
    let mut world = World::new().wants("a", &["a.example"]).holds("a", HeldCertificate { signer, ..held(&["a.example"], 90) });
    assert_eq!(world.plan(1).actions, []);
    world.wanted.issuers.insert(issuer_id("le"), acme("https://other.example/dir"));
    assert_eq!(world.plan(1).actions, [issue("a", Reason::IssuerChanged)]);
}

#[test]
fn states_say_where_each_certificate_stands() {
    let failure = Failure { message: "no".to_owned(), attempts: 3, retry_at: at(70) };
    let base = World::new().wants("a", &["a.example"]);
    let rows = [
        (base.clone(), 1, CertificateState::Issuing),
        (base.clone().failed("a", 70), 1, CertificateState::Failed(failure.clone())),
        (base.clone().holds("a", held(&["a.example"], 90)), 1, plain_ready(60)),
        (
            base.clone().holds("a", held(&["a.example"], 90)).failed("a", 70),
            65,
            CertificateState::Ready { renew_at: at(60), renewal_failure: Some(failure) },
        ),
        (base.holds("a", held(&["b.example"], 90)), 1, CertificateState::Issuing),
    ];
    for (row, (world, day, state)) in rows.into_iter().enumerate() {
        assert_eq!(world.plan(day).states, BTreeMap::from([(secret("a"), state)]), "row {row}");
    }
}

#[test]
fn a_missing_issuer_is_said_and_not_tried() {
    let mut world = World::new().wants("a", &["a.example"]);
    world.wanted.issuers.clear();
    let plan = world.plan(1);
    assert_eq!(plan.actions, []);
    let CertificateState::Failed(failure) = &plan.states[&secret("a")] else { panic!("not failed") };
    assert_eq!(failure.message, "ClusterIssuer le does not exist or cannot be used");
}

#[test]
fn it_wakes_for_the_next_retry_renewal_or_poll() {
    let base = World::new().wants("a", &["a.example"]);
    assert_eq!(base.plan(1).wake_at, None);
    assert_eq!(base.clone().failed("a", 5).plan(1).wake_at, Some(at(5)));
    assert_eq!(base.clone().holds("a", held(&["a.example"], 90)).plan(1).wake_at, Some(at(60)));
    let mut world = base.holds("a", held(&["a.example"], 90));
    world.ledger.records.get_mut(&secret("a")).unwrap().advice.as_mut().unwrap().next_poll = at(2);
    assert_eq!(world.plan(1).wake_at, Some(at(2)));
    assert_eq!(world.plan(2).actions, [Action::PollAdvice { secret: secret("a") }]);
}

#[test]
fn advice_is_asked_at_once_for_a_new_certificate_and_not_by_everybody_together() {
    let mut world = World::new();
    for name in ["a", "b", "c", "d", "e"] {
        world = world.wants(name, &[name]).holds(name, held(&[name], 90));
        world.ledger.records.remove(&secret(name));
    }
    let polls = |world: &World| world.plan(1).actions;
    assert_eq!(polls(&world), ["a", "b", "c"].map(|name| Action::PollAdvice { secret: secret(name) }));
    world.ledger.polling.extend(["a", "b"].map(secret));
    assert_eq!(polls(&world), [Action::PollAdvice { secret: secret("c") }]);
}

#[test]
fn orders_that_lead_nowhere_are_forgotten() {
    let base = World::new().wants("a", &["a.example"]);
    let (right, wrong) = (base.spec("a"), "another".to_owned());
    let forget = Action::ForgetOrder { secret: secret("a") };
    let rows = [
        (base.clone().ordered("a", right.clone()), 1, vec![issue("a", Reason::Missing)]),
        (base.clone().ordered("a", wrong.clone()), 1, vec![forget.clone(), issue("a", Reason::Missing)]),
        (base.clone().ordered("a", right.clone()).holds("a", held(&["a.example"], 90)), 1, vec![forget.clone()]),
        (base.ordered("a", wrong).runs("a", &["a.example"]), 1, vec![]),
        (World::new().ordered("a", right.clone()), 9, vec![]),
        (World::new().ordered("a", right), 10, vec![forget]),
    ];
    for (row, (world, day, actions)) in rows.into_iter().enumerate() {
        assert_eq!(world.plan(day).actions, actions, "row {row}");
    }
}

#[test]
fn namespaces_take_turns() {
    let mut world = World::new();
    for name in ["big/1", "big/2", "big/3", "small/1"] {
        world = world.wants(name, &[name]);
    }
    assert_eq!(world.plan(1).actions, [issue("big/1", Reason::Missing), issue("small/1", Reason::Missing)]);
    let busy = world.clone().runs("big/1", &["big/1"]);
    assert_eq!(busy.plan(1).actions, [issue("small/1", Reason::Missing)]);
    world.ledger.served.insert("big".to_owned(), at(1));
    assert_eq!(world.plan(1).actions, [issue("small/1", Reason::Missing), issue("big/1", Reason::Missing)]);
}

#[test]
fn what_the_platform_keeps_for_a_namespace_takes_its_turn() {
    let mut world = World::new();
    for name in ["_platform/host-1", "_platform/host-2", "_platform/wildcard", "big/0", "small/1"] {
        world = world.wants(name, &[name]);
    }
    for name in ["_platform/host-1", "_platform/host-2"] {
        world.wanted.certificates.get_mut(&secret(name)).unwrap().obtained_for = Some("big".to_owned());
    }
    world.ledger.served.insert("big".to_owned(), at(1));
    assert_eq!(world.plan(1).actions, [issue("_platform/wildcard", Reason::Missing), issue("small/1", Reason::Missing)]);
}

#[test]
fn attempts_about_one_name_do_not_run_together() {
    let world = World::new().wants("a", &["a.example", "x.example"]).wants("b", &["b.example", "x.example"]);
    assert_eq!(world.plan(1).actions, [issue("a", Reason::Missing)]);
    assert_eq!(world.runs("a", &["a.example", "x.example"]).plan(1).actions, []);
}

#[test]
fn within_a_namespace_the_one_that_ends_first_goes_first_and_missing_ones_before() {
    let mut world = World::new().wants("a", &["a"]).wants("b", &["b"]).wants("c", &["c"]);
    world = world.holds("a", held(&["a"], 90)).holds("b", held(&["b"], 85));
    assert_eq!(world.plan(80).actions, [issue("c", Reason::Missing), issue("b", Reason::RenewalDue)]);
}

proptest! {
    /// Whatever is wanted, held and running: limits hold, nothing runs twice, states cover what is wanted, and what waits has a time to wake.
    #[test]
    fn limits_hold_and_nobody_is_forgotten(
        entries in prop::collection::btree_map((0_u8..4, 0_u8..6), (prop_oneof![Just(None), (1_u64..200).prop_map(Some)], any::<bool>(), any::<bool>(), 0_u64..100), 0..20),
        day in 1_u64..150,
    ) {
        let mut world = World::new();
        for ((namespace, name), (until, runs, fails, retry)) in &entries {
            let name = format!("n{namespace}/{name}");
            world = world.wants(&name, &[&name]);
            if let Some(until) = until { world = world.holds(&name, held(&[&name], *until)); }
            if *fails { world = world.failed(&name, *retry); }
            if *runs { world = world.runs(&name, &[&name]); }
        }
        let plan = world.plan(day);
        let started: Vec<_> = plan.actions.iter().filter_map(|action| match action { Action::Issue { secret, .. } => Some(secret), _ => None }).collect();
        assert!(started.len() + world.ledger.running.len() <= LIMITS.per_issuer.max(world.ledger.running.len()));
        assert!(started.iter().all(|secret| !world.ledger.running.contains_key(*secret)));
        assert_eq!(started.iter().collect::<BTreeSet<_>>().len(), started.len());
        assert_eq!(plan.states.keys().collect::<Vec<_>>(), world.wanted.certificates.keys().collect::<Vec<_>>());
        assert!(plan.wake_at.is_none_or(|wake| wake > at(day)));
    }
}
