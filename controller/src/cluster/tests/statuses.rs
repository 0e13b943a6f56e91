//! Statuses: written once, taken back, never fought over.

use jiff::SignedDuration;
use serde_json::json;

use super::world::{World, backend, balancer, ingress, line};
use crate::cluster::{Memory, Outcome, Plan};

#[test]
fn a_second_pass_writes_nothing() {
    let mut world = World::new();
    world.apply(&backend("team"));
    world.apply(&ingress("team", "app", "nginx", "app.dyn.example.org"));
    world.apply(&balancer("team", "db", &json!({}), &[5432]));
    let first = ["Service team/db = 198.51.100.0", "Ingress team/app = 192.0.2.10", "Normal NameServed Ingress team/app"];
    assert_eq!(world.step(), first);
    assert_eq!(world.step(), ["Normal AddressAllocated Service team/db"]);
    assert_eq!(world.plan(), Plan::default());
    let port = json!([{"port": 5432, "protocol": "TCP"}]);
    let told = json!({"type": "vrata.io/AddressAllocated", "status": "True", "reason": "Allocated", "message": "198.51.100.0", "lastTransitionTime": "2026-11-24T06:00:03Z"});
    let entry = json!({"ip": "198.51.100.0", "ipMode": "Proxy", "ports": port});
    assert_eq!(*world.status("Service team/db"), json!({"loadBalancer": {"ingress": [entry]}, "conditions": [told]}));
    assert_eq!(*world.status("Ingress team/app"), json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.10"}]}}));
    assert_eq!(world.pass().view.report.services[0].addresses, ["198.51.100.0".parse::<std::net::IpAddr>().unwrap()]);
}

#[test]
fn what_is_under_way_or_not_seen_yet_is_not_written_again() {
    let mut world = World::new();
    world.apply(&balancer("team", "db", &json!({}), &[5432]));
    let plan = world.plan();
    let [write] = plan.writes.as_slice() else { panic!("{plan:?}") };
    world.memory.started(write);
    assert_eq!(world.plan().writes, []);
    world.memory.finished(write, &Outcome::Written, world.now);
    assert_eq!(world.plan().writes, []);
    world.memory.finished(write, &Outcome::Unreachable, world.now);
    assert_eq!(world.plan().writes.iter().map(line).collect::<Vec<_>>(), ["Service team/db = 198.51.100.0"]);
}

#[test]
fn an_ingress_that_is_handed_over_loses_what_we_wrote_and_nothing_else() {
    let mut world = World::new();
    world.apply(&backend("team"));
    world.apply(&ingress("team", "app", "nginx", "app.dyn.example.org"));
    let mut foreign = ingress("team", "foreign", "other", "foreign.dyn.example.org");
    foreign["status"] = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.10"}]}});
    world.apply(&foreign);
    world.settle();
    world.apply(&ingress("team", "app", "other", "app.dyn.example.org"));
    // A new leader knows it from the object.
    world.memory = Memory::default();
    assert_eq!(world.settle(), ["Ingress team/app = "]);
    assert_eq!(*world.status("Ingress team/app"), json!({}));
    assert_eq!(*world.status("Ingress team/foreign"), foreign["status"]);
}

#[test]
fn only_an_ingress_with_a_route_shows_the_gateway() {
    let mut world = World::new();
    world.apply(&backend("a"));
    world.apply(&backend("b"));
    let mut older = ingress("a", "app", "nginx", "app.dyn.example.org");
    older["metadata"]["creationTimestamp"] = "2026-11-23T06:00:00Z".into();
    world.apply(&older);
    world.apply(&ingress("b", "app", "nginx", "app.dyn.example.org"));
    assert_eq!(world.settle(), ["Ingress a/app = 192.0.2.10", "Warning HostOwnedByAnother Ingress b/app"]);
}

#[test]
fn the_published_service_says_where_the_gateway_is() {
    let mut world = World::new();
    world.config.gateway.publish_service = Some("vrata-system/vrata".into());
    world.config.gateway.public_addresses.clear();
    world.config.dns.zones.clear();
    let mut service = balancer("vrata-system", "vrata", &json!({}), &[443]);
    service["spec"]["type"] = "ClusterIP".into();
    world.apply(&service);
    world.apply(&backend("team"));
    world.apply(&ingress("team", "app", "nginx", "app.example.net"));
    assert_eq!(world.settle(), Vec::<String>::new(), "it is nowhere yet");
    service["status"] = json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}, {"hostname": "edge.example.com"}]}});
    world.apply(&service);
    assert_eq!(world.settle(), ["Ingress team/app = 203.0.113.7,edge.example.com"]);
}

#[test]
fn a_status_of_another_manager_is_told_and_tried_rarely_until_it_is_handed_over() {
    let mut world = World::new();
    world.apply(&backend("team"));
    let mut app = ingress("team", "app", "nginx", "app.example.net");
    app["metadata"]["annotations"] = json!({"owned-by": "nginx-ingress-controller"});
    app["status"] = json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}});
    world.apply(&app);
    assert_eq!(world.settle(), ["Ingress team/app = 192.0.2.10", "Warning StatusConflict Ingress team/app"]);
    assert_eq!(
        world.told[0].message,
        "another controller owns this object's status: nginx-ingress-controller; remove that controller, or give the object's class to one of the two; \
         until then the status may not be true"
    );
    assert!(world.plan().due.unwrap() < world.now + SignedDuration::from_mins(30), "the Event is due");
    world.now += SignedDuration::from_mins(61);
    assert_eq!(world.step(), ["Ingress team/app = 192.0.2.10", "Warning StatusConflict again Ingress team/app"]);
    app["metadata"]["annotations"] = json!({});
    app["status"] = json!({});
    world.apply(&app);
    world.now += SignedDuration::from_secs(11);
    assert_eq!(world.settle()[0], "Ingress team/app = 192.0.2.10");
    assert_eq!(world.told, []);
}

#[test]
fn who_undoes_a_write_time_and_again_is_not_fought() {
    let mut world = World::new();
    world.apply(&backend("team"));
    let mut app = ingress("team", "app", "nginx", "app.example.net");
    app["status"] = json!({});
    let mut writes = 0;
    for _ in 0..20 {
        world.apply(&app);
        writes += world.step().iter().filter(|line| line.starts_with("Ingress")).count();
        world.now += SignedDuration::from_secs(10);
    }
    assert_eq!(writes, 4);
    assert!(world.told[0].message.starts_with("another controller keeps changing this object's status; "), "{:?}", world.told);
}

#[test]
fn a_write_over_what_has_changed_waits_for_the_change() {
    let mut world = World::new();
    world.apply(&backend("team"));
    world.apply(&ingress("team", "app", "nginx", "app.example.net"));
    let plan = world.plan();
    let write = &plan.writes[0];
    for seconds in [5, 10, 20] {
        let at = world.now;
        world.memory.started(write);
        world.memory.finished(write, &Outcome::Stale, at);
        let plan = world.plan();
        assert_eq!((plan.writes, plan.due), (vec![], Some(at + SignedDuration::from_secs(seconds))));
        world.now = at + SignedDuration::from_secs(seconds);
        assert_eq!(world.plan().writes.len(), 1);
    }
    world.memory.started(write);
    world.memory.finished(write, &Outcome::Stale, world.now);
    world.apply(&ingress("team", "app", "nginx", "app.example.net"));
    assert_eq!(line(&world.plan().writes[0]), "Ingress team/app = 192.0.2.10", "the change is seen");
}

#[test]
fn what_is_refused_is_tried_rarely() {
    let mut world = World::new();
    world.apply(&backend("team"));
    world.apply(&ingress("team", "app", "nginx", "app.example.net"));
    let write = world.plan().writes.remove(0);
    let at = world.now;
    world.memory.started(&write);
    world.memory.finished(&write, &Outcome::Refused, at);
    assert_eq!(world.plan(), Plan { due: Some(at + SignedDuration::from_mins(10)), ..Plan::default() });
}

#[test]
fn a_certificate_says_whether_it_is_ready_and_since_when() {
    let mut world = World::new();
    let certificate = json!({"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"namespace": "team", "name": "db"},
        "spec": {"secretName": "db-tls", "dnsNames": ["db.team.svc"], "issuerRef": {"name": "internal", "kind": "ClusterIssuer"}}});
    world.apply(&certificate);
    assert_eq!(world.settle(), ["Certificate team/db = Ready=False MissingReference", "Warning MissingReference Certificate team/db"]);
    let since = world.status("Certificate team/db")["conditions"][0]["lastTransitionTime"].clone();
    assert_eq!(since, "2026-11-24T06:00:03Z");
    world.now += SignedDuration::from_mins(5);
    let issuer = json!({"apiVersion": "cert-manager.io/v1", "kind": "ClusterIssuer", "metadata": {"name": "internal"}, "spec": {"selfSigned": {}}});
    world.apply(&issuer);
    world.orders_known = false;
    assert_eq!(world.settle(), Vec::<String>::new(), "whether it was issued is not known yet");
    world.orders_known = true;
    assert_eq!(world.settle(), ["Certificate team/db = Ready=False Issuing"]);
    assert_eq!(world.status("Certificate team/db")["conditions"][0]["lastTransitionTime"], since, "it was not ready before either");
}
