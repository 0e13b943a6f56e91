//! Addresses on their way into the status of Services, and back.

use jiff::SignedDuration;
use serde_json::json;

use super::world::{World, balancer, line, managed};
use crate::cluster::{Memory, Outcome, Pass};
use crate::objects::ObjectKey;

const FREE: &[&str] = &["198.51.100.0", "198.51.100.1", "198.51.100.2", "198.51.100.3"];

fn held(world: &World) -> Vec<String> {
    let pools = crate::addresses::PoolRanges::parse(&world.config.addresses.pools).unwrap();
    let held = crate::addresses::held_allocations(&crate::objects::Balancers::among(&world.pass().read.objects.services), &pools);
    let lines = held.services.iter().map(|(key, allocation)| {
        let addresses: Vec<String> = allocation.addresses.iter().map(ToString::to_string).collect();
        let ports: Vec<String> = allocation.ports.iter().map(ToString::to_string).collect();
        format!("{key} {} {} {}", addresses.join(","), ports.join(","), allocation.sharing_key.as_deref().unwrap_or("-"))
    });
    lines.collect()
}

fn with_status(mut service: serde_json::Value, addresses: &[&str]) -> serde_json::Value {
    let ingress: Vec<_> = addresses.iter().map(|address| json!({"ip": address})).collect();
    service["status"] = json!({"loadBalancer": {"ingress": ingress}});
    service["metadata"]["managedFields"] = managed(&service["status"]);
    service
}

fn created(mut service: serde_json::Value, day: u8) -> serde_json::Value {
    service["metadata"]["creationTimestamp"] = format!("2026-11-{day:02}T06:00:00Z").into();
    service
}

#[test]
fn an_address_is_served_once_it_is_held() {
    let mut world = World::new();
    world.apply(&balancer("team", "db", &json!({"external-dns.alpha.kubernetes.io/hostname": "db.dyn.example.org"}), &[5432]));
    let before = world.pass();
    let records = |pass: &Pass| pass.view.report.hosts[0].dns.as_ref().unwrap().records.clone();
    assert!(before.view.report.services[0].addresses.is_empty() && records(&before).is_empty());
    assert_eq!(before.allocations.services.len(), 1);
    assert_eq!(world.step(), ["Service team/db = 198.51.100.0"]);
    assert_eq!(world.step(), ["Normal AddressAllocated Service team/db", "Normal NameServed Service team/db"]);
    assert_eq!(*records(&world.pass()), ["A 198.51.100.0"]);
}

#[test]
fn a_restart_keeps_what_is_held_before_it_serves_who_waits() {
    let mut world = World::new();
    for (name, day) in [("c", 3), ("d", 4)] {
        world.apply(&created(balancer("team", name, &json!({}), &[80]), day));
    }
    world.settle();
    world.memory = Memory::default();
    world.apply(&created(balancer("team", "a", &json!({}), &[80]), 1));
    world.settle();
    assert_eq!(held(&world), ["team/a 198.51.100.2 80/TCP -", "team/c 198.51.100.0 80/TCP -", "team/d 198.51.100.1 80/TCP -"]);
}

#[test]
fn what_is_read_from_statuses() {
    let shared = json!({"metallb.universe.tf/allow-shared-ip": "key"});
    let mut metallb = with_status(balancer("team", "metallb", &shared, &[80, 443]), &["198.51.100.2"]);
    metallb["metadata"]["managedFields"] = json!([]);
    let mut ports = with_status(balancer("team", "ports", &json!({}), &[80, 443]), &["198.51.100.3"]);
    ports["status"]["loadBalancer"]["ingress"][0]["ports"] = json!([{"port": 80, "protocol": "TCP"}]);
    let mut cluster_ip = with_status(balancer("team", "type", &json!({}), &[80]), &["198.51.100.1"]);
    cluster_ip["spec"]["type"] = "ClusterIP".into();
    let table = [
        (balancer("team", "none", &json!({}), &[80]), vec![]),
        (metallb, vec!["team/metallb 198.51.100.2 80/TCP,443/TCP key"]),
        (ports, vec!["team/ports 198.51.100.3 80/TCP -"]),
        (with_status(balancer("team", "outside", &json!({}), &[80]), &["203.0.113.1"]), vec![]),
        (with_status(balancer("team", "two", &json!({}), &[80]), &["198.51.100.1", "198.51.100.2"]), vec!["team/two 198.51.100.1 80/TCP -"]),
        (with_status(balancer("team", "both", &json!({}), &[80]), &["203.0.113.1", "198.51.100.2"]), vec!["team/both 198.51.100.2 80/TCP -"]),
        (cluster_ip, vec![]),
    ];
    for (service, expected) in table {
        let mut world = World::new();
        world.apply(&service);
        assert_eq!(held(&world), expected, "{service}");
    }
}

#[test]
fn a_pool_that_shrinks_moves_who_is_outside() {
    let mut world = World::new();
    for name in ["a", "b"] {
        world.apply(&balancer("team", name, &json!({}), &[80]));
    }
    world.settle();
    world.config.addresses.pools[0].ranges = vec!["198.51.100.1-198.51.100.3".into()];
    let moved = world.settle();
    assert_eq!(moved[..2], ["Warning AddressWithdrawn Service team/b", "Service team/b = 198.51.100.2"]);
    world.config.addresses.pools[0].ranges = vec!["198.51.100.1-198.51.100.1".into()];
    let moved = world.settle();
    assert_eq!(moved[..2], ["Warning AddressWithdrawn Service team/b", "Service team/b = AddressAllocated=False PoolExhausted"]);
    assert!(moved.contains(&"Warning PoolExhausted Service team/b".to_owned()), "{moved:?}");
    assert_eq!(held(&world), ["team/a 198.51.100.1 80/TCP -"]);
}

#[test]
fn of_two_services_with_one_address_the_older_keeps_it_and_the_other_is_told() {
    let mut world = World::new();
    world.apply(&created(with_status(balancer("b", "older", &json!({}), &[80]), &[FREE[2]]), 1));
    world.apply(&created(with_status(balancer("a", "younger", &json!({}), &[80]), &[FREE[2]]), 2));
    let lines = world.settle();
    assert_eq!(lines[0], "Warning AddressWithdrawn Service a/younger");
    assert_eq!(held(&world), ["a/younger 198.51.100.0 80/TCP -", "b/older 198.51.100.2 80/TCP -"]);
}

#[test]
fn two_services_that_swap_addresses_let_go_first() {
    let mut world = World::new();
    let asks = |name, address| balancer("team", name, &json!({"metallb.io/loadBalancerIPs": address}), &[80]);
    world.apply(&asks("a", FREE[0]));
    world.apply(&asks("b", FREE[1]));
    world.settle();
    world.apply(&asks("a", FREE[1]));
    world.apply(&asks("b", FREE[0]));
    let statuses = |lines: Vec<String>| lines.into_iter().filter(|line| line.starts_with("Service")).collect::<Vec<_>>();
    let waits = ["Service team/a = AddressAllocated=False AddressStillHeld", "Service team/b = AddressAllocated=False AddressStillHeld"];
    assert_eq!(statuses(world.step()), waits);
    assert_eq!(statuses(world.step()), ["Service team/a = 198.51.100.1", "Service team/b = 198.51.100.0"]);
    assert_eq!(statuses(world.settle()), Vec::<String>::new());
}

#[test]
fn an_address_that_was_written_and_is_not_seen_is_nobody_elses() {
    let mut world = World::new();
    world.apply(&balancer("team", "young", &json!({}), &[80]));
    let write = world.plan().writes.remove(0);
    world.memory.started(&write);
    // An older Service becomes a load balancer before the watch shows what was written.
    world.apply(&created(balancer("team", "old", &json!({}), &[80]), 1));
    assert_eq!(world.plan().writes.iter().map(line).collect::<Vec<_>>(), Vec::<String>::new());
    let outcome = world.carry_out(&write);
    world.memory.finished(&write, &outcome, world.now);
    world.settle();
    assert_eq!(held(&world), ["team/old 198.51.100.1 80/TCP -", "team/young 198.51.100.0 80/TCP -"]);
}

#[test]
fn a_write_without_an_answer_may_have_been_carried_out() {
    let mut world = World::new();
    world.apply(&balancer("team", "young", &json!({}), &[80]));
    let first = world.plan().writes.remove(0);
    world.memory.started(&first);
    let mut api_server = world.object("Service team/young");
    world.memory.finished(&first, &Outcome::Unreachable, world.now);
    // The next write is of another address, and over the same version: it meets the first.
    world.apply(&created(balancer("team", "old", &json!({}), &[80]), 1));
    let lines = world.plan().writes;
    assert_eq!(lines.iter().map(line).collect::<Vec<_>>(), ["Service team/young = 198.51.100.1"]);
    world.memory.started(&lines[0]);
    world.memory.finished(&lines[0], &Outcome::Stale, world.now);
    assert_eq!(world.plan().writes, []);
    // The watch shows the first.
    api_server["status"] = json!({"loadBalancer": {"ingress": [{"ip": "198.51.100.0"}]}});
    world.apply(&api_server);
    world.settle();
    assert_eq!(held(&world), ["team/old 198.51.100.1 80/TCP -", "team/young 198.51.100.0 80/TCP -"]);
}

#[test]
fn what_the_last_leader_wrote_and_is_not_seen_is_nobody_elses() {
    let mut world = World::new();
    let service = |name: &str| ObjectKey::new("team", name);
    world.apply(&balancer("team", "pending", &json!({}), &[80]));
    world.memory.recall([(service("unseen"), "200".to_owned(), vec![FREE[0].parse().unwrap()])], world.now);
    assert_eq!(world.plan().writes, []);
    world.now += SignedDuration::from_secs(31);
    assert_eq!(world.settle()[0], "Service team/pending = 198.51.100.0", "it is gone");
}

#[test]
fn who_shares_an_address_shows_it_too() {
    let mut world = World::new();
    for (name, port) in [("rw", 5432), ("ro", 5433)] {
        world.apply(&balancer("team", name, &json!({"metallb.universe.tf/allow-shared-ip": "db"}), &[port]));
    }
    world.settle();
    assert_eq!(held(&world), ["team/ro 198.51.100.0 5433/TCP db", "team/rw 198.51.100.0 5432/TCP db"]);
    world.apply(&balancer("team", "ro", &json!({"metallb.universe.tf/allow-shared-ip": "db"}), &[5433, 5434]));
    world.settle();
    assert_eq!(held(&world)[0], "team/ro 198.51.100.0 5433/TCP,5434/TCP db");
    world.delete("Service team/rw");
    assert_eq!(world.settle(), Vec::<String>::new());
}

#[test]
fn kube_proxy_is_told_that_it_carries_the_traffic() {
    let mut world = World::new();
    world.settings.traffic = crate::config::Traffic::KubeProxy;
    world.apply(&balancer("team", "db", &json!({}), &[5432]));
    world.settle();
    assert_eq!(world.object("Service team/db")["status"]["loadBalancer"]["ingress"][0]["ipMode"], "VIP");
}

#[test]
fn a_service_of_another_class_is_left_alone() {
    let mut world = World::new();
    let mut service = balancer("team", "db", &json!({}), &[5432]);
    service["spec"]["loadBalancerClass"] = "example.com/other".into();
    service["status"] = json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}});
    world.apply(&service);
    assert_eq!(world.settle(), Vec::<String>::new());
}

#[test]
fn an_address_that_a_service_of_another_class_has_is_not_given_away() {
    let mut world = World::new();
    let mut service = balancer("team", "metallb", &json!({}), &[5432]);
    service["spec"]["loadBalancerClass"] = "metallb.io/metallb".into();
    service["status"] = json!({"loadBalancer": {"ingress": [{"ip": FREE[0]}]}});
    world.apply(&service);
    world.apply(&balancer("team", "ours", &json!({}), &[5432]));
    assert_eq!(world.settle(), ["Service team/ours = 198.51.100.1", "Normal AddressAllocated Service team/ours"]);
    assert_eq!(*world.status("Service team/metallb"), service["status"]);
}

#[test]
fn a_service_tells_why_it_has_no_address_and_since_when() {
    let mut world = World::new();
    world.apply(&balancer("team", "db", &json!({"metallb.io/address-pool": "secret"}), &[5432]));
    assert_eq!(world.settle()[0], "Service team/db = AddressAllocated=False AddressNotAllowed");
    let told = |world: &World| world.status("Service team/db")["conditions"][0].clone();
    let before = told(&world);
    assert_eq!(before["message"], "metadata.annotations[metallb.io/address-pool]: there is no pool \"secret\"; the pools are: public");
    world.now += SignedDuration::from_mins(5);
    world.apply(&balancer("team", "db", &json!({"metallb.io/address-pool": "other"}), &[5432]));
    world.settle();
    assert_eq!(told(&world)["lastTransitionTime"], before["lastTransitionTime"], "it had none before either");
    world.apply(&balancer("team", "db", &json!({}), &[5432]));
    assert_eq!(world.settle()[0], "Service team/db = 198.51.100.0");
    assert!(told(&world)["status"] == "True" && told(&world)["lastTransitionTime"] != before["lastTransitionTime"]);
    let mut other = balancer("team", "db", &json!({}), &[5432]);
    other["spec"]["loadBalancerClass"] = "example.com/other".into();
    world.apply(&other);
    assert_eq!((world.settle().len(), world.status("Service team/db").clone()), (2, json!({})), "the addresses and the condition are given up");
}

#[test]
fn beside_addresses_of_another_manager_the_condition_alone_is_ours() {
    let mut world = World::new();
    let mut service = balancer("team", "db", &json!({}), &[5432]);
    service["status"] = json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}});
    service["metadata"]["annotations"] = json!({"metallb.io/loadBalancerIPs": "203.0.113.1"});
    world.apply(&service);
    let lines = world.settle();
    assert_eq!(lines[0], "Service team/db = AddressAllocated=False AddressNotAllowed");
    assert!(!lines.iter().any(|line| line.contains("Withdrawn")), "{lines:?}");
    assert_eq!(world.status("Service team/db")["loadBalancer"], service["status"]["loadBalancer"]);
}

/// What its condition says.
fn says(world: &World, id: &str) -> String {
    let told = &world.status(id)["conditions"][0];
    let text = |key: &str| told[key].as_str().unwrap_or("-");
    format!("{} {}: {}", text("status"), text("reason"), text("message"))
}

fn explained(world: &World, address: &str) -> String {
    crate::explain::explain(&world.pass().view, &crate::explain::Target::Address(address.parse().unwrap()))
}

fn served(world: &World) -> Vec<String> {
    let services = world.pass().view.report.services.clone();
    services.iter().map(|service| format!("{}/{} {:?}", service.namespace, service.name, service.addresses)).collect()
}

#[test]
fn what_another_controller_writes_over_stays_allocated_served_and_told() {
    let mut world = World::new();
    world.apply(&balancer("team", "db", &json!({}), &[5432]));
    world.settle();
    // An address of nobody, one of the pool, none at all.
    for written in [&["203.0.113.9"][..], &[FREE[3]], &[]] {
        world.overwrite("Service team/db", "cloud", written);
        let lines = world.settle();
        assert!(!lines.iter().any(|line| line.contains("Withdrawn")), "{lines:?}");
        assert_eq!(
            says(&world, "Service team/db"),
            "True StatusConflict: 198.51.100.0; served here, although cloud writes status.loadBalancer.ingress"
        );
        let shown = world.status("Service team/db")["loadBalancer"]["ingress"].as_array().unwrap().len();
        assert_eq!((shown, served(&world)), (written.len(), vec!["team/db [198.51.100.0]".to_owned()]), "nobody is fought");
        let told = explained(&world, FREE[0]);
        assert!(told.starts_with("198.51.100.0: held by Service team/db\n") && told.contains("owns this object's status: cloud"), "{told}");
        // A new leader knows it from the object.
        world.memory = Memory::default();
    }
    world.overwrite("Service team/db", "cloud", &[FREE[1]]);
    world.apply(&balancer("b", "asks", &json!({"metallb.io/loadBalancerIPs": FREE[0]}), &[80]));
    world.apply(&balancer("b", "any", &json!({}), &[80]));
    world.settle();
    let taken = "False AddressTaken: metadata.annotations[metallb.io/loadBalancerIPs]: the address 198.51.100.0 is held by Service team/db";
    assert_eq!(says(&world, "Service b/asks"), taken);
    assert_eq!(says(&world, "Service b/any"), "True Allocated: 198.51.100.2", "what stands in the status of another is chosen for nobody");
    assert_eq!(
        explained(&world, FREE[1]),
        "198.51.100.1: nobody holds it\n198.51.100.1: in the status of Service team/db, where another controller has written it\n"
    );

    world.hand_over("Service team/db");
    world.now += SignedDuration::from_secs(11);
    world.settle();
    assert_eq!(says(&world, "Service team/db"), "True Allocated: 198.51.100.0");
    assert_eq!((held(&world)[1].as_str(), world.told.len()), ("team/db 198.51.100.0 5432/TCP -", 0));
}

#[test]
fn what_is_asked_for_while_another_controller_owns_the_status_is_kept_for_later_and_told() {
    let mut world = World::new();
    world.apply(&balancer("team", "db", &json!({}), &[5432]));
    world.settle();
    let mut asks = balancer("team", "db", &json!({"metallb.io/loadBalancerIPs": FREE[2], "owned-by": "cloud"}), &[5432]);
    world.overwrite("Service team/db", "cloud", &["203.0.113.9"]);
    world.settle();
    world.apply(&asks);
    let lines = world.settle();
    assert_eq!(lines.iter().filter(|line| line.contains("AddressWithdrawn")).count(), 1, "{lines:?}");
    let told = "False StatusConflict: status.loadBalancer.ingress: 198.51.100.2 waits to be written here, and is not served before: cloud owns this field; remove that \
                controller, or give the object's class to one of the two";
    assert_eq!((says(&world, "Service team/db").as_str(), served(&world)), (told, vec!["team/db []".to_owned()]));
    assert!(explained(&world, FREE[2]).starts_with("198.51.100.2: allocated to Service team/db, and not served before its status has it\n"));
    assert_eq!(explained(&world, FREE[0]), "198.51.100.0: nobody holds it\n");
    // It asks for nothing any more.
    asks["spec"]["type"] = "ClusterIP".into();
    world.apply(&asks);
    world.settle();
    assert_eq!(says(&world, "Service team/db"), "- -: -");
}

#[test]
fn an_address_of_another_controller_is_served_as_long_as_it_stands_there() {
    let mut world = World::new();
    world.apply(&balancer("team", "db", &json!({}), &[5432]));
    for address in [FREE[2], FREE[1]] {
        world.overwrite("Service team/db", "metallb", &[address]);
        world.settle();
        let told = format!("True AllocatedElsewhere: {address}; served as long as metallb leaves this in status.loadBalancer.ingress");
        assert_eq!((says(&world, "Service team/db"), served(&world)), (told, vec![format!("team/db [{address}]")]));
        world.now += SignedDuration::from_mins(1);
    }
}
