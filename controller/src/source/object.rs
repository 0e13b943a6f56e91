//! The kinds that are understood, and one object of any of them. Pure.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, Namespace, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};

use crate::objects::{AddressPoolSpec, Certificate, IssuerSpec, ObjectKey, Objects, ReferenceGrantSpec, Stored};
use crate::problem::ObjectRef;

/// A kind that is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// networking.k8s.io/v1.
    Ingress,
    /// networking.k8s.io/v1.
    IngressClass,
    /// v1.
    Service,
    /// discovery.k8s.io/v1.
    EndpointSlice,
    /// v1.
    Endpoints,
    /// v1.
    Secret,
    /// v1.
    ConfigMap,
    /// v1.
    Namespace,
    /// cert-manager.io/v1.
    Issuer,
    /// cert-manager.io/v1.
    ClusterIssuer,
    /// cert-manager.io/v1.
    Certificate,
    /// metallb.io/v1beta1.
    IpAddressPool,
    /// gateway.networking.k8s.io/v1beta1 and v1.
    ReferenceGrant,
}

impl Kind {
    /// Every kind, with its API version and name.
    pub(super) const ALL: [(Self, &'static str, &'static str); 13] = [
        (Self::Ingress, "networking.k8s.io/v1", "Ingress"),
        (Self::IngressClass, "networking.k8s.io/v1", "IngressClass"),
        (Self::Service, "v1", "Service"),
        (Self::EndpointSlice, "discovery.k8s.io/v1", "EndpointSlice"),
        (Self::Endpoints, "v1", "Endpoints"),
        (Self::Secret, "v1", "Secret"),
        (Self::ConfigMap, "v1", "ConfigMap"),
        (Self::Namespace, "v1", "Namespace"),
        (Self::Issuer, "cert-manager.io/v1", "Issuer"),
        (Self::ClusterIssuer, "cert-manager.io/v1", "ClusterIssuer"),
        (Self::Certificate, "cert-manager.io/v1", "Certificate"),
        (Self::IpAddressPool, "metallb.io/v1beta1", "IPAddressPool"),
        (Self::ReferenceGrant, "gateway.networking.k8s.io/v1beta1", "ReferenceGrant"),
    ];

    /// The kind of that name in any API version.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, _, kind)| *kind == name).map(|(kind, ..)| *kind)
    }

    /// The API version that is read.
    pub(super) fn api_version(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// A later API version with the same fields, which is read too.
    pub(super) const fn later_version(self) -> Option<&'static str> {
        match self {
            Self::ReferenceGrant => Some("gateway.networking.k8s.io/v1"),
            _ => None,
        }
    }

    /// Whether objects of this API version are read.
    pub(super) fn is_read_as(self, api_version: &str) -> bool {
        self.api_version() == api_version || self.later_version() == Some(api_version)
    }

    /// Its name in manifests.
    pub(super) fn name(self) -> &'static str {
        Self::ALL[self as usize].2
    }

    /// The names of the kinds of an API version.
    pub(super) fn names_in(api_version: &str) -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().filter(move |(kind, ..)| kind.is_read_as(api_version)).map(|(.., name)| *name)
    }

    /// Whether its objects live in a namespace.
    pub(super) const fn is_namespaced(self) -> bool {
        !matches!(self, Self::IngressClass | Self::Namespace | Self::ClusterIssuer)
    }
}

/// The API version in which a kind is read.
pub(crate) fn api_version_of(kind: &str) -> Option<&'static str> {
    Kind::named(kind).map(Kind::api_version)
}

/// Which object: two documents with the same identity are about one object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace and name.
    pub key: ObjectKey,
}

impl Identity {
    /// The same, for people.
    pub fn reference(&self) -> ObjectRef {
        let namespace = (!self.key.namespace.is_empty()).then(|| self.key.namespace.as_str().into());
        ObjectRef { kind: self.kind.name().into(), namespace, name: self.key.name.as_str().into() }
    }
}

/// An object of any kind.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the names are the kinds")]
pub enum Object {
    Ingress(Arc<Stored<Ingress>>),
    IngressClass(Arc<Stored<IngressClass>>),
    Service(Arc<Stored<Service>>),
    EndpointSlice(Arc<Stored<EndpointSlice>>),
    Endpoints(Arc<Stored<Endpoints>>),
    Secret(Arc<Stored<Secret>>),
    ConfigMap(Arc<Stored<ConfigMap>>),
    Namespace(Arc<Stored<Namespace>>),
    Issuer(Arc<Stored<IssuerSpec>>),
    ClusterIssuer(Arc<Stored<IssuerSpec>>),
    Certificate(Arc<Stored<Certificate>>),
    IpAddressPool(Arc<Stored<AddressPoolSpec>>),
    ReferenceGrant(Arc<Stored<ReferenceGrantSpec>>),
}

impl Object {
    /// Puts it where it belongs.
    pub(super) fn insert(&self, key: ObjectKey, objects: &mut Objects) {
        match self {
            Self::Ingress(object) => drop(objects.ingresses.insert(key, Arc::clone(object))),
            Self::IngressClass(object) => drop(objects.ingress_classes.insert(key, Arc::clone(object))),
            Self::Service(object) => drop(objects.services.insert(key, Arc::clone(object))),
            Self::EndpointSlice(object) => drop(objects.endpoint_slices.insert(key, Arc::clone(object))),
            Self::Endpoints(object) => drop(objects.endpoints.insert(key, Arc::clone(object))),
            Self::Secret(object) => drop(objects.secrets.insert(key, Arc::clone(object))),
            Self::ConfigMap(object) => drop(objects.config_maps.insert(key, Arc::clone(object))),
            Self::Namespace(object) => drop(objects.namespaces.insert(key, Arc::clone(object))),
            Self::Issuer(object) => drop(objects.issuers.insert(key, Arc::clone(object))),
            Self::ClusterIssuer(object) => drop(objects.cluster_issuers.insert(key, Arc::clone(object))),
            Self::Certificate(object) => drop(objects.certificates.insert(key, Arc::clone(object))),
            Self::IpAddressPool(object) => drop(objects.address_pools.insert(key, Arc::clone(object))),
            Self::ReferenceGrant(object) => drop(objects.reference_grants.insert(key, Arc::clone(object))),
        }
    }
}

/// Takes an object out.
pub(super) fn remove(identity: &Identity, objects: &mut Objects) {
    let key = &identity.key;
    match identity.kind {
        Kind::Ingress => drop(objects.ingresses.remove(key)),
        Kind::IngressClass => drop(objects.ingress_classes.remove(key)),
        Kind::Service => drop(objects.services.remove(key)),
        Kind::EndpointSlice => drop(objects.endpoint_slices.remove(key)),
        Kind::Endpoints => drop(objects.endpoints.remove(key)),
        Kind::Secret => drop(objects.secrets.remove(key)),
        Kind::ConfigMap => drop(objects.config_maps.remove(key)),
        Kind::Namespace => drop(objects.namespaces.remove(key)),
        Kind::Issuer => drop(objects.issuers.remove(key)),
        Kind::ClusterIssuer => drop(objects.cluster_issuers.remove(key)),
        Kind::Certificate => drop(objects.certificates.remove(key)),
        Kind::IpAddressPool => drop(objects.address_pools.remove(key)),
        Kind::ReferenceGrant => drop(objects.reference_grants.remove(key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_kinds_is_in_the_order_of_the_enum() {
        for (kind, api_version, name) in Kind::ALL {
            assert_eq!((kind.api_version(), kind.name(), Kind::named(name)), (api_version, name, Some(kind)));
        }
    }
}
