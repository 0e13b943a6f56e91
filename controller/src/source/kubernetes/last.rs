//! What was read last, as a file: a `List` of the objects, as an API server would give them. Pure: where the text goes is an argument.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Value, json};

use super::mirror::Mirror;
use crate::objects::{self, Objects, Stored};
use crate::source::Read;
use crate::source::object::Kind;

/// The file in the state directory.
pub(super) const FILE: &str = "cluster/last.json";

/// Writes the content of the file. It holds the content of Secrets. Made object by object: of a large cluster, all of them as values would be many times as
/// much.
///
/// # Errors
/// Those of `out`.
pub(super) fn write(objects: &Objects, out: &mut impl Write) -> io::Result<()> {
    out.write_all(br#"{"apiVersion":"v1","kind":"List","items":["#)?;
    let mut list = List { out, is_empty: true };
    for (kind, ..) in Kind::ALL {
        match kind {
            Kind::Ingress => list.whole(kind, &objects.ingresses),
            Kind::IngressClass => list.whole(kind, &objects.ingress_classes),
            Kind::Service => list.whole(kind, &objects.services),
            Kind::EndpointSlice => list.whole(kind, &objects.endpoint_slices),
            Kind::Endpoints => list.whole(kind, &objects.endpoints),
            Kind::Secret => list.whole(kind, &objects.secrets),
            Kind::ConfigMap => list.whole(kind, &objects.config_maps),
            Kind::Namespace => list.whole(kind, &objects.namespaces),
            Kind::Issuer => list.specs(kind, &objects.issuers),
            Kind::ClusterIssuer => list.specs(kind, &objects.cluster_issuers),
            Kind::Certificate => list.whole(kind, &objects.certificates),
            Kind::IpAddressPool => list.specs(kind, &objects.address_pools),
            Kind::ReferenceGrant => list.specs(kind, &objects.reference_grants),
        }?;
    }
    out.write_all(b"]}")
}

/// What the file holds; what of it cannot be read is left out.
///
/// # Errors
/// When it is no `List`.
pub(super) fn read(content: &[u8]) -> Result<Read, serde_json::Error> {
    #[derive(serde::Deserialize)]
    struct List {
        items: Vec<Value>,
    }
    let mut mirror = Mirror::default();
    for item in serde_json::from_slice::<List>(content)?.items {
        if let Some(kind) = item["kind"].as_str().and_then(Kind::named) {
            mirror.apply(kind, item);
        }
    }
    Ok(Read { stale: true, ..mirror.read() })
}

/// The items of the list, as text.
struct List<'a, W> {
    out: &'a mut W,
    is_empty: bool,
}

impl<W: Write> List<'_, W> {
    fn whole<T: Serialize>(&mut self, kind: Kind, objects: &objects::Kind<T>) -> io::Result<()> {
        objects.values().try_for_each(|stored| self.add(serde_json::to_value(&stored.object).map(|value| complete(kind, stored, value))))
    }

    /// Of these only the spec is kept.
    fn specs<T: Serialize>(&mut self, kind: Kind, objects: &objects::Kind<T>) -> io::Result<()> {
        objects
            .values()
            .try_for_each(|stored| self.add(serde_json::to_value(&stored.object).map(|spec| complete(kind, stored, json!({"spec": spec})))))
    }

    /// What cannot be written is left out.
    fn add(&mut self, item: serde_json::Result<Value>) -> io::Result<()> {
        let Ok(item) = item else { return Ok(()) };
        if !std::mem::take(&mut self.is_empty) {
            self.out.write_all(b",")?;
        }
        Ok(serde_json::to_writer(&mut *self.out, &item)?)
    }
}

fn complete<T>(kind: Kind, stored: &Stored<T>, mut value: Value) -> Value {
    let meta = &stored.meta;
    value["apiVersion"] = kind.api_version().into();
    value["kind"] = kind.name().into();
    value["metadata"]["name"] = (*stored.reference.name).into();
    value["metadata"]["uid"] = meta.uid.as_str().into();
    value["metadata"]["resourceVersion"] = meta.resource_version.as_str().into();
    value["metadata"]["labels"] = json!(meta.labels);
    if let Some(namespace) = &stored.reference.namespace {
        value["metadata"]["namespace"] = (**namespace).into();
    }
    if let Some(generation) = meta.generation {
        value["metadata"]["generation"] = generation.into();
    }
    if let Some(created) = stored.age.created.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok()) {
        value["metadata"]["creationTimestamp"] = created.to_string().into();
    }
    value
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn spec(kind: Kind) -> Value {
        match kind {
            Kind::Ingress => {
                json!({"spec": {"rules": [{"host": "a.example"}], "defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}})
            }
            Kind::IngressClass => json!({"spec": {"controller": "x/y"}}),
            Kind::Service => json!({"spec": {"ports": [{"port": 80}]}, "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}),
            Kind::EndpointSlice => json!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]}),
            Kind::Endpoints => json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]}),
            Kind::Secret => json!({"data": {"a": "YQ=="}, "type": "Opaque"}),
            Kind::ConfigMap => json!({"data": {"a": "b"}}),
            Kind::Namespace => json!({}),
            Kind::Issuer => json!({"spec": {"acme": {"server": "https://ca.example/", "privateKeySecretRef": {"name": "k"}}}}),
            Kind::ClusterIssuer => json!({"spec": {"selfSigned": {}}}),
            Kind::IpAddressPool => json!({"spec": {"addresses": ["192.0.2.0/24"], "avoidBuggyIPs": true, "serviceAllocation": {"priority": 1}}}),
            Kind::ReferenceGrant => json!({"spec": {"from": [{"group": "", "kind": "Service", "namespace": "a"}], "to": [{"kind": "Secret"}]}}),
            Kind::Certificate => json!({"spec": {"secretName": "s", "issuerRef": {"name": "i"}, "dnsNames": ["a.example"]}}),
        }
    }

    fn written(objects: &Objects) -> Vec<u8> {
        let mut content = Vec::new();
        write(objects, &mut content).unwrap();
        content
    }

    /// An object of every kind, as an API server gives it.
    fn everything() -> Mirror {
        let mut mirror = Mirror::default();
        for (kind, ..) in Kind::ALL {
            let mut value = spec(kind);
            value["metadata"] = json!({
                "name": "x", "uid": "u", "resourceVersion": "9", "generation": 2, "labels": {"kubernetes.io/service-name": "s"}, "creationTimestamp": "2026-01-01T00:00:00Z",
            });
            if kind.is_namespaced() {
                value["metadata"]["namespace"] = "ns".into();
            }
            mirror.list(kind, vec![value]);
        }
        mirror
    }

    #[test]
    fn every_kind_comes_back_as_it_was() {
        let before = everything().read();
        assert_eq!(before.problems, []);
        let after = read(&written(&before.objects)).unwrap();
        assert_eq!(after, Read { stale: true, ..before.clone() });
        let versions =
            |read: &Read| read.objects.issuers.values().map(|stored| (stored.meta.resource_version.clone(), stored.age.clone())).collect::<Vec<_>>();
        assert_eq!(versions(&after), versions(&before));
        assert_eq!(written(&after.objects), written(&before.objects));
        let items = serde_json::from_slice::<Value>(&written(&before.objects)).unwrap()["items"].as_array().unwrap().len();
        assert_eq!(items, Kind::ALL.len());
    }

    #[test]
    fn a_torn_file_is_an_error_and_an_unknown_object_is_left_out() {
        let whole = written(&everything().read().objects);
        assert!(read(&whole[..whole.len() / 2]).is_err());
        assert_eq!(read(br#"{"items": [{"kind": "Unheard"}, 5, {"kind": "Service"}]}"#).unwrap().objects, Objects::default());
    }
}
