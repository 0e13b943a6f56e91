//! An Ingress from text, and what it needs around it to be served.

use std::collections::BTreeMap;
use std::sync::Arc;

use controller::objects::{Age, Kind, Meta, ObjectKey, Objects, Stored};
use controller::problem::ObjectRef;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Secret, Service, ServicePort, ServiceSpec};
use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend, IngressSpec, ServiceBackendPort,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

const NAMESPACE: &str = "fuzz";

/// Most annotations that one input makes.
const MAX_ANNOTATIONS: usize = 64;

/// An Ingress whose annotations are the lines `key=value` (a key without `/` gets ingress-nginx's prefix), with its Service and a Secret named `users`.
pub fn objects(text: &str) -> Objects {
    Objects {
        ingresses: one("Ingress", "app", ingress(annotations(text))),
        services: one("Service", "app", service()),
        secrets: one("Secret", "users", secret()),
        ..Objects::default()
    }
}

fn annotations(text: &str) -> BTreeMap<String, String> {
    let class = ("kubernetes.io/ingress.class".to_owned(), "nginx".to_owned());
    let fuzzed = text.lines().filter_map(|line| line.split_once('=')).take(MAX_ANNOTATIONS).map(|(key, value)| (full_key(key), value.to_owned()));
    std::iter::once(class).chain(fuzzed).collect()
}

fn full_key(key: &str) -> String {
    if key.contains('/') { key.to_owned() } else { format!("nginx.ingress.kubernetes.io/{key}") }
}

fn one<T>(kind: &str, name: &str, object: T) -> Kind<T> {
    let reference = ObjectRef { kind: kind.into(), namespace: Some(NAMESPACE.into()), name: name.into() };
    let age = Age { created: Some(0), origin: None, name: format!("{NAMESPACE}/{name}") };
    let stored = Stored { reference, object, origin: None, age, meta: Meta::default() };
    std::iter::once((ObjectKey::new(NAMESPACE, name), Arc::new(stored))).collect()
}

fn metadata(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.into()), namespace: Some(NAMESPACE.into()), ..ObjectMeta::default() }
}

fn ingress(annotations: BTreeMap<String, String>) -> Ingress {
    let port = ServiceBackendPort { number: Some(80), name: None };
    let backend = IngressBackend { service: Some(IngressServiceBackend { name: "app".into(), port: Some(port) }), resource: None };
    let path = HTTPIngressPath { backend, path: Some("/".into()), path_type: "Prefix".into() };
    let rule = IngressRule { host: Some("app.example.org".into()), http: Some(HTTPIngressRuleValue { paths: vec![path] }) };
    let spec = IngressSpec { rules: Some(vec![rule]), ..IngressSpec::default() };
    Ingress { metadata: ObjectMeta { annotations: Some(annotations), ..metadata("app") }, spec: Some(spec), status: None }
}

fn service() -> Service {
    let spec = ServiceSpec { ports: Some(vec![ServicePort { port: 80, ..ServicePort::default() }]), ..ServiceSpec::default() };
    Service { metadata: metadata("app"), spec: Some(spec), status: None }
}

fn secret() -> Secret {
    let data = BTreeMap::from([("auth".to_owned(), ByteString(b"user:$apr1$salt0000$Cvb5YRTH5YcJSYPzsFGSG/\n".to_vec()))]);
    Secret { metadata: metadata("users"), data: Some(data), ..Secret::default() }
}
