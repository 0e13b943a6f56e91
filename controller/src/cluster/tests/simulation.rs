//! A small cluster in which everything happens at random, also what another controller does by force. Whatever happens: nobody is fought, nobody loses an
//! address by it, no address is two Services' who may not share it, and all that is told agrees with what is served.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::world::{World, balancer};
use crate::address_condition::Told;
use crate::cluster::Memory;
use crate::compile::ServiceReport;
use crate::explain::{Target, explain};
use crate::problem::Reason;

const SERVICES: [(&str, &str); 4] = [("a", "one"), ("a", "two"), ("b", "three"), ("c", "four")];
const ADDRESSES: [&str; 5] = ["198.51.100.0", "198.51.100.1", "198.51.100.2", "198.51.100.3", "203.0.113.9"];
const RANGES: [&str; 3] = ["198.51.100.0/30", "198.51.100.1-198.51.100.3", "198.51.100.0-198.51.100.1"];

#[derive(Debug, Clone)]
enum Op {
    /// A tenant applies a Service: which, annotations, ports.
    Apply(usize, Value, Vec<u16>),
    /// A tenant makes it one of another type.
    Retype(usize),
    Delete(usize),
    /// Another controller writes these addresses by force.
    Overwrite(usize, Vec<&'static str>),
    /// It is gone, and what it wrote with it.
    HandOver(usize),
    /// The pool has this range.
    Pool(&'static str),
    /// Another replica leads.
    Restart,
}

fn any_annotations() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => Just(json!({})),
        2 => select(&ADDRESSES[..]).prop_map(|address| json!({"metallb.io/loadBalancerIPs": address})),
        1 => Just(json!({"metallb.io/address-pool": "nosuch"})),
        2 => Just(json!({"metallb.io/allow-shared-ip": "k"})),
        1 => Just(json!({"metallb.io/allow-shared-ip": "k", "vrata.io/allow-shared-ip-with": "a,b,c"})),
    ]
}

fn any_op() -> impl Strategy<Value = Op> {
    let service = || 0..SERVICES.len();
    let ports = || select(vec![vec![80], vec![443], vec![80, 443]]);
    prop_oneof![
        6 => (service(), any_annotations(), ports()).prop_map(|(at, annotations, ports)| Op::Apply(at, annotations, ports)),
        1 => service().prop_map(Op::Retype),
        1 => service().prop_map(Op::Delete),
        4 => (service(), proptest::collection::vec(select(&ADDRESSES[..]), 0..3)).prop_map(|(at, addresses)| Op::Overwrite(at, addresses)),
        2 => service().prop_map(Op::HandOver),
        1 => select(&RANGES[..]).prop_map(Op::Pool),
        2 => Just(Op::Restart),
    ]
}

fn id(at: usize) -> String {
    let (namespace, name) = SERVICES[at];
    format!("Service {namespace}/{name}")
}

/// Does it; returns whether somebody may have another address by it.
fn run(world: &mut World, op: &Op) -> bool {
    let exists = |world: &World, at: usize| world.ids().contains(&id(at));
    match op {
        Op::Apply(at, annotations, ports) => {
            let (namespace, name) = SERVICES[*at];
            let mut annotations = annotations.clone();
            if let Some(owner) = world.ids().contains(&id(*at)).then(|| world.object(&id(*at))["metadata"]["annotations"]["owned-by"].clone()) {
                annotations["owned-by"] = owner;
            }
            annotations.as_object_mut().unwrap().retain(|_, value| !value.is_null());
            world.apply(&balancer(namespace, name, &annotations, ports));
        }
        Op::Retype(at) if exists(world, *at) => {
            let mut service = world.object(&id(*at));
            service["spec"]["type"] = "ClusterIP".into();
            // As an API server does.
            service["status"]["loadBalancer"] = json!({});
            world.apply(&service);
        }
        Op::Delete(at) if exists(world, *at) => world.delete(&id(*at)),
        Op::Overwrite(at, addresses) if is_balancer(world, *at) => {
            world.overwrite(&id(*at), "cloud", addresses);
            return false;
        }
        Op::HandOver(at) if is_balancer(world, *at) => world.hand_over(&id(*at)),
        Op::Pool(range) => world.config.addresses.pools[0].ranges = vec![(*range).to_owned()],
        Op::Restart => {
            world.memory = Memory::default();
            return false;
        }
        _ => return false,
    }
    true
}

fn is_balancer(world: &World, at: usize) -> bool {
    world.ids().contains(&id(at)) && world.object(&id(at))["spec"]["type"] == "LoadBalancer"
}

/// What the Services have, and what they wait for.
fn services(world: &World) -> BTreeMap<String, ServiceReport> {
    let reports = world.pass().view.report.services.clone();
    reports.into_iter().map(|report| (format!("Service {}/{}", report.namespace, report.name), (*report).clone())).collect()
}

fn settle(world: &mut World) {
    world.settle();
    // What met another controller is tried again, once.
    world.now += SignedDuration::from_secs(11);
    world.settle();
}

/// What Services were allocated by this program: what another controller gave them is not ours to keep.
fn ours(world: &World) -> BTreeMap<String, Vec<IpAddr>> {
    let read = world.pass().read;
    let of = |id: &String| {
        read.objects.services.iter().find(|(key, _)| format!("Service {key}") == *id).map(|(_, stored)| Told::remembered(&stored.object))
    };
    let allocated = services(world).into_iter().filter(|(_, report)| !report.addresses.is_empty());
    allocated.filter_map(|(id, report)| Some((id.clone(), of(&id).filter(|known| *known == report.addresses)?))).collect()
}

/// Every place says the same.
fn is_consistent(world: &World) {
    let (services, pass) = (services(world), world.pass());
    for (id, report) in &services {
        let told = &world.status(id)["conditions"][0];
        let message = told["message"].as_str().unwrap_or_default();
        let list: Vec<String> = report.addresses.iter().map(ToString::to_string).collect();
        let said = match told["status"].as_str() {
            Some("True") => message.split("; ").next().unwrap(),
            _ => message.split_once(" stays; ").map_or("", |(list, _)| list),
        };
        // What another controller has allocated stands in the status.
        let shown = || list.iter().all(|address| world.status(id)["loadBalancer"].to_string().contains(address.as_str()));
        assert!(said == list.join(", ") || said.is_empty() && shown(), "{id} is served {list:?}: {told}");
    }
    for problem in pass.view.problems.iter().filter(|problem| problem.reason == Reason::AddressTaken) {
        let (address, holder) = problem.message.strip_prefix("the address ").unwrap().split_once(" is held by Service ").unwrap();
        let holder = holder.split([':', ',']).next().unwrap();
        let address: IpAddr = address.parse().unwrap();
        let report = &services[&format!("Service {holder}")];
        assert!(report.addresses.contains(&address) || report.pending.contains(&address), "{}: {report:?}", problem.message);
        assert!(explain(&pass.view, &Target::Address(address)).contains(&format!("to Service {holder}")) || report.addresses.contains(&address));
    }
    for address in ADDRESSES.map(|address| address.parse::<IpAddr>().unwrap()) {
        let text = explain(&pass.view, &Target::Address(address));
        let held = services.values().filter(|report| report.addresses.contains(&address)).count();
        assert_eq!(text.matches("held by Service").count(), held, "{text}");
        assert_eq!(text.contains("nobody holds it"), !services.values().any(|s| s.addresses.contains(&address) || s.pending.contains(&address)));
    }
}

/// Nobody shares an address who may not.
fn nobody_is_in_the_way(world: &World) {
    let services: Vec<(String, ServiceReport)> = services(world).into_iter().collect();
    for (at, (id, one)) in services.iter().enumerate() {
        for (other, two) in services[at + 1..].iter().filter(|(_, two)| one.addresses.iter().any(|address| two.addresses.contains(address))) {
            let clash = one.ports.iter().any(|port| two.ports.iter().any(|other| (port.port, port.protocol) == (other.port, other.protocol)));
            let of = |id: &str, key: &str| world.object(id)["metadata"]["annotations"][key].as_str().map(str::to_owned);
            let key = |id: &str| of(id, "metallb.io/allow-shared-ip");
            let agrees = |id: &str| of(id, "vrata.io/allow-shared-ip-with").is_some();
            let agreed = one.namespace == two.namespace || agrees(id) && agrees(other);
            assert!(!clash && agreed && key(id).is_some() && key(id) == key(other), "{id} and {other} share {:?}", one.addresses);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn whatever_another_controller_writes_all_that_is_told_is_what_is_served(ops in proptest::collection::vec(any_op(), 1..14)) {
        let mut world = World::new();
        for op in &ops {
            let before = ours(&world);
            let may_move = run(&mut world, op);
            nobody_is_in_the_way(&world);
            let is_foreign = |id: &String| !world.object(id)["metadata"]["annotations"]["owned-by"].is_null();
            let shown = |id: String| (id.clone(), world.status(&id)["loadBalancer"].clone());
            let foreign: BTreeMap<String, Value> = world.ids().into_iter().filter(is_foreign).map(shown).collect();
            settle(&mut world);
            nobody_is_in_the_way(&world);
            is_consistent(&world);
            for (id, status) in foreign {
                prop_assert_eq!(&world.status(&id)["loadBalancer"], &status, "{} is left alone after {:?}", id, op);
            }
            if !may_move {
                let after = services(&world);
                for (id, addresses) in before {
                    prop_assert_eq!(&after[&id].addresses, &addresses, "{} moved by {:?}", id, op);
                }
            }
        }
    }
}
