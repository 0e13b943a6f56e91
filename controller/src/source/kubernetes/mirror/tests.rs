//! What the mirror makes of what it is told.
#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::json;

use super::*;

fn config_map(name: &str, version: &str, value: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "ns", "uid": name, "resourceVersion": version}, "data": {"value": value}})
}

fn values(mirror: &Mirror) -> Vec<(String, String)> {
    let maps = mirror.read().objects.config_maps;
    maps.values().map(|map| (map.reference.name.to_string(), map.object.data.as_ref().unwrap()["value"].clone())).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn it_is_complete_once_every_kind_was_listed_or_is_not_served() {
    let kinds = || Kind::ALL.into_iter().map(|(kind, ..)| kind);
    let mut mirror = Mirror::awaiting(kinds());
    for kind in kinds() {
        assert!(!mirror.is_complete());
        let effect = if kind == Kind::Certificate { mirror.absent(kind) } else { mirror.list(kind, vec![]) };
        assert_eq!(effect, Effect::Content);
    }
    assert!(mirror.is_complete());
}

#[test]
fn changes_tell_what_they_amount_to() {
    let mut mirror = Mirror::default();
    assert_eq!(mirror.list(Kind::ConfigMap, vec![config_map("a", "1", "x"), config_map("b", "2", "x")]), Effect::Content);
    type Step = fn(&mut Mirror) -> Effect;
    type Left<'a> = &'a [(&'a str, &'a str)];
    let table: [(Step, Effect, Left<'_>); 8] = [
        (|m| m.list(Kind::ConfigMap, vec![config_map("a", "1", "x"), config_map("b", "2", "x")]), Effect::None, &[("a", "x"), ("b", "x")]),
        (|m| m.apply(Kind::ConfigMap, config_map("a", "1", "x")), Effect::None, &[("a", "x"), ("b", "x")]),
        (|m| m.apply(Kind::ConfigMap, config_map("a", "3", "x")), Effect::Version, &[("a", "x"), ("b", "x")]),
        (|m| m.apply(Kind::ConfigMap, config_map("a", "4", "y")), Effect::Content, &[("a", "y"), ("b", "x")]),
        (|m| m.delete(Kind::ConfigMap, &config_map("b", "5", "x")), Effect::Content, &[("a", "y")]),
        (|m| m.delete(Kind::ConfigMap, &config_map("b", "5", "x")), Effect::None, &[("a", "y")]),
        (|m| m.list(Kind::ConfigMap, vec![config_map("c", "6", "z")]), Effect::Content, &[("c", "z")]),
        (|m| m.absent(Kind::ConfigMap), Effect::Content, &[]),
    ];
    for (index, (change, effect, left)) in table.into_iter().enumerate() {
        assert_eq!((change(&mut mirror), values(&mirror)), (effect, pairs(left)), "row {index}");
    }
}

#[test]
fn versions_are_kept_beside_the_content() {
    let mut mirror = Mirror::default();
    mirror.apply(
        Kind::Service,
        json!({"metadata": {
            "name": "s", "namespace": "ns", "uid": "u", "resourceVersion": "7", "generation": 3, "labels": {"a": "b"},
            "managedFields": [{"manager": "x"}], "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "k": "v"},
        }, "spec": {"ports": [{"port": 80}], "fieldOfTheFuture": 1}}),
    );
    let read = mirror.read();
    let service = &read.objects.services[&ObjectKey::new("ns", "s")];
    let meta = &service.meta;
    assert_eq!((meta.uid.as_str(), meta.resource_version.as_str(), meta.generation), ("u", "7", Some(3)));
    assert_eq!((meta.labels.len(), &service.origin, &service.age.origin), (1, &None, &None));
    let metadata = &service.object.metadata;
    assert_eq!((&metadata.managed_fields, &metadata.resource_version, metadata.annotations.as_ref().unwrap().len()), (&None, &None, 1));
    assert_eq!(read.problems, []);
}

#[test]
fn of_who_owns_what_only_our_own_status_stays() {
    let entry_of = |manager: &str, subresource: &str, field: &str| json!({"manager": manager, "subresource": subresource, "operation": "Apply", "fieldsV1": {"f:status": {field: {}}}});
    let entry = |manager: &str, subresource: &str| entry_of(manager, subresource, "f:loadBalancer");
    let ours = json!([{"manager": "vrata", "subresource": "status"}]);
    let table = [
        (json!([entry("x", "status"), entry("vrata", "status")]), Some(ours)),
        (json!([entry("x", "status"), entry("vrata", "")]), None),
        (json!([entry("x", "status"), entry_of("vrata", "status", "f:conditions")]), None),
        (json!([]), None),
    ];
    for (fields, expected) in table {
        let mut mirror = Mirror::default();
        let service = json!({"metadata": {"name": "s", "namespace": "ns", "managedFields": fields}, "spec": {"ports": [{"port": 80}]}});
        mirror.apply(Kind::Service, service);
        let kept = mirror.read().objects.services[&ObjectKey::new("ns", "s")].object.metadata.managed_fields.clone();
        assert_eq!(kept.map(|kept| serde_json::to_value(kept).unwrap()), expected);
    }
}

#[test]
fn what_cannot_be_read_is_a_problem_and_the_last_good_version_stays() {
    let mut mirror = Mirror::default();
    mirror.list(Kind::ConfigMap, vec![config_map("a", "1", "x"), config_map("b", "1", "x")]);
    let mut broken = config_map("a", "2", "y");
    broken["data"] = json!({"value": 5});
    assert_eq!(mirror.list(Kind::ConfigMap, vec![broken.clone(), config_map("b", "2", "y")]), Effect::Content);
    assert_eq!(values(&mirror), pairs(&[("a", "x"), ("b", "y")]));
    let problems = mirror.read().problems;
    assert!(problems.len() == 1 && problems[0].message.ends_with("stays in use."), "{problems:?}");
    assert_eq!(problems[0].origin, None);
    mirror.delete(Kind::ConfigMap, &broken);
    assert_eq!((values(&mirror), mirror.read().problems), (pairs(&[("b", "y")]), vec![]));
}

#[test]
fn an_object_without_a_name_takes_nothing_away() {
    let mut mirror = Mirror::default();
    mirror.list(Kind::ConfigMap, vec![config_map("a", "1", "x"), config_map("b", "1", "x")]);
    for nameless in [json!({}), json!(5), json!({"metadata": {"name": 5, "namespace": "ns"}})] {
        mirror.list(Kind::ConfigMap, vec![config_map("a", "2", "y"), nameless]);
        assert_eq!(values(&mirror), pairs(&[("a", "y"), ("b", "x")]));
    }
}
