//! Killed at random moments under change, the program loses nothing that was acknowledged.
//!
//! A writer changes manifests and notes what became visible: an address in the status, a name and a serial in DNS, a certificate on a connection. In between
//! the program is killed as `kill -9` does and started again, and at the first look everything noted must still be so. `VRATA_CHAOS_SECONDS` and
//! `VRATA_CHAOS_SEED` choose how long, and which schedule.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use e2e::manifest::{App, Service, acme_issuer, certificate};
use e2e::vrata::ZONE;
use e2e::{Backend, Client, Pebble, Setup, Vrata, dns, eventually};
use hickory_proto::rr::RecordType;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tokio::time::{Instant, sleep};

const HOSTS: u32 = 8;
const SERVICES: u32 = 10;
/// Names outside of the zone, each with a certificate of its own.
const FOREIGN: u32 = 12;
/// Certificates that tenants ask for by an object.
const OBJECTS: u32 = 6;

/// One change of the manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    AddHost(u32),
    RemoveHost(u32),
    AddService(u32),
    RemoveService(u32),
    AddForeign(u32),
    AddCertificate(u32),
}

impl Op {
    fn draw(random: &mut StdRng) -> Self {
        match random.random_range(0..10) {
            0 | 1 => Self::AddHost(random.random_range(0..HOSTS)),
            2 => Self::RemoveHost(random.random_range(0..HOSTS)),
            3 | 4 => Self::AddService(random.random_range(0..SERVICES)),
            5 => Self::RemoveService(random.random_range(0..SERVICES)),
            6 | 7 => Self::AddForeign(random.random_range(0..FOREIGN)),
            _ => Self::AddCertificate(random.random_range(0..OBJECTS)),
        }
    }
}

/// What was seen by a client, and must therefore be so for ever, or until it is changed.
#[derive(Debug, Default)]
struct Acknowledged {
    hosts: BTreeSet<String>,
    addresses: BTreeMap<String, String>,
    /// Leaf certificates by host.
    served: BTreeMap<String, Vec<u8>>,
    /// Ends of the certificates in Secrets.
    held: BTreeMap<String, String>,
    serial: u32,
    kills: usize,
    kills_during_orders: usize,
    changes: usize,
}

struct World {
    vrata: Vrata,
    pebble: Pebble,
    client: Client,
    web: Backend,
    tcp: Backend,
    known: Acknowledged,
}

fn host(n: u32) -> String {
    format!("host{n}.{ZONE}")
}

fn foreign(n: u32) -> String {
    format!("app{n}.foreign.test")
}

impl World {
    async fn start() -> Result<Self> {
        let setup = Setup::new();
        let pebble = Pebble::start(setup.ports()).await?;
        let (web, tcp) = (Backend::http().await?, Backend::tcp().await?);
        let vrata = Vrata::start(setup.issuer(acme_issuer(&pebble.directory(), &BASE64_STANDARD.encode(pebble.ca_pem())))).await?;
        let client = Client::trusting(vrata.ports().https, &pebble.root().await?)?;
        Ok(Self { vrata, pebble, client, web, tcp, known: Acknowledged::default() })
    }

    /// Changes the manifests; `false` when they are so already.
    fn change(&self, op: Op) -> Result<bool> {
        let file = |kind: &str, n: u32| format!("{kind}{n}.yaml");
        let app = |name: String, host: String| App::new(&name, &host, self.web.address()).manifest();
        let (file, text) = match op {
            Op::AddHost(n) => (file("host", n), Some(app(format!("host{n}"), host(n)))),
            Op::RemoveHost(n) => (file("host", n), None),
            Op::AddService(n) => {
                let service = Service::new(&format!("service{n}"), "lab").load_balancer().port(5432, "TCP", self.tcp.address());
                let name = format!("service{n}.{ZONE}");
                (file("service", n), Some(service.annotation("external-dns.alpha.kubernetes.io/hostname", &name).manifest()))
            }
            Op::RemoveService(n) => (file("service", n), None),
            Op::AddForeign(n) => (file("foreign", n), Some(app(format!("foreign{n}"), foreign(n)))),
            Op::AddCertificate(n) => (file("object", n), Some(certificate("lab", &format!("object{n}"), &format!("object{n}.foreign.test")))),
        };
        if self.vrata.has(&file) == text.is_some() {
            return Ok(false);
        }
        match text {
            Some(text) => self.vrata.apply(&file, &text)?,
            None => self.vrata.remove(&file)?,
        }
        Ok(true)
    }

    /// What the change takes back, it takes back from now on.
    fn forget(&mut self, op: Op) {
        match op {
            Op::RemoveHost(n) => _ = self.known.hosts.remove(&host(n)),
            Op::RemoveService(n) => _ = self.known.addresses.remove(&format!("service{n}")),
            _ => {}
        }
    }

    /// Waits until clients see the change, and notes what they see.
    async fn acknowledge(&mut self, op: Op) -> Result<()> {
        let (vrata, known) = (&self.vrata, &mut self.known);
        let resolves = async |name: &str| dns::answers(vrata.ports().dns, name, RecordType::A).await;
        match op {
            Op::AddHost(n) => {
                eventually("the host resolves", async || resolves(&host(n)).await, |answers| answers == &["127.0.0.1"]).await?;
                known.hosts.insert(host(n));
            }
            Op::RemoveHost(n) => {
                eventually("the host is gone", async || resolves(&host(n)).await, Vec::is_empty).await?;
            }
            Op::AddService(n) => {
                let name = format!("service{n}");
                let address = eventually("it has an address", async || Ok(address_of(&vrata.status().await?, &name)), Option::is_some).await?;
                known.addresses.insert(name, address.context("an address")?);
            }
            Op::RemoveService(n) => {
                let look = async || Ok(address_of(&vrata.status().await?, &format!("service{n}")));
                eventually("the address is free", look, Option::is_none).await?;
            }
            Op::AddForeign(n) => {
                let look = async || self.client.get(&foreign(n), "/").await;
                let answer = eventually("the foreign host is trusted", look, |answer| answer.status == 200).await?;
                known.served.insert(foreign(n), answer.certificate.context("a certificate")?);
            }
            Op::AddCertificate(n) => {
                let secret = format!("lab/object{n}-tls");
                let end = eventually("the Secret holds it", async || Ok(end_of(&vrata.status().await?, &secret)), Option::is_some).await?;
                known.held.insert(secret, end.context("an end")?);
            }
        }
        known.serial = known.serial.max(dns::serial(vrata.ports().dns, ZONE).await?);
        known.changes += 1;
        Ok(())
    }

    /// Everything that was seen is still so, at the first look.
    async fn verify(&mut self) -> Result<()> {
        let server = self.vrata.ports().dns;
        let status = self.vrata.status().await?;
        for (service, address) in &self.known.addresses {
            let now = address_of(&status, service);
            ensure!(now.as_ref() == Some(address), "{service} had {address} and has {now:?}");
            let answers = dns::answers(server, &format!("{service}.{ZONE}"), RecordType::A).await?;
            ensure!(answers == [address.as_str()], "{service} is named {answers:?} and has {address}");
        }
        for host in &self.known.hosts {
            let answers = dns::answers(server, host, RecordType::A).await?;
            ensure!(answers == ["127.0.0.1"], "{host} resolves to {answers:?}");
        }
        for (secret, end) in &self.known.held {
            let now = end_of(&status, secret);
            ensure!(now.as_ref() == Some(end), "{secret} ended at {end} and ends at {now:?}");
        }
        for (host, certificate) in &self.known.served {
            let now = self.client.get(host, "/").await.with_context(|| format!("{host} was served"))?;
            ensure!(now.status == 200 && now.certificate.as_ref() == Some(certificate), "{host} has another certificate, or status {}", now.status);
        }
        let serial = dns::serial(server, ZONE).await?;
        ensure!(serial >= self.known.serial, "the serial was {} and is {serial}", self.known.serial);
        self.known.serial = serial;
        Ok(())
    }

    async fn kill(&mut self, op: Op) -> Result<()> {
        self.known.kills += 1;
        self.known.kills_during_orders += usize::from(matches!(op, Op::AddForeign(_) | Op::AddCertificate(_)) || self.known.kills == 1);
        self.vrata.kill_and_restart().await?;
        self.forget(op);
        self.verify().await
    }

    /// The CA was asked for no more than what is wanted, and what was lost on the way.
    fn verify_orders(&self) -> Result<()> {
        // The wildcard of the zone is wanted from the start.
        let wanted = 1 + self.known.served.len() + self.known.held.len();
        let made = self.pebble.made();
        let lost = self.known.kills_during_orders;
        ensure!(made.accounts == 1, "{made:?}");
        ensure!(made.orders <= wanted + lost && made.certificates <= wanted + lost, "{made:?} for {wanted} certificates and {lost} kills");
        eprintln!(
            "chaos: {} changes, {} kills ({lost} during an order), {wanted} certificates wanted, {made:?}",
            self.known.changes, self.known.kills
        );
        Ok(())
    }
}

/// Address of a Service in the status.
fn address_of(status: &Value, name: &str) -> Option<String> {
    let service = status["addresses"].as_array()?.iter().find(|service| service["name"] == name)?;
    Some(service["addresses"].get(0)?.as_str()?.to_owned())
}

/// End of the certificate in a Secret.
fn end_of(status: &Value, secret: &str) -> Option<String> {
    let certificate = status["certificates"].as_array()?.iter().find(|certificate| certificate["secret"] == secret)?;
    Some(certificate["notAfter"].as_str()?.to_owned())
}

fn from_environment(name: &str) -> Result<Option<u64>> {
    std::env::var(name).ok().map(|text| text.parse().with_context(|| format!("{name}={text}"))).transpose()
}

/// The moment of a kill after a change: most are close to the moment when it is written.
fn moment(random: &mut StdRng) -> Duration {
    let longest = if random.random_bool(0.7) { 60_000 } else { 1_500_000 };
    Duration::from_micros(random.random_range(0..longest))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_acknowledged_is_lost_by_kills() -> Result<()> {
    let seed = from_environment("VRATA_CHAOS_SEED")?.unwrap_or_else(rand::random);
    eprintln!("chaos: VRATA_CHAOS_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut world = World::start().await?;
    let end = Instant::now() + Duration::from_secs(from_environment("VRATA_CHAOS_SECONDS")?.unwrap_or(20));
    while Instant::now() < end {
        let op = Op::draw(&mut random);
        let kills = random.random_bool(0.6).then(|| moment(&mut random));
        if !world.change(op)? {
            continue;
        }
        world.forget(op);
        // The time to the kill is the schedule, not a wait for something.
        let seen = match kills {
            Some(moment) => tokio::select! { seen = world.acknowledge(op) => Some(seen), () = sleep(moment) => None },
            None => Some(world.acknowledge(op).await),
        };
        let step = async {
            if let Some(seen) = seen {
                seen?;
            }
            if kills.is_some() {
                world.kill(op).await?;
                world.acknowledge(op).await?;
            }
            Ok::<_, anyhow::Error>(())
        };
        if let Err(error) = step.await {
            bail!("seed {seed}, after {} kills, {op:?}: {error:#}\n{}", world.known.kills, world.vrata.log_end());
        }
    }
    world.vrata.stop_and_restart().await?;
    world.verify().await?;
    world.verify_orders()?;
    world.vrata.stop().await
}
