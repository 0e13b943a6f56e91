//! networking.k8s.io/v1 Ingress. Pure.

use k8s_openapi::api::networking::v1::{HTTPIngressPath, Ingress, IngressBackend, IngressServiceBackend, IngressSpec, IngressTLS};

use super::names::{host_fault, is_label, is_subdomain};
use super::{port, port_name};
use crate::source::finding::Findings;

const PATH_TYPES: [&str; 3] = ["Exact", "Prefix", "ImplementationSpecific"];

/// An Ingress.
pub(in crate::source) fn ingress(ingress: &mut Ingress, found: &mut Findings) {
    let Some(spec) = &ingress.spec else {
        found.refuse("spec", "spec is missing. Write spec.rules or spec.defaultBackend.");
        return;
    };
    class(ingress, spec, found);
    let rules = spec.rules.as_deref().unwrap_or_default();
    if rules.is_empty() && spec.default_backend.is_none() {
        found.refuse("spec", "There is neither a rule nor a defaultBackend. Write spec.rules or spec.defaultBackend.");
    }
    if let Some(default) = &spec.default_backend {
        backend("spec.defaultBackend", default, found);
    }
    for (index, rule) in rules.iter().enumerate() {
        let field = format!("spec.rules[{index}]");
        if let Some(name) = rule.host.as_deref().filter(|host| !host.is_empty()) {
            host(&format!("{field}.host"), name, found);
        }
        if let Some(http) = &rule.http {
            if http.paths.is_empty() {
                found.refuse(format!("{field}.http.paths"), "The list of paths is empty. Write a path, or remove http.");
            }
            for (index, entry) in http.paths.iter().enumerate() {
                path(&format!("{field}.http.paths[{index}]"), entry, found);
            }
        }
    }
    spec.tls.iter().flatten().enumerate().for_each(|(index, entry)| tls(&format!("spec.tls[{index}]"), entry, found));
}

fn class(ingress: &Ingress, spec: &IngressSpec, found: &mut Findings) {
    let annotation = ingress.metadata.annotations.as_ref().and_then(|annotations| annotations.get("kubernetes.io/ingress.class"));
    let Some(class) = &spec.ingress_class_name else { return };
    if !is_subdomain(class) {
        found.refuse("spec.ingressClassName", format!("{class:?} is no name of an IngressClass."));
    }
    if let Some(annotation) = annotation.filter(|annotation| *annotation != class) {
        found.refuse(
            "spec.ingressClassName",
            format!("{class:?} contradicts the annotation kubernetes.io/ingress.class, which says {annotation:?}. Keep one of them."),
        );
    }
}

fn host(field: &str, host: &str, found: &mut Findings) {
    if let Some(fault) = host_fault(host) {
        found.refuse(field, format!("{host:?} {fault}"));
    }
}

fn path(field: &str, path: &HTTPIngressPath, found: &mut Findings) {
    let path_type = path.path_type.as_str();
    if !PATH_TYPES.contains(&path_type) {
        let wrong = if path_type.is_empty() { "pathType is missing".to_owned() } else { format!("{path_type:?} is no pathType") };
        found.refuse(format!("{field}.pathType"), format!("{wrong}. Write Prefix, Exact or ImplementationSpecific."));
    }
    let text = path.path.as_deref().unwrap_or_default();
    let optional = path_type == "ImplementationSpecific";
    let absent = optional && text.is_empty();
    if !absent && !text.starts_with('/') {
        let wrong = if text.is_empty() { "path is missing".to_owned() } else { format!("{text:?} does not begin with '/'") };
        found.refuse(format!("{field}.path"), format!("{wrong}. Write an absolute path, for instance \"/\"."));
    } else if !optional && let Some(part) = forbidden_part(text) {
        found.refuse(format!("{field}.path"), format!("{text:?} contains {part:?}, which no request has after normalisation. Remove it."));
    }
    backend(&format!("{field}.backend"), &path.backend, found);
}

/// The sequences that Kubernetes refuses in Exact and Prefix paths.
fn forbidden_part(path: &str) -> Option<&'static str> {
    let inside = ["//", "/./", "/../", "%2f", "%2F"].into_iter().find(|part| path.contains(part));
    inside.or_else(|| ["/..", "/."].into_iter().find(|end| path.ends_with(end)))
}

fn backend(field: &str, backend: &IngressBackend, found: &mut Findings) {
    match (&backend.service, &backend.resource) {
        (Some(named), None) => service(&format!("{field}.service"), named, found),
        (None, Some(_)) => {}
        (None, None) => found.refuse(field, "The backend is empty. Write service, with its name and port."),
        (Some(_), Some(_)) => found.refuse(field, "The backend has both service and resource. Keep one of them."),
    }
}

fn service(field: &str, service: &IngressServiceBackend, found: &mut Findings) {
    if !is_label(&service.name) {
        found.refuse(format!("{field}.name"), format!("{:?} is no name of a Service.", service.name));
    }
    let named = service.port.as_ref().map(|port| (port.name.as_deref().filter(|name| !name.is_empty()), port.number.filter(|number| *number != 0)));
    match named {
        Some((Some(name), None)) => port_name(&format!("{field}.port.name"), name, found),
        Some((None, Some(number))) => port(&format!("{field}.port.number"), number, found),
        Some((Some(_), Some(_))) => found.refuse(format!("{field}.port"), "The port has both name and number. Keep one of them."),
        None | Some((None, None)) => found.refuse(format!("{field}.port"), "The port is missing. Write its name or its number."),
    }
}

fn tls(field: &str, tls: &IngressTLS, found: &mut Findings) {
    for (index, name) in tls.hosts.iter().flatten().enumerate() {
        host(&format!("{field}.hosts[{index}]"), name, found);
    }
    if let Some(name) = tls.secret_name.as_deref().filter(|name| !name.is_empty() && !is_subdomain(name)) {
        found.refuse(format!("{field}.secretName"), format!("{name:?} is no name of a Secret."));
    }
}
