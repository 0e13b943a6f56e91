//! What Kubernetes would hold in `.status` of each object, and what is wrong with it, as one file an object. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;
use serde_json::{Value, json};

use crate::address_condition::Told;
use crate::compile::{CertificateReport, CertificateStatus, ServiceReport};
use crate::problem::{ObjectRef, Problem};
use crate::status::View;

/// The files below `status/` with their content.
#[must_use]
pub fn files(view: &View) -> BTreeMap<String, Vec<u8>> {
    let mut objects: BTreeMap<&ObjectRef, Known<'_>> = BTreeMap::new();
    let balanced = load_balancer(&view.public_addresses);
    for route in view.report.hosts.iter().flat_map(|host| &host.routes) {
        objects.entry(&route.ingress).or_default().status = Some(&balanced);
    }
    let services: Vec<(ObjectRef, Value)> =
        view.report.services.iter().map(|service| (named("Service", &service.namespace, &service.name), allocated(service))).collect();
    let certificates: Vec<(ObjectRef, Value)> = view.report.certificates.iter().filter_map(|report| certificate(report)).collect();
    for (object, status) in services.iter().chain(&certificates) {
        objects.entry(object).or_default().status = Some(status);
    }
    for problem in &view.problems {
        if let Some(object) = &problem.object {
            objects.entry(object).or_default().problems.push(problem);
        }
    }
    objects.into_iter().map(|(object, known)| (file(object), known.content(object))).collect()
}

#[derive(Default)]
struct Known<'a> {
    status: Option<&'a Value>,
    problems: Vec<&'a Problem>,
}

/// A file's content. Not a [`Value`]: every pass writes one for each object.
#[derive(Serialize)]
struct Content<'a> {
    kind: &'a str,
    metadata: Metadata<'a>,
    problems: &'a [&'a Problem],
    status: Option<&'a Value>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    namespace: Option<&'a str>,
}

impl Known<'_> {
    fn content(&self, object: &ObjectRef) -> Vec<u8> {
        let metadata = Metadata { name: &object.name, namespace: object.namespace.as_deref() };
        let content = Content { kind: &object.kind, metadata, problems: &self.problems, status: self.status };
        serde_json::to_vec_pretty(&content).expect("plain values without maps of other keys than strings")
    }
}

/// Kinds, namespaces and names are RFC 1123 names when they come this far; anything else is kept from being a path.
fn file(object: &ObjectRef) -> String {
    let safe = |text: &str| text.replace(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '.'), "_").replace("..", "__");
    let namespace = object.namespace.as_deref().unwrap_or("_cluster");
    let name = short(format!("{}.{}", safe(&object.kind.to_ascii_lowercase()), safe(&object.name)));
    format!("status/{}/{name}.json", short(safe(namespace)))
}

/// File systems take 255 bytes; a longer name keeps its beginning and gets a hash (FNV-1a) of the whole.
fn short(name: String) -> String {
    const MOST: usize = 200;
    if name.len() <= MOST {
        return name;
    }
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{}_{hash:016x}", &name[..MOST])
}

fn named(kind: &str, namespace: &str, name: &str) -> ObjectRef {
    ObjectRef { kind: kind.into(), namespace: Some(namespace.into()), name: name.into() }
}

fn load_balancer(addresses: &[IpAddr]) -> Value {
    let ingress: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip})).collect();
    json!({"loadBalancer": {"ingress": ingress}})
}

/// Addresses, and in words whether they are all that is asked for.
fn allocated(service: &ServiceReport) -> Value {
    let mut status = load_balancer(&service.addresses);
    if let Some(told) = Told::of(&service.addresses, service.refused.as_ref()) {
        status["conditions"] = json!([told.value()]);
    }
    status
}

fn certificate(report: &CertificateReport) -> Option<(ObjectRef, Value)> {
    let (namespace, name) = report.wanted_by.strip_prefix("Certificate ")?.split_once('/')?;
    let (status, reason) = match report.status {
        CertificateStatus::Ready => ("True", "Ready"),
        CertificateStatus::RenewalFailing => ("True", "RenewalFailing"),
        CertificateStatus::Issuing => ("False", "Issuing"),
        CertificateStatus::Failed => ("False", "Failed"),
    };
    let condition = json!({"type": "Ready", "status": status, "reason": reason, "message": report.failure});
    let time = |time: Option<jiff::Timestamp>| time.map(|time| time.to_string());
    let status = json!({"conditions": [condition], "notAfter": time(report.not_after), "renewalTime": time(report.next_attempt)});
    Some((named("Certificate", namespace, name), status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::Report;

    #[test]
    fn a_service_and_its_problem_stand_in_one_file() {
        let problem = Problem {
            severity: crate::problem::Severity::Warning,
            object: Some(named("Service", "a", "db")),
            origin: None,
            field: "spec".into(),
            reason: crate::problem::Reason::NoEndpoints,
            message: "m".into(),
        };
        let service = ServiceReport {
            namespace: "a".into(),
            name: "db".into(),
            addresses: vec![[192, 0, 2, 1].into()],
            pending: Vec::new(),
            ports: Vec::new(),
            hostnames: Vec::new(),
            refused: None,
        };
        let view = View { report: Report { services: vec![service.into()], ..Report::default() }, problems: vec![problem], ..View::default() };
        let files = files(&view);
        assert_eq!(files.keys().collect::<Vec<_>>(), ["status/a/service.db.json"]);
        let content: Value = serde_json::from_slice(&files["status/a/service.db.json"]).expect("JSON");
        assert_eq!(content["status"]["loadBalancer"], json!({"ingress": [{"ip": "192.0.2.1"}]}));
        let told = json!([{"type": "vrata.io/AddressAllocated", "status": "True", "reason": "Allocated", "message": "192.0.2.1"}]);
        assert_eq!(content["status"]["conditions"], told);
        assert_eq!(content["problems"][0]["message"], "m");
    }

    #[test]
    fn no_name_leaves_the_directory() {
        assert_eq!(file(&named("Service", "..", "../../x")), "status/__/service.______x.json");
        let long = "a".repeat(253);
        let name = file(&named("Certificate", "a", &long));
        assert!(name.rsplit('/').next().is_some_and(|name| name.len() < 240), "{name}");
        assert_ne!(name, file(&named("Certificate", "a", &(long + "b"))));
    }
}
