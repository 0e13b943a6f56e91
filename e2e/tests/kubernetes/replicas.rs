//! Three replicas: all serve, one writes, and what happens when that one is killed, stopped or sleeps.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use e2e::lab::install::{self, HERE, NAMESPACE, Options, PUBLIC, Vrata, ZONE};
use e2e::lab::relay::{Relay, Stage, Trap};
use e2e::lab::{Lab, app};
use e2e::pebble::Place;
use e2e::{Client, Pebble, eventually, manifest};
use nix::sys::signal::Signal;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;

use super::rounds::rounds;

/// The program in three replicas behind a relay, with Pebble as its issuer.
async fn install(lab: &Lab) -> Result<(Vrata, Relay, Pebble)> {
    let std::net::IpAddr::V4(web) = PUBLIC else { unreachable!("the public address is IPv4") };
    let place = Place { listen: HERE, web, ports: (80, 443), dns: (PUBLIC, 53).into(), zone: ZONE };
    let pebble = Pebble::start_at(place).await?;
    let issuer = manifest::acme_issuer(&pebble.directory(), &BASE64_STANDARD.encode(pebble.ca_pem()));
    let relay = Relay::start(lab).await?;
    let options = Options { replicas: 3, issuer: Some(issuer), api_server: Some(relay.address()), ..Options::default() };
    Ok((install::vrata(lab, options).await?, relay, pebble))
}

/// The address of a Service, once it has one.
async fn allocated(lab: &Lab, name: &str) -> Result<String> {
    let address = |service: &Value| service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str().map(str::to_owned);
    let service = lab.kubectl().get_until("it has an address", "service", "apps", name, |service| address(service).is_some()).await?;
    address(&service).context("no address")
}

/// Who holds the Lease.
pub(super) async fn holder(lab: &Lab) -> Result<String> {
    let lease = lab.kubectl().get("lease", NAMESPACE, "vrata-leader").await?;
    Ok(lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned())
}

/// Another than `before` holds it.
pub(super) async fn hand_over(lab: &Lab, before: &str) -> Result<()> {
    eventually("another leads", async || holder(lab).await, |now| !now.is_empty() && now != before).await?;
    Ok(())
}

#[test]
fn a_leader_that_is_killed_in_the_middle_of_an_order_is_succeeded_in_it() -> Result<()> {
    rounds(killed_in_an_order)
}

fn killed_in_an_order() -> Result<()> {
    Lab::start()?.run(async |lab| {
        let ((vrata, relay, pebble), kubectl) = (install(lab).await?, lab.kubectl());
        let web = app::ingress("apps", "near", &format!("near.{ZONE}")) + &app::ingress("apps", "foreign", "www.foreign.test");
        kubectl.apply(&(app::echo("apps") + &web)).await?;
        let root = pebble.root().await?;
        for host in [format!("near.{ZONE}"), "www.foreign.test".to_owned()] {
            // Every replica serves it, and not only the one that ordered it.
            for replica in vrata.replicas(lab).await? {
                let client = replica.https(&root)?;
                let what = format!("{host} is trusted at {}", replica.name);
                eventually(&what, async || client.get(&host, "/").await, |answer| answer.status == 200).await?;
            }
        }
        // The challenge is published, and the leader has not heard of it, so the CA is not told; or the CA has signed, and the certificate is not stored.
        let moments = [("/configmaps/vrata-challenges", Stage::After), ("/namespaces/apps/secrets", Stage::Before)];
        for (moment, name) in moments.into_iter().zip(["told", "stored"]) {
            killed_while_ordering(lab, (&vrata, &relay, &pebble), moment, name).await.with_context(|| format!("killed before it is {name}"))?;
        }
        Ok(())
    })
}

/// Kills the leader in the middle of an order, in front of this write. Whichever replica it asks, the CA makes one order and one certificate.
async fn killed_while_ordering(
    lab: &Lab,
    (vrata, relay, pebble): (&Vrata, &Relay, &Pebble),
    (path, stage): (&'static str, Stage),
    name: &str,
) -> Result<()> {
    let (kubectl, host, made) = (lab.kubectl(), format!("{name}.down.{ZONE}"), pebble.made());
    let (leader, before) = (vrata.leader(lab).await?, holder(lab).await?);
    // The network leads nobody to a replica that is dead: the CA's answer is about the others.
    let others: Vec<_> = vrata.replicas(lab).await?.into_iter().filter(|replica| *replica != leader).collect();
    install::announce(&others).await?;
    relay.set(Trap { from: leader.address, path, stage, spared: 0 });
    kubectl.apply(&app::ingress("apps", name, &host)).await?;
    relay.stopped(1).await?;
    lab.signal(&leader, Signal::SIGKILL)?;
    relay.spare_all();
    hand_over(lab, &before).await?;
    let client = Client::trusting((PUBLIC, 443).into(), &pebble.root().await?)?;
    let answer = eventually("it is trusted after all", async || client.get(&host, "/").await, |answer| answer.status == 200).await?;
    relay.let_go().await?;
    let now = pebble.made();
    ensure!((now.accounts, now.orders, now.certificates) == (1, made.orders + 1, made.certificates + 1), "{made:?} then, {now:?} now");
    let secret = kubectl.get("secret", "apps", &format!("{name}-tls")).await?;
    let stored = BASE64_STANDARD.decode(secret["data"]["tls.crt"].as_str().context("no certificate")?)?;
    let leaf = CertificateDer::from_pem_slice(&stored)?;
    ensure!(answer.certificate.as_deref() == Some(&*leaf), "the Secret has another certificate than is served");
    vrata.ready(lab, 3).await.map(drop)
}

#[test]
fn a_leader_that_sleeps_past_its_lease_does_no_harm_when_it_wakes() -> Result<()> {
    rounds(asleep_past_its_lease)
}

fn asleep_past_its_lease() -> Result<()> {
    Lab::start()?.run(async |lab| {
        let (kubectl, relay) = (lab.kubectl(), Relay::start(lab).await?);
        let vrata = install::vrata(lab, Options { replicas: 3, api_server: Some(relay.address()), ..Options::default() }).await?;
        let service = |name: &str| app::load_balancer("apps", name, &format!("{name}.{ZONE}"));
        kubectl.apply(&(app::echo("apps") + &service("first"))).await?;
        let mut addresses = BTreeSet::from([allocated(lab, "first").await?]);

        let (sleeper, before) = (vrata.leader(lab).await?, holder(lab).await?);
        lab.signal(&sleeper, Signal::SIGSTOP)?;
        // It has seen neither of these, and wakes with the memory of a leader.
        kubectl.apply(&(service("second") + &service("third"))).await?;
        hand_over(lab, &before).await?;
        for name in ["second", "third"] {
            assert!(addresses.insert(allocated(lab, name).await?), "held twice: {addresses:?}");
        }
        let written = kubectl.list("services", "apps").await?;
        lab.signal(&sleeper, Signal::SIGCONT)?;
        vrata.ready(lab, 3).await?;
        kubectl.apply(&service("fourth")).await?;
        assert!(addresses.insert(allocated(lab, "fourth").await?), "held twice: {addresses:?}");
        let versions = |services: &[Value]| -> Vec<(String, String)> {
            let text = |service: &Value, key: &str| service["metadata"][key].as_str().unwrap_or_default().to_owned();
            services.iter().map(|service| (text(service, "name"), text(service, "resourceVersion"))).filter(|(name, _)| name != "fourth").collect()
        };
        assert_eq!(versions(&kubectl.list("services", "apps").await?), versions(&written), "nothing was written again");

        // One that is asked to stop gives the Lease back, and another need not wait until it has run out.
        let (leader, before) = (vrata.leader(lab).await?, holder(lab).await?);
        kubectl.run(&["delete", "pod", &leader.name, "--namespace", NAMESPACE, "--wait=false"]).await?;
        hand_over(lab, &before).await?;
        let mut writes = relay.writes().into_iter().filter(|write| write.from == leader.address && write.path.ends_with("/leases/vrata-leader"));
        let last = writes.next_back().context("the leader wrote its Lease")?.body;
        ensure!(last["spec"]["holderIdentity"].as_str().unwrap_or_default().is_empty(), "the Lease was not given back: {last}");
        Ok(())
    })
}
