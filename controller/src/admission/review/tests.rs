//! Reviews of objects as an API server sends them.
#![allow(clippy::unwrap_used, clippy::panic)]
#![allow(clippy::needless_pass_by_value, reason = "json!() is written in place")]

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::compile::{Facts, Settings, compile};
use crate::config::{Config, Pool, Zone};
use crate::status::Basis;

const PLATFORM: &str =
    "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: nginx}\nspec: {controller: k8s.io/ingress-nginx}\n---\n";

/// What is published after a pass over these manifests.
fn view(yaml: &str) -> View {
    let mut config = Config::default();
    config.gateway.public_addresses = vec!["192.0.2.10".parse().unwrap()];
    config.dns.zones = vec![Zone::named("dyn.example.org")];
    config.addresses.pools = vec![Pool { name: "public".into(), ranges: vec!["198.51.100.0/30".into()], auto_assign: true }];
    config.addresses.pool_namespace = "metallb-system".into();
    config.addresses.quota.default = Some(1);
    config.addresses.quota.namespaces.insert("ns-0".into(), 100_000);
    let settings = Settings::from_config(&config, &BTreeMap::new()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("in.yaml"), PLATFORM.to_owned() + yaml).unwrap();
    let read = source::read(&[directory.path().to_owned()]).unwrap();
    let compiled = compile(&read.objects, &settings, &Facts::default());
    let basis = Basis { settings: Arc::new(settings), read: Arc::new(read), rules: compiled.ownership, standing: compiled.standing };
    View { report: compiled.report, basis: Some(basis), ..View::default() }
}

fn ingress(namespace: &str, name: &str, created: Option<&str>, host: &str, path: &str, annotations: Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": created, "annotations": annotations},
        "spec": {"ingressClassName": "nginx", "rules": [{"host": host, "http": {"paths": [
            {"path": path, "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}}
        ]}}]},
    })
}

fn service(annotations: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "db", "namespace": "b", "annotations": annotations},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
    })
}

fn asked(view: &View, request: Value) -> Value {
    let mut request = request;
    request["uid"] = "u-1".into();
    let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
    let answer = review(&serde_json::to_vec(&body).unwrap(), view).unwrap();
    assert_eq!((&answer["kind"], &answer["response"]["uid"]), (&json!("AdmissionReview"), &json!("u-1")));
    answer["response"].clone()
}

/// Why an object is refused when it is created, and the warnings.
fn created(view: &View, object: Value) -> (String, Vec<String>) {
    let response = asked(view, json!({"operation": "CREATE", "object": object}));
    assert_eq!(response["allowed"] == true, response.get("status").is_none());
    let warnings = response.get("warnings").map(|warnings| serde_json::from_value(warnings.clone()).unwrap()).unwrap_or_default();
    (response["status"]["message"].as_str().unwrap_or_default().to_owned(), warnings)
}

fn held() -> View {
    view(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web, namespace: a, creationTimestamp: '2026-01-02T00:00:00Z'}\nspec: {ingressClassName: nginx, \
         rules: [{host: web.dyn.example.org, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}, {host: '*.lab.dyn.example.org'}]}\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {name: old, namespace: b, creationTimestamp: '2026-01-02T00:00:00Z'}\nspec: {type: LoadBalancer, ports: [{port: 80}]}\n",
    )
}

#[test]
fn hosts_of_a_new_object_are_judged_by_who_has_them() {
    let view = held();
    let owned = "spec.rules[0].host: \"web.dyn.example.org\" is held by another namespace, which claimed it first; choose another name, or ask the platform's operators, who can see the holder";
    let taken = "spec.rules[0].http.paths[0].path: the host \"web.dyn.example.org\" has this path already in Ingress a/web, which is older; that one is served";
    let under = "spec.rules[0].host: \"x.lab.dyn.example.org\" belongs to \"*.lab.dyn.example.org\", which another namespace claimed first; choose another name, or ask the platform's operators, who can see the holder";
    let reserved = "spec.rules[0].host: \"dyn.example.org\" is reserved for the platform; choose another name";
    // Namespace, name, time of creation, host, path, answer.
    let table = [
        ("b", "new", None, "web.dyn.example.org", "/", owned),
        ("b", "new", Some("2026-01-03T00:00:00Z"), "web.dyn.example.org", "/", owned),
        // Whatever its age: of the same second, or, as no API server has it, older.
        ("b", "new", Some("2026-01-02T00:00:00Z"), "web.dyn.example.org", "/", owned),
        ("b", "new", Some("2026-01-01T00:00:00Z"), "web.dyn.example.org", "/", owned),
        ("b", "new", None, "x.lab.dyn.example.org", "/", under),
        ("b", "new", Some("2026-01-01T00:00:00Z"), "x.lab.dyn.example.org", "/", under),
        ("b", "new", None, "free.dyn.example.org", "/", ""),
        ("b", "new", None, "dyn.example.org", "/", reserved),
        ("a", "new", None, "web.dyn.example.org", "/b", ""),
        ("a", "new", None, "web.dyn.example.org", "/", taken),
        ("a", "new", Some("2026-01-01T00:00:00Z"), "web.dyn.example.org", "/", ""),
        ("a", "web", Some("2026-01-02T00:00:00Z"), "web.dyn.example.org", "/", ""),
    ];
    for (namespace, name, time, host, path, expected) in table {
        assert_eq!(created(&view, ingress(namespace, name, time, host, path, json!({}))).0, expected, "{namespace}/{name} {time:?} {host}{path}");
    }
}

#[test]
fn an_old_object_that_is_edited_takes_no_host_from_who_has_it() {
    let view = held();
    let old = |host: &str| ingress("b", "old", Some("2026-01-01T00:00:00Z"), host, "/", json!({}));
    let edited = |before: Value, after: Value| asked(&view, json!({"operation": "UPDATE", "object": after, "oldObject": before}));
    for host in ["web.dyn.example.org", "x.lab.dyn.example.org"] {
        assert_eq!(edited(old("free.dyn.example.org"), old(host))["allowed"], false, "{host}");
        // What it asked for before is its age's: the next pass gives it that host.
        assert_eq!(edited(old(host), old(host)), json!({"uid": "u-1", "allowed": true}), "{host}");
    }
    let named = |host: &str| {
        let mut service = service(json!({"external-dns.alpha.kubernetes.io/hostname": host, "metallb.io/allow-shared-ip": "k"}));
        service["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
        service
    };
    assert_eq!(edited(named("free.dyn.example.org"), named("web.dyn.example.org"))["allowed"], false);
    assert_eq!(edited(named("web.dyn.example.org"), named("web.dyn.example.org"))["allowed"], true);
    // An object of a class that is not ours asked for nothing.
    let mut other_class = old("web.dyn.example.org");
    other_class["spec"]["ingressClassName"] = "other".into();
    assert_eq!(edited(other_class, old("web.dyn.example.org"))["allowed"], false);
}

#[test]
fn refused_annotations_are_denied_and_hints_are_warnings() {
    let view = held();
    let with = |annotations: Value| created(&view, ingress("b", "new", None, "b.dyn.example.org", "/", annotations));
    let (denied, warnings) = with(json!({"nginx.ingress.kubernetes.io/server-snippet": "return 200;"}));
    assert!(denied.starts_with("metadata.annotations[nginx.ingress.kubernetes.io/server-snippet]: refused: raw nginx"), "{denied}");
    assert_eq!(warnings, Vec::<String>::new());
    let (denied, warnings) = with(json!({"nginx.ingress.kubernetes.io/enable-cors": "true", "nginx.org/client-max-body-size": "5m"}));
    assert_eq!((denied.as_str(), warnings.len()), ("", 2), "{warnings:?}");
    // The Secret may be there: only those that something names are read.
    let (denied, warnings) = with(json!({"nginx.ingress.kubernetes.io/auth-type": "basic", "nginx.ingress.kubernetes.io/auth-secret": "users"}));
    assert_eq!((denied.as_str(), warnings.len()), ("", 0), "{warnings:?}");
    let (denied, _) = with(json!({"nginx.ingress.kubernetes.io/auth-type": "basic", "nginx.ingress.kubernetes.io/auth-secret": "a/users"}));
    assert!(denied.contains("names a Secret of another namespace"), "{denied}");
}

#[test]
fn services_are_judged_by_names_and_requests() {
    let view = held();
    let table = [
        (json!({}), "", 1),
        (json!({"external-dns.alpha.kubernetes.io/hostname": "web.dyn.example.org"}), "is held by another namespace", 1),
        (json!({"metallb.io/address-pool": "nosuch"}), "there is no pool \"nosuch\"", 0),
        (json!({"metallb.io/loadBalancerIPs": "here"}), "\"here\" is not an IP address", 0),
        (json!({"metallb.io/adress-pool": "public"}), "", 2),
        (json!({"metallb.io/allow-shared-ip": "k"}), "", 1),
    ];
    for (annotations, expected, warned) in table {
        let (denied, warnings) = created(&view, service(annotations.clone()));
        assert!(denied.contains(expected) && denied.is_empty() == expected.is_empty(), "{annotations}: {denied}");
        assert_eq!(warnings.len(), warned, "{annotations}: {warnings:?}");
    }
}

fn balancer(namespace: &str, name: &str, annotations: Value) -> Value {
    let mut service = service(annotations);
    (service["metadata"]["namespace"], service["metadata"]["name"]) = (namespace.into(), name.into());
    service
}

/// What a Service is denied or warned of.
fn told(view: &View, service: Value) -> String {
    let (denied, warnings) = created(view, service);
    let warnings = warnings.iter().map(|warning| format!("warned: {warning}"));
    Some(denied)
        .into_iter()
        .filter(|denied| !denied.is_empty())
        .map(|denied| format!("denied: {denied}"))
        .chain(warnings)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_service_is_told_what_it_will_wait_for() {
    let view = view(
        "apiVersion: v1\nkind: Service\nmetadata: {name: one, namespace: a, creationTimestamp: '2026-01-02T00:00:00Z'}\nspec: {type: LoadBalancer, ports: [{port: 80}]}\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {name: shared, namespace: c, creationTimestamp: '2026-01-02T00:00:00Z', annotations: {metallb.io/allow-shared-ip: k, \
         metallb.io/loadBalancerIPs: 198.51.100.3}}\nspec: {type: LoadBalancer, ports: [{port: 80}]}\n",
    );
    let at = |address: &str| json!({"metallb.io/loadBalancerIPs": address});
    let field = "metadata.annotations[metallb.io/loadBalancerIPs]";
    let quota = "warned: spec.type: this namespace holds 1 of 1 addresses that it may have; free one, share one with metallb.io/allow-shared-ip, or ask the platform's operators for more (addresses.quota)";
    let shares = |key: &str| json!({"metallb.io/allow-shared-ip": key, "metallb.io/loadBalancerIPs": "198.51.100.3"});
    let table = [
        (balancer("b", "db", json!({})), String::new()),
        (balancer("b", "db", at("198.51.100.1")), String::new()),
        (balancer("b", "db", at("198.51.100.0")), format!("warned: {field}: the address 198.51.100.0 is held by Service a/one")),
        (balancer("b", "db", at("203.0.113.1")), format!("denied: {field}: the address 203.0.113.1 is not in any pool")),
        (balancer("b", "db", shares("k")), format!("warned: {field}: the address 198.51.100.3 is held by Service c/shared")),
        (
            balancer("c", "db", shares("other")),
            format!("warned: {field}: the address 198.51.100.3 is held by Service c/shared: their allow-shared-ip keys differ; give both the same"),
        ),
        (
            balancer("c", "db", shares("k")),
            format!("warned: {field}: the address 198.51.100.3 is held by Service c/shared, which has the port 80/TCP too"),
        ),
        (balancer("a", "two", json!({})), quota.to_owned()),
        // What it has itself is not in its way, nor one too many.
        (balancer("a", "one", json!({})), String::new()),
        (balancer("a", "one", at("198.51.100.0")), String::new()),
        (balancer("a", "one", at("198.51.100.2")), String::new()),
        (balancer("a", "one", at("198.51.100.3")), format!("warned: {field}: the address 198.51.100.3 is held by Service c/shared")),
    ];
    for (service, expected) in table {
        assert_eq!(told(&view, service.clone()), expected, "{service}");
        // Whether it is a dry run or not, nothing is remembered of it.
        assert_eq!(told(&view, service.clone()), expected, "{service}");
    }
}

#[test]
fn a_service_is_warned_of_an_exhausted_pool_and_not_denied_the_pool_of_a_namespace_that_comes_with_it() {
    let full: String = (0..4)
        .map(|n| format!("apiVersion: v1\nkind: Service\nmetadata: {{name: s, namespace: full-{n}}}\nspec: {{type: LoadBalancer, ports: [{{port: 80}}]}}\n---\n"))
        .collect();
    let fenced = "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: gold, namespace: metallb-system}\nspec: {addresses: [203.0.113.0/30], \
         serviceAllocation: {namespaceSelectors: [{matchLabels: {tier: gold}}]}}\n---\n\
         apiVersion: v1\nkind: Namespace\nmetadata: {name: rich, labels: {tier: gold}}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n";
    let view = view(&(full + fenced));
    let exhausted = "spec.type: the pool \"public\" has no free IPv4 address; share one with metallb.io/allow-shared-ip, free one, or ask the platform's operators";
    let fence = "metadata.annotations[metallb.io/address-pool]: the pool \"gold\" is not for this Service; name another pool, or ask the platform's operators for whom it is";
    let gold = || json!({"metallb.io/address-pool": "gold"});
    let table = [
        (balancer("b", "db", json!({})), format!("warned: {exhausted}")),
        (balancer("rich", "db", json!({})), String::new()),
        (balancer("rich", "db", gold()), String::new()),
        (balancer("b", "db", gold()), format!("denied: {fence}")),
        // Its labels have not been seen yet.
        (balancer("new", "db", gold()), format!("warned: {fence}")),
    ];
    for (service, expected) in table {
        assert_eq!(told(&view, service.clone()), expected, "{service}");
    }
}

#[test]
fn what_was_wrong_before_can_be_mended_step_by_step() {
    let view = held();
    let snippet = json!({"nginx.ingress.kubernetes.io/server-snippet": "return 200;"});
    let old = ingress("b", "new", Some("2026-01-03T00:00:00Z"), "web.dyn.example.org", "/", snippet);
    let better = ingress("b", "new", Some("2026-01-03T00:00:00Z"), "web.dyn.example.org", "/", json!({}));
    let response = asked(&view, json!({"operation": "UPDATE", "object": better, "oldObject": old}));
    assert_eq!((&response["allowed"], response["warnings"].as_array().unwrap().len()), (&json!(true), 1));
    let worse = ingress("b", "new", Some("2026-01-03T00:00:00Z"), "x.lab.dyn.example.org", "/", json!({}));
    assert_eq!(asked(&view, json!({"operation": "UPDATE", "object": worse, "oldObject": old}))["allowed"], false);
}

#[test]
fn what_is_none_of_our_business_passes() {
    let view = held();
    let mut other_class = ingress("b", "new", None, "web.dyn.example.org", "/", json!({"nginx.ingress.kubernetes.io/server-snippet": "x"}));
    other_class["spec"]["ingressClassName"] = "other".into();
    let bad = ingress("b", "new", None, "web.dyn.example.org", "/", json!({}));
    let requests = [
        json!({"operation": "CREATE", "object": other_class}),
        json!({"operation": "CREATE", "object": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}}),
        json!({"operation": "DELETE", "object": null, "oldObject": bad}),
        json!({"operation": "UPDATE", "subResource": "status", "object": bad, "oldObject": bad}),
        json!({"operation": "CONNECT"}),
    ];
    for request in requests {
        assert_eq!(asked(&view, request.clone()), json!({"uid": "u-1", "allowed": true}), "{request}");
    }
}

#[test]
fn a_dry_run_and_a_name_that_is_to_be_made_up_are_answered_alike() {
    let view = held();
    let mut object = ingress("b", "", None, "web.dyn.example.org", "/", json!({}));
    object["metadata"] = json!({"generateName": "new-", "namespace": "b"});
    for dry_run in [true, false] {
        let response = asked(&view, json!({"operation": "CREATE", "dryRun": dry_run, "object": object}));
        assert!(response["status"]["message"].as_str().unwrap().starts_with("spec.rules[0].host"), "{response}");
    }
}

#[test]
fn what_cannot_be_answered_is_an_error() {
    let body = json!({"apiVersion": "admission.k8s.io/v1", "request": {"uid": "1", "operation": "CREATE", "object": service(json!({}))}});
    let body = serde_json::to_vec(&body).unwrap();
    assert!(matches!(review(&body, &View::default()), Err(ReviewError::NotReady)));
    for body in [
        "",
        "{}",
        "[]",
        "{\"apiVersion\": \"admission.k8s.io/v1\"}",
        "{\"apiVersion\": \"admission.k8s.io/v1beta1\", \"request\": {\"uid\": \"1\", \"operation\": \"CREATE\"}}",
    ] {
        assert!(matches!(review(body.as_bytes(), &held()), Err(ReviewError::Malformed(_))), "{body}");
    }
}

/// Prints what a review costs among ten thousand Ingresses and five thousand Services of type LoadBalancer; run it with `--ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn measure_ten_thousand_ingresses() {
    let ingress_yaml = |n: usize| {
        let (ns, name) = (n % 200, format!("app-{n}"));
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, namespace: ns-{ns}, creationTimestamp: '2026-01-02T00:00:00Z'}}\nspec: {{ingressClassName: nginx, \
             rules: [{{host: {name}.dyn.example.org, http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: web, port: {{number: 80}}}}}}}}]}}}}]}}\n---\n"
        )
    };
    // Half of them in one namespace, and one pool that is full.
    let service_yaml = |n: usize| {
        let (ns, key) = (if n.is_multiple_of(2) { 0 } else { n % 200 }, n % 50);
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: lb-{n}, namespace: ns-{ns}, creationTimestamp: '2026-01-02T00:00:00Z', annotations: {{metallb.io/allow-shared-ip: k{key}, \
             metallb.io/address-pool: big}}}}\nspec: {{type: LoadBalancer, ports: [{{port: {}}}]}}\n---\n",
            1 + n % 60
        )
    };
    let pool = "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: big, namespace: metallb-system}\nspec: {addresses: [10.0.0.0/21], \
                serviceAllocation: {namespaceSelectors: [{}]}}\n---\n";
    let yaml: String = (0..10_000).map(ingress_yaml).chain((0..5_000).map(service_yaml)).chain([pool.to_owned()]).collect();
    let view = view(&yaml);
    println!("addresses held: {}", view.report.services.iter().filter(|service| !service.addresses.is_empty()).count());
    let annotations = || json!({"nginx.ingress.kubernetes.io/proxy-body-size": "1g"});
    measure("a new Ingress", |n| {
        asked(
            &view,
            json!({"operation": "CREATE", "object": ingress("b", "new", None, &format!("app-{}.dyn.example.org", n * 17), "/", annotations())}),
        )
    });
    let big = |n: usize| json!({"metallb.io/allow-shared-ip": format!("k{}", n % 50), "metallb.io/address-pool": "big"});
    measure("a new Service", |n| asked(&view, json!({"operation": "CREATE", "object": balancer("ns-0", "new", big(n))})));
    measure("a Service that changes", |n| {
        let service = balancer("ns-0", &format!("lb-{}", n * 2), big(n));
        asked(&view, json!({"operation": "UPDATE", "object": service, "oldObject": service}))
    });
}

fn measure(what: &str, mut review: impl FnMut(usize) -> Value) {
    let timed = |n| {
        let start = std::time::Instant::now();
        let _ = review(n);
        start.elapsed()
    };
    let mut times: Vec<_> = (0..1_000).map(timed).collect();
    times.sort_unstable();
    println!("{what}: p50 {:?}, p99 {:?}, worst {:?}", times[500], times[990], times[999]);
}
