//! Annotations and fields, and what is read from them.
#![allow(clippy::unwrap_used)]
#![allow(clippy::needless_pass_by_value, reason = "json!() is written in place")]

use serde_json::{Value, json};

use crate::objects::{Age, Meta};
use crate::problem::ObjectRef;

use super::*;

fn read_for(class: &ServiceClass, annotations: &Value, mut spec: Value) -> Option<Reading> {
    spec.as_object_mut().unwrap().entry("type").or_insert_with(|| "LoadBalancer".into());
    let object: Service = serde_json::from_value(json!({"metadata": {"annotations": annotations}, "spec": spec})).unwrap();
    let reference = ObjectRef { kind: "Service".into(), namespace: Some("team".into()), name: "app".into() };
    let age = Age { created: Some(1), origin: None, name: "team/app".into() };
    claim_of(&Stored { reference, object, origin: None, age, meta: Meta::default() }, class)
}

fn read(annotations: Value, spec: Value) -> Reading {
    read_for(&ServiceClass::default(), &annotations, spec).unwrap()
}

/// The request in short: pool, addresses, key.
fn asked(annotations: Value) -> (Option<String>, Vec<String>, Option<String>) {
    let reading = read(annotations, json!({}));
    assert_eq!(reading.errors, []);
    let request = reading.claim.request.unwrap();
    let addresses = request.addresses.map(|asked| asked.value.iter().map(ToString::to_string).collect());
    (request.pool.map(|asked| asked.value), addresses.unwrap_or_default(), request.sharing_key)
}

fn errors(annotations: Value, spec: Value) -> Vec<String> {
    let reading = read(annotations, spec);
    let fatal = reading.errors.iter().any(|error| error.severity() == Severity::Error);
    assert_eq!(reading.claim.request.is_none(), fatal);
    reading.errors.iter().map(|error| format!("{}: {:?}: {error}", error.field(), error.reason())).collect()
}

#[test]
fn every_product_is_understood() {
    let none = (None, Vec::new(), None);
    let pool = (Some("privmuni".to_owned()), Vec::new(), None);
    let key = (None, Vec::new(), Some("k".to_owned()));
    let both = (None, vec!["192.0.2.1".to_owned(), "2001:db8::1".to_owned()], None);
    let table = [
        (json!({}), none.clone()),
        (json!({"metallb.universe.tf/address-pool": "privmuni"}), pool.clone()),
        (json!({"metallb.io/address-pool": "privmuni", "metallb.universe.tf/address-pool": "other"}), pool.clone()),
        (json!({"metallb.io/address-pool": "", "metallb.universe.tf/address-pool": "other"}), none.clone()),
        (json!({"purelb.io/service-group": "privmuni"}), pool.clone()),
        (json!({"purelb.io/service-group": "privmuni", "metallb.io/address-pool": "privmuni"}), pool),
        (json!({"metallb.universe.tf/allow-shared-ip": "k"}), key.clone()),
        (json!({"metallb.io/allow-shared-ip": "k"}), key.clone()),
        (json!({"purelb.io/allow-shared-ip": "k"}), key),
        (json!({"purelb.io/allow-shared-ip": " "}), none.clone()),
        (json!({"metallb.io/loadBalancerIPs": "192.0.2.1, 2001:db8::1"}), both.clone()),
        (json!({"metallb.universe.tf/loadBalancerIPs": "192.0.2.1,2001:db8::1"}), both.clone()),
        (json!({"purelb.io/addresses": "192.0.2.1,2001:db8::1"}), both),
        (json!({"metallb.io/ip-allocated-from-pool": "x", "purelb.io/allocated-by": "PureLB", "example.org/y": "z"}), none),
    ];
    for (annotations, expected) in table {
        assert_eq!(asked(annotations.clone()), expected, "{annotations}");
    }
}

#[test]
fn the_deprecated_field_names_an_address_too() {
    let request = read(json!({}), json!({"loadBalancerIP": "192.0.2.1"})).claim.request.unwrap();
    assert_eq!(request.addresses, Some(Asked { value: vec!["192.0.2.1".parse().unwrap()], field: "spec.loadBalancerIP".into() }));
    assert_eq!(read(json!({}), json!({"loadBalancerIP": ""})).claim.request.unwrap().addresses, None);
}

#[test]
fn what_is_wrong_in_annotations_is_named_with_its_field() {
    let ips = "metadata.annotations[metallb.io/loadBalancerIPs]";
    let table = [
        (
            json!({"metallb.io/loadBalancerIPs": "192.0.2.1,x"}),
            json!({}),
            format!("{ips}: InvalidAnnotation: \"x\" is not an IP address; write up to two addresses separated by a comma, one of each family"),
        ),
        (
            json!({"metallb.io/loadBalancerIPs": "192.0.2.1,192.0.2.2"}),
            json!({}),
            format!(
                "{ips}: InvalidAnnotation: \"192.0.2.1,192.0.2.2\" names more than one address of a family; a Service has at most one IPv4 and one IPv6 address"
            ),
        ),
        (
            json!({"metallb.io/loadBalancerIPs": "192.0.2.1"}),
            json!({"loadBalancerIP": "192.0.2.1"}),
            format!("{ips}: InvalidAnnotation: {ips} and spec.loadBalancerIP are both set; keep one of them"),
        ),
        (
            json!({"metallb.io/address-pool": "a", "purelb.io/service-group": "b"}),
            json!({}),
            "metadata.annotations[metallb.io/address-pool]: InvalidAnnotation: metadata.annotations[metallb.io/address-pool] and \
             metadata.annotations[purelb.io/service-group] are both set; keep one of them"
                .to_owned(),
        ),
        (
            json!({"metallb.universe.tf/adress-pool": "private"}),
            json!({}),
            "metadata.annotations[metallb.universe.tf/adress-pool]: NoEffect: this annotation has no effect here; those that have one are \
             metallb.universe.tf/address-pool, metallb.universe.tf/loadBalancerIPs, metallb.universe.tf/allow-shared-ip"
                .to_owned(),
        ),
        (
            json!({"purelb.io/multi-pool": "true"}),
            json!({}),
            "metadata.annotations[purelb.io/multi-pool]: NoEffect: this annotation has no effect here; those that have one are \
             purelb.io/service-group, purelb.io/addresses, purelb.io/allow-shared-ip"
                .to_owned(),
        ),
    ];
    for (annotations, spec, expected) in table {
        assert_eq!(errors(annotations, spec), [expected]);
    }
}

#[test]
fn what_is_wrong_in_the_spec_is_named_with_its_field() {
    let table = [
        (
            json!({}),
            json!({"loadBalancerIP": "x"}),
            "spec.loadBalancerIP: InvalidField: \"x\" is not an IP address; write up to two addresses separated by a comma, one of each family"
                .to_owned(),
        ),
        (json!({}), json!({"ipFamilies": ["IPv5"]}), "spec.ipFamilies[0]: InvalidField: \"IPv5\" is not allowed here; write IPv4 or IPv6".to_owned()),
        (
            json!({}),
            json!({"ipFamilyPolicy": "Dual"}),
            "spec.ipFamilyPolicy: InvalidField: \"Dual\" is not allowed here; write SingleStack, PreferDualStack or RequireDualStack".to_owned(),
        ),
        (
            json!({}),
            json!({"ports": [{"port": 80}, {"port": 0}]}),
            "spec.ports[1].port: InvalidField: \"0\" is not allowed here; write a number from 1 to 65535".to_owned(),
        ),
        (
            json!({}),
            json!({"ports": [{"port": 80, "protocol": "tcp"}]}),
            "spec.ports[0].protocol: InvalidField: \"tcp\" is not allowed here; write TCP, UDP or SCTP".to_owned(),
        ),
    ];
    for (annotations, spec, expected) in table {
        assert_eq!(errors(annotations, spec), [expected]);
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let all = errors(json!({"metallb.io/loadBalancerIPs": "x", "metallb.io/y": "z"}), json!({"ipFamilyPolicy": "w", "ports": [{"port": -1}]}));
    let fields: Vec<_> = all.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        fields,
        ["spec.ipFamilyPolicy", "spec.ports[0].port", "metadata.annotations[metallb.io/loadBalancerIPs]", "metadata.annotations[metallb.io/y]"]
    );
}

#[test]
fn families_follow_the_spec() {
    let table = [
        (json!({}), Families::Any),
        (json!({"clusterIP": "None"}), Families::Any),
        (json!({"clusterIP": "10.96.0.1"}), Families::Single(Family::V4)),
        (json!({"clusterIPs": ["fd00::1"]}), Families::Single(Family::V6)),
        (json!({"ipFamilies": ["IPv6"], "ipFamilyPolicy": "SingleStack"}), Families::Single(Family::V6)),
        (json!({"ipFamilies": ["IPv6", "IPv4"]}), Families::RequireDual(Family::V6)),
        (json!({"ipFamilyPolicy": "PreferDualStack"}), Families::PreferDual(Family::V4)),
        (json!({"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6"]}), Families::PreferDual(Family::V6)),
        (json!({"ipFamilyPolicy": "RequireDualStack", "clusterIPs": ["fd00::1", "10.96.0.1"]}), Families::RequireDual(Family::V6)),
    ];
    for (spec, expected) in table {
        assert_eq!(read(json!({}), spec.clone()).claim.families, expected, "{spec}");
    }
}

#[test]
fn ports_are_a_set_of_protocol_and_number() {
    let ports = json!([{"port": 53, "protocol": "UDP"}, {"port": 53}, {"port": 9, "protocol": "SCTP"}]);
    let read: Vec<_> = read(json!({}), json!({"ports": ports})).claim.ports.iter().map(ToString::to_string).collect();
    assert_eq!(read, ["53/TCP", "53/UDP", "9/SCTP"]);
}

#[test]
fn only_our_services_are_read() {
    // The class of the configuration, whether it is the default one, the Service.
    let table = [
        (None, true, json!({}), true),
        (None, true, json!({"loadBalancerClass": ""}), true),
        (None, true, json!({"type": "ClusterIP"}), false),
        (None, true, json!({"loadBalancerClass": "example.org/x"}), false),
        (Some("example.org/x"), true, json!({"loadBalancerClass": "example.org/x"}), true),
        (Some("example.org/x"), true, json!({"loadBalancerClass": "example.org/y"}), false),
        (Some("example.org/x"), true, json!({}), true),
        (Some("example.org/x"), false, json!({}), false),
        (Some("example.org/x"), false, json!({"loadBalancerClass": "example.org/x"}), true),
    ];
    for (name, default, spec, expected) in table {
        let class = ServiceClass { name: name.map(str::to_owned), default };
        assert_eq!(read_for(&class, &json!({}), spec.clone()).is_some(), expected, "{class:?} {spec}");
    }
}

#[test]
fn agreement_to_share_is_a_list_of_namespaces_and_a_broken_one_agrees_to_nothing() {
    let with = |value: &str| read(json!({"vrata.io/allow-shared-ip-with": value}), json!({}));
    let namespaces: Vec<_> = with(" b, c ,").claim.shares_with.into_iter().collect();
    assert_eq!(namespaces, ["b", "c"]);
    for value in ["*", "b,B", "a.b", "b/x"] {
        let reading = with(value);
        assert!(reading.claim.shares_with.is_empty() && reading.claim.request.is_none(), "{value}");
    }
    let expected = "metadata.annotations[vrata.io/allow-shared-ip]: NoEffect: this annotation has no effect here; those that have one are vrata.io/allow-shared-ip-with";
    assert_eq!(errors(json!({"vrata.io/allow-shared-ip": "k"}), json!({})), [expected]);
}

#[test]
fn the_traffic_policy_and_the_labels_are_read() {
    let local = read(json!({}), json!({"externalTrafficPolicy": "Local", "selector": {"app": "x"}})).claim.traffic;
    assert_eq!(local, TrafficPolicy::Local([("app".to_owned(), "x".to_owned())].into()));
    assert_eq!(read(json!({}), json!({"externalTrafficPolicy": "Cluster", "selector": {"app": "x"}})).claim.traffic, TrafficPolicy::Cluster);
}
