//! What identifies an object to an API server. Pure.

use super::write::{Regarding, StatusKind, StatusWrite, Target};
use crate::objects::{Kind, ObjectKey, Objects, Stored};
use crate::problem::ObjectRef;

/// The write of a status, made on this version of this object.
pub(super) fn write<T>(kind: StatusKind, key: &ObjectKey, stored: &Stored<T>, status: serde_json::Value) -> StatusWrite {
    let target = Target { kind, key: key.clone() };
    StatusWrite { target, uid: stored.meta.uid.clone(), resource_version: stored.meta.resource_version.clone(), status, beside: false }
}

/// An object and its age.
pub(super) struct Subject {
    pub(super) regarding: Regarding,
    /// When it was created, in Unix seconds.
    pub(super) created: Option<i64>,
}

/// The object that is named; without its uid where it is not read. `None` for kinds that are not known.
pub(super) fn find(objects: &Objects, named: &ObjectRef) -> Option<Subject> {
    let api_version = crate::source::api_version_of(&named.kind)?;
    let key = ObjectKey::of(named);
    let (uid, created) = match &*named.kind {
        "Ingress" => of(&objects.ingresses, &key),
        "IngressClass" => of(&objects.ingress_classes, &key),
        "Service" => of(&objects.services, &key),
        "EndpointSlice" => of(&objects.endpoint_slices, &key),
        "Endpoints" => of(&objects.endpoints, &key),
        "Secret" => of(&objects.secrets, &key),
        "ConfigMap" => of(&objects.config_maps, &key),
        "Namespace" => of(&objects.namespaces, &key),
        "Issuer" => of(&objects.issuers, &key),
        "ClusterIssuer" => of(&objects.cluster_issuers, &key),
        "Certificate" => of(&objects.certificates, &key),
        "IPAddressPool" => of(&objects.address_pools, &key),
        "ReferenceGrant" => of(&objects.reference_grants, &key),
        _ => None,
    }
    .unwrap_or_default();
    let regarding = Regarding { api_version: api_version.to_owned(), kind: named.kind.to_string(), namespace: key.namespace, name: key.name, uid };
    Some(Subject { regarding, created })
}

fn of<T>(kind: &Kind<T>, key: &ObjectKey) -> Option<(String, Option<i64>)> {
    kind.get(key).map(|stored| (stored.meta.uid.clone(), stored.age.created))
}
