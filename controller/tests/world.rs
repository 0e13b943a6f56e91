//! A simulated world: objects come, change and go, the clock jumps, the CA fails, reads are missed, the program restarts; after each step everything that
//! must always hold is checked. Every run is determined by its seed, which a failure prints; `VRATA_SEED=N` runs that one alone.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use acme::{CertificateState, Failure, Held, HeldCertificate, SecretName};
use controller::addresses::Allocations;
use controller::assemble::Zones;
use controller::compile::{Compiled, Facts, Memory, Settings, compile, compile_changes};
use controller::config::{Config, Pool, Zone};
use controller::effects::Effects;
use controller::objects::{Balancers, ObjectKey, Objects};
use controller::replicas::serials::Authority;
use controller::source;
use controller::state::StateDir;

const SEEDS: u64 = 24;
const STEPS: usize = 25;
const NGINX: &str = "nginx.ingress.kubernetes.io/";

/// A deterministic source of choices (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(bound).unwrap()).unwrap()
    }

    fn pick<'t>(&mut self, from: &[&'t str]) -> &'t str {
        from[self.below(from.len())]
    }
}

#[derive(Debug)]
enum Op {
    Apply(String, String),
    Delete(String),
    /// Seconds, also backwards.
    Advance(i64),
    /// A certificate of a zone's wildcard or of a namespace, for these names, for a day.
    Hold(SecretName, Vec<String>),
    Restart,
    FailCa,
    HealCa,
    /// The next changes are not seen until a later read.
    DropWatch,
}

struct World {
    manifests: tempfile::TempDir,
    state: tempfile::TempDir,
    settings: Settings,
    documents: BTreeMap<String, String>,
    seen: BTreeMap<String, String>,
    objects: Objects,
    effects: Option<Effects>,
    zones: Zones,
    held: Held,
    now: i64,
    created: i64,
    /// What was seen when the allocations of the last step were made.
    last_seen: BTreeMap<String, String>,
    last_allocations: Allocations,
    /// Content and serial of each zone.
    last_zones: BTreeMap<String, ([u8; 32], u32)>,
    /// Of everything that was compiled, whatever it was.
    memory: Memory,
}

fn settings() -> Settings {
    let mut config = Config::default();
    config.gateway.public_addresses = vec!["192.0.2.10".parse().unwrap()];
    config.dns.zones = ["dyn.example.org", "lab.example.net"].map(|name| Zone { name: name.into(), file: None, cname: None, ttl: 60 }).into();
    config.addresses.pools = vec![
        Pool { name: "public".into(), ranges: vec!["198.51.100.0/30".into()], auto_assign: true },
        Pool { name: "private".into(), ranges: vec!["10.16.0.10-10.16.0.12".into()], auto_assign: false },
    ];
    Settings::from_config(&config, &BTreeMap::new()).unwrap()
}

const PLATFORM: &str = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: nginx}\nspec: {controller: k8s.io/ingress-nginx}\n---\n\
    apiVersion: cert-manager.io/v1\nkind: ClusterIssuer\nmetadata: {name: letsencrypt-prod}\nspec: {acme: {server: 'https://acme.example.net/dir', privateKeySecretRef: {name: account}}}\n---\n";

/// Manifests of somebody who is wrong about everything; none of them may be noticed by others.
const BAD: [&str; 5] = [
    "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: bad, namespace: mallory}\nspec: {ingressClassName: nginx, rules: [{host: 'a..b'}]}\n",
    "kind: [unclosed\n",
    "apiVersion: v1\nkind: Service\nmetadata: {name: bad, namespace: mallory, annotations: {metallb.io/address-pool: nosuch}}\nspec: {type: LoadBalancer, ports: [{port: 443}]}\n",
    "apiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata: {name: bad, namespace: mallory}\nspec: {secretName: x, issuerRef: {name: nosuch, kind: ClusterIssuer}, dnsNames: ['*.dyn.example.org', dyn.example.org]}\n",
    "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: bad, namespace: mallory, annotations: {nginx.ingress.kubernetes.io/server-snippet: 'return 200;'}}\nspec: {ingressClassName: nginx, rules: [{host: dyn.example.org}, {host: '*.org'}, {host: '*.dyn.example.org'}, {host: ns1.lab.example.net}]}\n",
];

impl World {
    fn new() -> Self {
        let (manifests, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let effects = Some(open(state.path()));
        Self {
            manifests,
            state,
            settings: settings(),
            documents: BTreeMap::new(),
            seen: BTreeMap::new(),
            objects: Objects::default(),
            effects,
            zones: Zones::default(),
            held: Held::default(),
            now: 1_795_500_000,
            created: 0,
            last_seen: BTreeMap::new(),
            last_allocations: Allocations::default(),
            last_zones: BTreeMap::new(),
            memory: Memory::default(),
        }
    }

    fn random_op(&mut self, dice: &mut Dice) -> Op {
        match dice.below(22) {
            0..=10 => self.random_object(dice),
            20 | 21 => self.random_certificate(dice),
            11..=13 if !self.documents.is_empty() => {
                let at = dice.below(self.documents.len());
                Op::Delete(self.documents.keys().nth(at).unwrap().clone())
            }
            14 => Op::Advance(-7200),
            15 => Op::Advance(86_400),
            16 => Op::Restart,
            17 => Op::FailCa,
            18 => Op::HealCa,
            _ => Op::DropWatch,
        }
    }

    fn random_certificate(&self, dice: &mut Dice) -> Op {
        if dice.below(2) == 0 {
            let zone = dice.pick(&["dyn.example.org", "lab.example.net"]);
            let secret = SecretName { namespace: SecretName::PLATFORM.into(), name: format!("wildcard-{zone}") };
            return Op::Hold(secret, vec![zone.to_owned(), format!("*.{zone}")]);
        }
        let of_zone = |secret: &SecretName| ["wildcard-dyn.example.org", "wildcard-lab.example.net"].contains(&&*secret.name);
        let wanted = self.held.states.keys().filter(|secret| !of_zone(secret)).collect::<Vec<_>>();
        if wanted.is_empty() {
            return Op::DropWatch;
        }
        let names = ["x", "*.y", "deep.y", "z"].map(|host| format!("{host}.{}", dice.pick(&["dyn.example.org", "elsewhere.test"])));
        Op::Hold(wanted[dice.below(wanted.len())].clone(), names.into())
    }

    fn random_object(&mut self, dice: &mut Dice) -> Op {
        let (namespace, name) = (dice.pick(&["a", "b", "c"]), dice.pick(&["one", "two", "three"]));
        let host = dice.pick(&["x", "y", "*.y", "deep.y", "*"]);
        let zone = dice.pick(&["dyn.example.org", "lab.example.net", "elsewhere.test"]);
        let host = if host == "*" { format!("z.{zone}") } else { format!("{host}.{zone}") };
        self.created += 1;
        let kind = dice.pick(&["Ingress", "Ingress", "Service", "Service", "Certificate", "Secret", "ReferenceGrant", "EndpointSlice", "Issuer"]);
        let key = format!("{kind} {namespace}/{name}");
        // A change keeps the object's birth, as in Kubernetes.
        let born = self.documents.get(&key).and_then(|old| old.split("creationTimestamp: '").nth(1)?.split('\'').next().map(str::to_owned));
        let born = born.unwrap_or_else(|| jiff::Timestamp::from_second(1_700_000_000 + self.created).unwrap().to_string());
        let metadata = format!("name: {name}, namespace: {namespace}, creationTimestamp: '{born}'");
        let secret = dice.pick(&["", "", "one", "b/one", "c/two"]);
        let auth = if secret.is_empty() { String::new() } else { format!(", {NGINX}auth-type: basic, {NGINX}auth-secret: {secret}") };
        let (issuer, issuer_kind) = if dice.below(3) == 0 { (name, "Issuer") } else { ("letsencrypt-prod", "ClusterIssuer") };
        let document = match kind {
            "Secret" => format!(
                "apiVersion: v1\nkind: Secret\nmetadata: {{{metadata}}}\nstringData: {{auth: 'x{}:{{SHA}}W6ph5Mm5Pz8GgiULbPgzG37mj9g='}}\n",
                self.created
            ),
            "ReferenceGrant" => format!(
                "apiVersion: gateway.networking.k8s.io/v1\nkind: ReferenceGrant\nmetadata: {{{metadata}}}\n\
                 spec: {{from: [{{group: networking.k8s.io, kind: Ingress, namespace: {}}}], to: [{{group: '', kind: Secret}}]}}\n",
                dice.pick(&["a", "b"])
            ),
            "EndpointSlice" => format!(
                "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{{metadata}, labels: {{kubernetes.io/service-name: one}}}}\naddressType: IPv4\n\
                 ports: [{{port: 8080}}]\nendpoints: [{{addresses: [10.0.0.{}]}}]\n",
                self.created % 250
            ),
            "Issuer" => format!("apiVersion: cert-manager.io/v1\nkind: Issuer\nmetadata: {{{metadata}}}\nspec: {{selfSigned: {{}}}}\n"),
            "Ingress" => format!(
                "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{{metadata}, annotations: {{kubernetes.io/tls-acme: 'true'{auth}}}}}\nspec: {{ingressClassName: nginx, \
                 tls: [{{hosts: ['{host}'], secretName: {name}-tls}}], rules: [{{host: '{host}', http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: one, port: {{number: 80}}}}}}}}]}}}}]}}\n"
            ),
            "Service" => {
                let pool = dice.pick(&[
                    "",
                    ", metallb.io/address-pool: private",
                    ", metallb.io/loadBalancerIPs: 198.51.100.1",
                    ", metallb.io/address-pool: nosuch",
                ]);
                let key = dice.pick(&["", ", metallb.io/allow-shared-ip: k"]);
                let port = dice.pick(&["80", "443", "5432"]);
                format!(
                    "apiVersion: v1\nkind: Service\nmetadata: {{{metadata}, annotations: {{external-dns.alpha.kubernetes.io/hostname: '{host}'{pool}{key}}}}}\n\
                     spec: {{type: LoadBalancer, ports: [{{port: {port}}}]}}\n"
                )
            }
            _ => format!(
                "apiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata: {{{metadata}}}\n\
                 spec: {{secretName: {name}-tls, issuerRef: {{name: {issuer}, kind: {issuer_kind}}}, dnsNames: ['{host}']}}\n"
            ),
        };
        Op::Apply(key, document)
    }

    /// Applies the operation; whether changes of objects are seen.
    fn apply(&mut self, op: Op) -> bool {
        match op {
            Op::Apply(key, document) => drop(self.documents.insert(key, document)),
            Op::Delete(key) => drop(self.documents.remove(&key)),
            Op::Advance(seconds) => self.now += seconds,
            Op::Hold(secret, names) => drop(self.held.certificates.insert(secret, Arc::new(certificate(names, self.now)))),
            Op::Restart => {
                let before = self.allocations();
                drop(self.effects.take());
                let effects = open(self.state.path());
                assert_eq!(*effects.held(&Balancers::among(&self.objects.services), &self.settings.pools), before, "allocations survive a restart");
                (self.effects, self.zones) = (Some(effects), Zones::default());
            }
            Op::FailCa => self.held.states.values_mut().for_each(|state| {
                let retry_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
                *state = CertificateState::Failed(Failure { message: "the CA is down".into(), attempts: 1, retry_at });
            }),
            Op::HealCa => {
                self.held.states.values_mut().for_each(|state| *state = CertificateState::Issuing);
                let challenge = vec![format!("token-{}", self.now)];
                self.held.challenges.dns01.insert("_acme-challenge.dyn.example.org".into(), challenge);
            }
            Op::DropWatch => return false,
        }
        true
    }

    fn read(&self, extra: &str) -> Objects {
        let all = self.seen.values().fold(PLATFORM.to_owned(), |all, document| all + document + "---\n") + extra;
        std::fs::write(self.manifests.path().join("in.yaml"), all).unwrap();
        source::read(&[self.manifests.path().to_owned()]).unwrap().objects
    }

    fn allocations(&self) -> Allocations {
        self.effects.as_ref().unwrap().held(&Balancers::among(&self.objects.services), &self.settings.pools).into_owned()
    }

    fn facts(&self) -> Facts {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(self.now).unwrap());
        Facts { held: Arc::new(self.held.clone()), allocations: self.allocations(), now, ..Facts::default() }
    }

    /// Compiles anew, and with what is remembered of anything before: that makes no difference.
    fn compile(&mut self, objects: &Objects) -> Compiled {
        let facts = self.facts();
        let remembered = compile_changes(&mut self.memory, objects, &self.settings, &facts);
        let compiled = compile(objects, &self.settings, &facts);
        assert_eq!(told(&remembered), told(&compiled), "what is remembered makes a difference");
        compiled
    }

    fn step(&mut self, dice: &mut Dice) {
        let op = self.random_op(dice);
        if self.apply(op) {
            self.seen = self.documents.clone();
        }
        self.objects = self.read("");
        let compiled = self.compile(&self.objects.clone());
        self.nobody_shares_unlawfully(&compiled.allocations);
        self.no_allocation_moves(&compiled.allocations);
        let effects = self.effects.as_mut().unwrap();
        effects.allocate(&compiled.allocations).unwrap();
        self.serials_follow_contents(&compiled);
        let again = self.compile(&self.objects.clone());
        assert_eq!(told(&compiled), told(&again), "compile∘apply is a fixed point");
        let beside = self.read(BAD[dice.below(BAD.len())]);
        assert_eq!(served(&again), served(&self.compile(&beside)), "a bad object is nobody else's business");
        self.held.states = compiled.wanted.certificates.keys().map(|secret| (secret.clone(), self.state_of(secret))).collect();
        (self.last_seen, self.last_allocations) = (self.seen.clone(), compiled.allocations);
    }

    fn state_of(&self, secret: &SecretName) -> CertificateState {
        self.held.states.get(secret).cloned().unwrap_or(CertificateState::Issuing)
    }

    fn no_allocation_moves(&self, now: &Allocations) {
        for (key, held) in &self.last_allocations.services {
            let document = format!("Service {key}");
            if self.seen.contains_key(&document) && self.seen.get(&document) == self.last_seen.get(&document) {
                assert_eq!(now.services.get(key).map(|now| &now.addresses), Some(&held.addresses), "Service {key} keeps its address");
            }
        }
    }

    fn nobody_shares_unlawfully(&self, now: &Allocations) {
        for (a, held) in &now.services {
            assert!(self.objects.services.contains_key(a), "{a} holds an address and is gone");
            let others = now.services.iter().filter(|(b, other)| a < *b && other.addresses.iter().any(|address| held.addresses.contains(address)));
            for (b, other) in others {
                let lawful = a.namespace == b.namespace
                    && held.sharing_key.is_some()
                    && held.sharing_key == other.sharing_key
                    && held.ports.is_disjoint(&other.ports);
                assert!(lawful, "{a} and {b} hold one address");
            }
        }
    }

    fn serials_follow_contents(&mut self, compiled: &Compiled) {
        let seconds = u32::try_from(self.now).unwrap();
        let (zones, errors) = self.zones.update(compiled.zones.clone(), self.effects.as_mut().unwrap(), &Authority::Own, seconds);
        assert!(errors.is_empty(), "{errors:?}");
        for content in &compiled.zones {
            let name = content.origin.to_string();
            let zone = zones.zones().iter().find(|zone| zone.origin().to_string() == name).unwrap();
            if let Some((before, serial)) = self.last_zones.get(&name) {
                if *before == zone.content_hash() {
                    assert_eq!(zone.serial(), *serial, "the serial of {name} stays while its content does");
                } else {
                    assert!(zone.serial() > *serial, "the serial of {name} grows with its content");
                }
            }
            self.last_zones.insert(name, (zone.content_hash(), zone.serial()));
        }
    }
}

/// Its own CA, for a day.
fn certificate(names: Vec<String>, now: i64) -> HeldCertificate {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    let time = |seconds: i64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(seconds).unwrap());
    (params.not_before, params.not_after) = (time(now - 60), time(now + 86_000));
    let chain = params.self_signed(&key).unwrap().pem();
    HeldCertificate::from_pem(chain, key.serialize_pem(), None, "test".into()).unwrap()
}

fn open(state: &Path) -> Effects {
    Effects::open(StateDir::open(state).unwrap()).unwrap()
}

/// What data planes and other tenants see.
fn served(compiled: &Compiled) -> String {
    let Compiled { zones, wanted, l4, allocations, .. } = compiled;
    let rules = compiled.table.rules_in_order();
    let mallory = ObjectKey::new("mallory", "bad");
    assert!(!allocations.services.contains_key(&mallory));
    let zones: Vec<_> = zones.iter().map(|zone| (&zone.origin, &zone.soa, zone.sets())).collect();
    format!("{rules:#?}{zones:?}{wanted:?}{l4:?}{allocations:?}")
}

fn told(compiled: &Compiled) -> String {
    format!("{}{:?}{:?}", served(compiled), compiled.problems, compiled.report)
}

#[test]
fn whatever_happens_what_must_hold_holds() {
    let chosen = std::env::var("VRATA_SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    for seed in chosen.map_or(0..SEEDS, |seed| seed..seed + 1) {
        let run = std::panic::catch_unwind(|| {
            let (mut world, mut dice) = (World::new(), Dice(seed));
            (0..STEPS).for_each(|_| world.step(&mut dice));
        });
        if let Err(panic) = run {
            eprintln!("again: VRATA_SEED={seed} cargo test -p vrata-controller --test world");
            std::panic::resume_unwind(panic);
        }
    }
}
