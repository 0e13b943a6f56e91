//! What the chart renders: every object is what Kubernetes' types say, nothing names a port, account or ConfigMap that is not there, pods are confined, and
//! vrata accepts its configuration. The plain manifests are rendered from the chart; `cargo xtask test --only chart` adds the other cases in `$VRATA_RENDERED`.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use controller::config;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PodTemplateSpec, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{IngressClass, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// All files with rendered objects.
fn rendered() -> Vec<PathBuf> {
    let plain = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/manifests");
    let directories = std::iter::once(plain).chain(std::env::var_os("VRATA_RENDERED").map(PathBuf::from));
    let files = directories.flat_map(|directory| std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()));
    files.filter(|file| file.extension().is_some_and(|extension| extension == "yaml")).collect()
}

/// The objects of a file.
fn objects(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

fn of_kind<'o>(objects: &'o [Value], kind: &str) -> Vec<&'o Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

fn read<T: DeserializeOwned>(object: &Value) -> T {
    serde_json::from_value(object.clone()).unwrap()
}

/// Runs `check` on the objects of every file; what it finds is told with the file.
fn in_every_file(check: impl Fn(&[Value]) -> Vec<String>) {
    let files = rendered();
    assert!(files.len() >= 2, "{files:?}");
    for file in files {
        let found = check(&objects(&file));
        assert!(found.is_empty(), "{}:\n{}", file.display(), found.join("\n"));
    }
}

/// Paths of `value` that reading it as a `T` and writing it again loses: keys that the type does not have.
fn lost<T: DeserializeOwned + Serialize>(value: &Value) -> Vec<String> {
    match serde_json::from_value::<T>(value.clone()) {
        Ok(object) => missing(value, &serde_json::to_value(object).unwrap(), ""),
        Err(error) => vec![error.to_string()],
    }
}

fn missing(value: &Value, kept: &Value, path: &str) -> Vec<String> {
    match (value, kept) {
        (Value::Object(fields), Value::Object(_)) => {
            fields.iter().flat_map(|(key, field)| missing(field, kept.get(key).unwrap_or(&Value::Null), &format!("{path}.{key}"))).collect()
        }
        (Value::Array(items), Value::Array(others)) if items.len() == others.len() => {
            items.iter().zip(others).enumerate().flat_map(|(index, (item, other))| missing(item, other, &format!("{path}[{index}]"))).collect()
        }
        // An empty object or list may be left out.
        (Value::Object(fields), Value::Null) if fields.is_empty() => Vec::new(),
        (Value::Array(items), Value::Null) if items.is_empty() => Vec::new(),
        _ if value == kept => Vec::new(),
        _ => vec![format!("{path}: {value} is read as {kept}")],
    }
}

fn faults_of_type(object: &Value) -> Vec<String> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let group = object["apiVersion"].as_str().unwrap_or_default();
    match (group, kind) {
        ("v1", "Namespace") => lost::<Namespace>(object),
        ("v1", "ConfigMap") => lost::<ConfigMap>(object),
        ("v1", "Service") => lost::<Service>(object),
        ("v1", "ServiceAccount") => lost::<ServiceAccount>(object),
        ("apps/v1", "Deployment") => lost::<Deployment>(object),
        ("apps/v1", "DaemonSet") => lost::<DaemonSet>(object),
        ("networking.k8s.io/v1", "NetworkPolicy") => lost::<NetworkPolicy>(object),
        ("networking.k8s.io/v1", "IngressClass") => lost::<IngressClass>(object),
        ("policy/v1", "PodDisruptionBudget") => lost::<PodDisruptionBudget>(object),
        ("rbac.authorization.k8s.io/v1", "ClusterRole") => lost::<ClusterRole>(object),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding") => lost::<ClusterRoleBinding>(object),
        ("rbac.authorization.k8s.io/v1", "Role") => lost::<Role>(object),
        ("rbac.authorization.k8s.io/v1", "RoleBinding") => lost::<RoleBinding>(object),
        ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration") => lost::<ValidatingWebhookConfiguration>(object),
        // Of Prometheus' operator, whose types nobody here has: the fields that it cannot do without.
        ("monitoring.coreos.com/v1", "ServiceMonitor") => absent(object, &["/spec/selector/matchLabels", "/spec/endpoints/0/port"]),
        ("monitoring.coreos.com/v1", "PrometheusRule") => {
            absent(object, &["/spec/groups/0/name", "/spec/groups/0/rules/0/alert", "/spec/groups/1/rules/0/expr"])
        }
        _ => vec!["nobody here knows this kind".to_owned()],
    }
}

fn absent(object: &Value, pointers: &[&str]) -> Vec<String> {
    pointers.iter().filter(|pointer| object.pointer(pointer).is_none()).map(|pointer| format!("{pointer} is missing")).collect()
}

#[test]
fn every_object_is_what_its_type_says() {
    in_every_file(|objects| {
        let faults = objects.iter().flat_map(|object| {
            let name = format!("{} {}", object["kind"], object["metadata"]["name"]);
            faults_of_type(object).into_iter().map(move |fault| format!("{name}: {fault}"))
        });
        faults.collect()
    });
}

/// The workload's pod.
fn pod(objects: &[Value]) -> PodTemplateSpec {
    let workload = ["Deployment", "DaemonSet"].iter().flat_map(|kind| of_kind(objects, kind)).next().unwrap();
    read(&workload["spec"]["template"])
}

#[test]
fn vrata_accepts_the_configuration() {
    in_every_file(|objects| {
        let configuration: ConfigMap = of_kind(objects, "ConfigMap").into_iter().map(read).find(|map: &ConfigMap| has_configuration(map)).unwrap();
        let text = configuration.data.unwrap().remove("config.yaml").unwrap();
        // Files that only a pod has are not looked for.
        let found = config::parse(&text).map_or_else(|findings| findings, |parsed| config::validate(&parsed, true, &|_| Ok(())));
        found.into_iter().map(|finding| format!("{}: {}\n{text}", finding.key, finding.message)).collect()
    });
}

fn has_configuration(map: &ConfigMap) -> bool {
    map.data.as_ref().is_some_and(|data| data.contains_key("config.yaml"))
}

#[test]
fn the_configuration_listens_where_the_pod_says() {
    in_every_file(|objects| {
        let maps = of_kind(objects, "ConfigMap").into_iter().map(read::<ConfigMap>);
        let text = maps.filter_map(|map| map.data?.remove("config.yaml")).next().unwrap();
        let config: Value = serde_saphyr::from_str(&text).unwrap();
        let listens = ["/gateway/http/0", "/gateway/https/0", "/dns/listen/0", "/admin/listen", "/admission/listen"];
        let port = |pointer: &&str| config.pointer(pointer)?.as_str()?.rsplit_once(':')?.1.parse().ok();
        let listened: BTreeSet<i32> = listens.iter().filter_map(port).collect();
        let ports = pod(objects).spec.unwrap().containers.remove(0).ports.unwrap();
        let named: BTreeSet<i32> = ports.iter().map(|port| port.container_port).collect();
        if listened == named { Vec::new() } else { vec![format!("it listens on {listened:?}, the pod names {named:?}")] }
    });
}

#[test]
fn services_and_policies_select_the_pod_and_ports_that_it_has() {
    in_every_file(|objects| {
        let pod = pod(objects);
        let labels = pod.metadata.unwrap().labels.unwrap();
        let ports: BTreeSet<String> = pod.spec.unwrap().containers.remove(0).ports.unwrap().into_iter().filter_map(|port| port.name).collect();
        let mut faults = Vec::new();
        for service in of_kind(objects, "Service") {
            let spec = read::<Service>(service).spec.unwrap();
            if !spec.selector.unwrap().iter().all(|(key, value)| labels.get(key) == Some(value)) {
                faults.push(format!("Service {} does not select the pod", service["metadata"]["name"]));
            }
            let targets = spec.ports.unwrap().into_iter().map(|port| serde_json::to_value(port.target_port).unwrap());
            faults.extend(targets.filter(|target| !ports.contains(target.as_str().unwrap())).map(|target| format!("{target} is no port of the pod")));
        }
        let policies = of_kind(objects, "NetworkPolicy").into_iter();
        let rules = policies.flat_map(|policy| policy["spec"]["ingress"].as_array().unwrap());
        let allowed = rules.flat_map(|rule| rule["ports"].as_array().unwrap()).map(|port| port["port"].as_str().unwrap());
        faults.extend(allowed.filter(|port| !ports.contains(*port)).map(|port| format!("the policy's {port} is no port of the pod")));
        faults
    });
}

#[test]
fn the_admin_port_is_fenced() {
    in_every_file(|objects| {
        let policies = of_kind(objects, "NetworkPolicy").into_iter();
        let rules = policies.flat_map(|policy| policy["spec"]["ingress"].as_array().unwrap());
        let open = rules.filter(|rule| rule["from"].is_null() && rule["ports"].as_array().unwrap().iter().any(|port| port["port"] == "admin"));
        open.map(|rule| format!("anybody may reach the admin port: {rule}")).collect()
    });
}

#[test]
fn pods_are_confined() {
    in_every_file(|objects| {
        let pod = serde_json::to_value(pod(objects).spec.unwrap()).unwrap();
        let container = &pod["containers"][0]["securityContext"];
        let expected = json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        });
        let mut faults = Vec::new();
        if *container != expected {
            faults.push(container.to_string());
        }
        let context = &pod["securityContext"];
        if context["runAsNonRoot"] != true || context["seccompProfile"]["type"] != "RuntimeDefault" {
            faults.push(context.to_string());
        }
        if pod["hostPID"] == true || pod["hostIPC"] == true {
            faults.push("it shares the host's processes".to_owned());
        }
        faults
    });
}

#[test]
fn no_right_is_a_wildcard_and_the_account_has_them() {
    in_every_file(|objects| {
        let account = pod(objects).spec.unwrap().service_account_name.unwrap();
        let roles = ["ClusterRole", "Role"].iter().flat_map(|kind| of_kind(objects, kind));
        let rules: Vec<&Value> = roles.flat_map(|role| role["rules"].as_array().unwrap()).collect();
        let wide =
            rules.iter().filter(|rule| ["apiGroups", "resources", "verbs"].iter().any(|key| rule[*key].as_array().unwrap().contains(&json!("*"))));
        let mut faults: Vec<String> = wide.map(ToString::to_string).collect();
        // The status alone is written of what tenants own.
        let owned = ["ingresses", "services", "certificates", "namespaces", "ingressclasses"];
        let reads = [json!("get"), json!("list"), json!("watch")];
        let writes = |rule: &Value| rule["verbs"].as_array().unwrap().iter().any(|verb| !reads.contains(verb));
        let touches = |rule: &Value| rule["resources"].as_array().unwrap().iter().any(|resource| owned.contains(&resource.as_str().unwrap()));
        faults.extend(rules.iter().filter(|rule| writes(rule) && touches(rule)).map(ToString::to_string));
        for binding in ["ClusterRoleBinding", "RoleBinding"].iter().flat_map(|kind| of_kind(objects, kind)) {
            if binding["subjects"][0]["name"] != account.as_str() {
                faults.push(format!("{} does not bind {account}", binding["metadata"]["name"]));
            }
        }
        faults
    });
}

#[test]
fn a_misspelt_field_is_found() {
    let service = json!({"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80, "targetport": "http"}], "selector": {}}});
    assert_eq!(lost::<Service>(&service), [".spec.ports[0].targetport: \"http\" is read as null"]);
}
