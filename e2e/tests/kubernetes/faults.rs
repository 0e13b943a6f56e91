//! Three replicas whose leader is killed in the middle of its writes, at two moments: the writes are decided and have not arrived, or they are carried out and
//! it has not heard of it; or it is paused there past its Lease, and wakes. No address is lost or held twice, every status is complete in the end, and then nothing is written any more.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Result, ensure};
use e2e::lab::install::{self, Options, PUBLIC, Vrata, ZONE};
use e2e::lab::relay::{Relay, Stage, Trap};
use e2e::lab::{Lab, app};
use e2e::{Kubectl, eventually};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::replicas::{hand_over, holder};
use super::rounds::rounds;

/// Objects of a kind: most of the pool's addresses.
const COUNT: usize = 24;

/// Writes that go through before the first is stopped, and that are stopped before the leader is killed.
const SPARED: usize = 5;
const STOPPED: usize = 3;

/// Addresses in statuses, by name of the object.
type Addresses = BTreeMap<String, IpAddr>;

fn names(kind: &str) -> Vec<String> {
    (0..COUNT).map(|n| format!("{kind}-{n}")).collect()
}

async fn addresses(kubectl: &Kubectl, kind: &str) -> Result<Addresses> {
    let held = |object: &Value| {
        let entries = object["status"]["loadBalancer"]["ingress"].as_array()?;
        Some((object["metadata"]["name"].as_str()?.to_owned(), entries.first()?["ip"].as_str()?.parse().ok()?))
    };
    Ok(kubectl.list(kind, "apps").await?.iter().filter_map(held).collect())
}

/// Versions of all objects of the kind.
async fn versions(kubectl: &Kubectl, kind: &str) -> Result<BTreeMap<String, String>> {
    let text = |object: &Value, key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
    Ok(kubectl.list(kind, "apps").await?.iter().map(|object| (text(object, "name"), text(object, "resourceVersion"))).collect())
}

/// What happens to the leader, and when.
#[derive(Debug, Clone, Copy)]
struct Fault {
    stage: Stage,
    /// `SIGKILL`, or `SIGSTOP`: then it wakes when another has led for a while.
    signal: Signal,
}

/// Applies many objects of a kind and lets the fault come over the leader in the middle of writing their statuses. Gives all addresses.
async fn fault_while_writing(lab: &Lab, (vrata, relay): (&Vrata, &Relay), (kind, fault): (&'static str, Fault), objects: &str) -> Result<Addresses> {
    let Fault { stage, signal } = fault;
    let (kubectl, leader, before) = (lab.kubectl(), vrata.leader(lab).await?, holder(lab).await?);
    let path = if kind == "services" { "/services/" } else { "/ingresses/" };
    relay.set(Trap { from: leader.address, path, stage, spared: SPARED });
    kubectl.apply(objects).await?;
    relay.stopped(STOPPED).await?;
    lab.signal(&leader, signal)?;
    // Those that are under way stay so; whoever leads next is not stopped.
    relay.spare_all();
    let written = addresses(&kubectl, kind).await?;
    ensure!(written.len() < COUNT, "the fault fell outside of the writes: {written:?}");
    hand_over(lab, &before).await?;
    let all = eventually("every status is written", async || addresses(&kubectl, kind).await, |all| all.len() >= COUNT).await?;
    for (name, address) in &written {
        ensure!(all[name] == *address, "{name} had {address} and has {}", all[name]);
    }
    let versions_then = versions(&kubectl, kind).await?;
    let answers = relay.let_go().await?;
    ensure!(answers.len() >= STOPPED, "{answers:?}");
    let expected = if stage == Stage::Before { 409 } else { 200 };
    ensure!(answers.iter().all(|status| *status == expected), "what the old leader had sent was answered {answers:?}, not {expected}");
    if signal == Signal::SIGSTOP {
        lab.signal(&leader, Signal::SIGCONT)?;
    }
    vrata.ready(lab, 3).await?;
    ensure!(versions(&kubectl, kind).await? == versions_then, "the old leader wrote");
    Ok(all)
}

/// Nothing is written any more but what is new, and every status has one owner.
async fn at_rest(lab: &Lab, relay: &Relay, turn: &str) -> Result<()> {
    let kubectl = lab.kubectl();
    let (services, ingresses) = (versions(&kubectl, "services").await?, versions(&kubectl, "ingresses").await?);
    let written = relay.writes().len();
    // A change makes a pass over everything on each replica.
    let (service, ingress) = (format!("late-{turn}"), format!("web-{turn}"));
    let late = app::load_balancer("apps", &service, &format!("{service}.{ZONE}")) + &app::ingress("apps", &ingress, &format!("{ingress}.{ZONE}"));
    kubectl.apply(&late).await?;
    for (kind, name) in [("services", &service), ("ingresses", &ingress)] {
        eventually("what is new is written", async || addresses(&kubectl, kind).await, |all| all.contains_key(name.as_str())).await?;
    }
    for (kind, before) in [("services", services), ("ingresses", ingresses)] {
        let now = versions(&kubectl, kind).await?;
        ensure!(before.iter().all(|(name, version)| now.get(name) == Some(version)), "{kind} are written again: {before:?} then, {now:?} now");
        for object in kubectl.list(kind, "apps").await? {
            ensure!(owners(&object).iter().all(|owner| owner == "vrata"), "{}", object["metadata"]);
        }
    }
    let more = relay.writes().split_off(written).into_iter().map(|write| write.path);
    let is_new = |path: &String| [&service, &ingress].iter().any(|name| path.contains(&format!("/{name}/")));
    let again: Vec<String> = more.filter(|path| path.ends_with("/status") && !is_new(path)).collect();
    ensure!(again.is_empty(), "statuses are asked for again: {again:?}");
    kubectl.run(&["delete", "service", &service, "--namespace", "apps"]).await.map(drop)
}

/// Field managers of an object's status.
fn owners(object: &Value) -> Vec<String> {
    let managers = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    managers.filter(|manager| manager["subresource"] == "status").filter_map(|manager| Some(manager["manager"].as_str()?.to_owned())).collect()
}

fn in_the_middle_of_writes(fault: Fault) -> Result<()> {
    Lab::start()?.run(async |lab| {
        let relay = Relay::start(lab).await?;
        let options = Options { replicas: 3, api_server: Some(relay.address()), ..Options::default() };
        let vrata = install::vrata(lab, options).await?;
        lab.kubectl().apply(&app::echo("apps")).await?;

        let services = names("db").iter().map(|name| app::load_balancer("apps", name, &format!("{name}.{ZONE}"))).collect::<String>();
        let held = fault_while_writing(lab, (&vrata, &relay), ("services", fault), &services).await?;
        let distinct: std::collections::BTreeSet<&IpAddr> = held.values().collect();
        ensure!(distinct.len() == COUNT, "held twice: {held:?}");
        at_rest(lab, &relay, "services").await?;

        let ingresses = names("site").iter().map(|name| app::ingress("apps", name, &format!("{name}.{ZONE}"))).collect::<String>();
        let told = fault_while_writing(lab, (&vrata, &relay), ("ingresses", fault), &ingresses).await?;
        ensure!(told.values().all(|address| *address == PUBLIC), "{told:?}");
        at_rest(lab, &relay, "ingresses").await?;
        let kept: Addresses = addresses(&lab.kubectl(), "services").await?;
        ensure!(held.iter().all(|(name, address)| kept.get(name) == Some(address)), "{held:?} then, {kept:?} now");
        Ok(())
    })
}

#[test]
fn a_leader_that_is_killed_before_its_writes_arrive_leaves_nothing_half_done() -> Result<()> {
    rounds(|| in_the_middle_of_writes(Fault { stage: Stage::Before, signal: Signal::SIGKILL }))
}

#[test]
fn a_leader_that_is_killed_before_it_hears_that_its_writes_are_done_leaves_nothing_half_done() -> Result<()> {
    rounds(|| in_the_middle_of_writes(Fault { stage: Stage::After, signal: Signal::SIGKILL }))
}

#[test]
fn a_leader_that_is_paused_before_its_writes_arrive_wakes_and_lets_the_next_one_lead() -> Result<()> {
    rounds(|| in_the_middle_of_writes(Fault { stage: Stage::Before, signal: Signal::SIGSTOP }))
}
