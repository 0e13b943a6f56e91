//! Three replicas: all serve, one writes, and what happens when that one is killed, stopped or sleeps.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context, Result};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use e2e::lab::install::{self, HERE, NAMESPACE, Options, PUBLIC, Vrata, ZONE};
use e2e::lab::{Lab, app};
use e2e::pebble::Place;
use e2e::{Client, Pebble, eventually, manifest};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::rounds::rounds;

/// The program in three replicas, with Pebble as its issuer.
async fn install(lab: &Lab) -> Result<(Vrata, Pebble)> {
    let std::net::IpAddr::V4(web) = PUBLIC else { unreachable!("the public address is IPv4") };
    let place = Place { listen: HERE, web, ports: (80, 443), dns: (PUBLIC, 53).into(), zone: ZONE };
    let pebble = Pebble::start_at(place).await?;
    let issuer = manifest::acme_issuer(&pebble.directory(), &BASE64_STANDARD.encode(pebble.ca_pem()));
    let options = Options { replicas: 3, issuer: Some(issuer), ..Options::default() };
    Ok((install::vrata(lab, options).await?, pebble))
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
        let ((vrata, pebble), kubectl) = (install(lab).await?, lab.kubectl());
        let host = format!("deep.down.{ZONE}");
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
        let before = pebble.made();

        let leader = vrata.leader(lab).await?;
        // The network leads nobody to a replica that is dead: the CA's answer is about the others.
        let others: Vec<_> = vrata.replicas(lab).await?.into_iter().filter(|replica| *replica != leader).collect();
        install::announce(&others).await?;
        // The challenge is published, and the CA cannot validate it yet.
        pebble.hold(true);
        kubectl.apply(&app::ingress("apps", "deep", &host)).await?;
        let published = async || kubectl.get("configmap", NAMESPACE, "vrata-challenges").await;
        eventually("an order is under way", published, |challenges| challenges.to_string().contains(&host)).await?;
        lab.signal(&leader, Signal::SIGKILL)?;
        pebble.hold(false);
        let client = Client::trusting((PUBLIC, 443).into(), &root)?;
        eventually("it is trusted after all", async || client.get(&host, "/").await, |answer| answer.status == 200).await?;
        let after = pebble.made();
        assert_eq!((after.accounts, after.orders, after.certificates), (1, before.orders + 1, before.certificates + 1));
        Ok(())
    })
}

#[test]
fn a_leader_that_sleeps_past_its_lease_does_no_harm_when_it_wakes() -> Result<()> {
    rounds(asleep_past_its_lease)
}

fn asleep_past_its_lease() -> Result<()> {
    Lab::start()?.run(async |lab| {
        let (kubectl, vrata) = (lab.kubectl(), install::vrata(lab, Options { replicas: 3, ..Options::default() }).await?);
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

        // One that is asked to stop hands over at once, not when its Lease has run out.
        let (leader, before) = (vrata.leader(lab).await?, holder(lab).await?);
        let asked = Instant::now();
        kubectl.run(&["delete", "pod", &leader.name, "--namespace", NAMESPACE, "--wait=false"]).await?;
        hand_over(lab, &before).await?;
        assert!(asked.elapsed().as_secs() < 8, "{:?}", asked.elapsed());
        Ok(())
    })
}
