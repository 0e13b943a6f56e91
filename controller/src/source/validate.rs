//! What an API server would refuse, as far as the rest relies on it. Pure.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::finding::Findings;
use super::object::Kind;
use crate::field;
use crate::problem::Reason;

mod cert_manager;
mod endpoints;
mod gateway_api;
mod ingress;
mod metallb;
mod names;
mod service;

pub(super) use cert_manager::{certificate, issuer};
pub(super) use endpoints::{endpoint_slice, endpoints};
pub(super) use gateway_api::reference_grant;
pub(super) use ingress::ingress;
pub(super) use metallb::address_pool;
pub(crate) use names::is_subdomain;
use names::{is_label, is_port_name};
pub(super) use service::service;

/// Largest sum of the values of a Secret or ConfigMap, as in Kubernetes.
const MAX_VALUES_BYTES: usize = 1024 * 1024;

/// Name and namespace.
pub(super) fn metadata(kind: Kind, name: &str, meta: &ObjectMeta, found: &mut Findings) {
    let label = matches!(kind, Kind::Service | Kind::Namespace);
    if label && !is_label(name) {
        found.refuse("metadata.name", format!("{name:?} is no RFC 1123 label: at most 63 of a-z, 0-9 and '-', with a letter or digit at both ends."));
    } else if !label && !is_subdomain(name) {
        found.refuse(
            "metadata.name",
            format!("{name:?} is no RFC 1123 name: at most 253 of a-z, 0-9, '-' and '.', each label with a letter or digit at both ends."),
        );
    }
    match meta.namespace.as_deref() {
        Some(namespace) if !kind.is_namespaced() && !namespace.is_empty() => {
            found.warn("metadata.namespace", Reason::NoEffect, format!("{} has no namespace; {namespace:?} has no effect. Remove it.", kind.name()));
        }
        Some(namespace) if kind.is_namespaced() && !namespace.is_empty() && !is_label(namespace) => {
            found.refuse(
                "metadata.namespace",
                format!("{namespace:?} is no RFC 1123 label: at most 63 of a-z, 0-9 and '-', with a letter or digit at both ends."),
            );
        }
        _ => {}
    }
}

/// A Secret; `stringData` becomes part of `data`, as an API server does it.
pub(super) fn secret(secret: &mut Secret, found: &mut Findings) {
    let mut data = secret.data.take().unwrap_or_default();
    data.extend(secret.string_data.take().unwrap_or_default().into_iter().map(|(key, text)| (key, k8s_openapi::ByteString(text.into_bytes()))));
    keys("data", data.keys(), found);
    size(data.values().map(|value| value.0.len()).sum(), found);
    if secret.type_.as_deref() == Some("kubernetes.io/tls") {
        for key in ["tls.crt", "tls.key"].into_iter().filter(|key| !data.contains_key(*key)) {
            found.refuse("data", format!("{key} is missing. A Secret of type kubernetes.io/tls has tls.crt and tls.key."));
        }
    }
    secret.data = Some(data);
}

/// A ConfigMap.
pub(super) fn config_map(map: &mut ConfigMap, found: &mut Findings) {
    let (data, binary) = (map.data.iter().flatten(), map.binary_data.iter().flatten());
    keys("data", data.clone().map(|(key, _)| key), found);
    keys("binaryData", binary.clone().map(|(key, _)| key), found);
    size(data.map(|(_, value)| value.len()).sum::<usize>() + binary.map(|(_, value)| value.0.len()).sum::<usize>(), found);
}

fn keys<'a>(field: &str, keys: impl Iterator<Item = &'a String>, found: &mut Findings) {
    let valid = |key: &str| {
        (1..=253).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) && key != "." && key != ".."
    };
    for key in keys.filter(|key| !valid(key)) {
        found.refuse(field::join(field, key), format!("{key:?} is no key: at most 253 letters, digits, '-', '_' and '.'."));
    }
}

fn size(bytes: usize, found: &mut Findings) {
    if bytes > MAX_VALUES_BYTES {
        found.refuse("data", format!("{bytes} bytes of values; at most {MAX_VALUES_BYTES} are allowed."));
    }
}

/// A port number of a Service or endpoint.
fn port(field: &str, number: i32, found: &mut Findings) {
    if !(1..=65_535).contains(&number) {
        found.refuse(field, format!("{number} is no port. Ports are 1 to 65535."));
    }
}

/// A port's name: IANA service name.
fn port_name(field: &str, name: &str, found: &mut Findings) {
    if !is_port_name(name) {
        found.refuse(field, format!("{name:?} is no port name: at most 15 of a-z, 0-9 and '-', with a letter among them and no '-' at an end."));
    }
}
