//! The cluster as plain maps: what was read, before anything was decided. Pure.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, Namespace, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};

use crate::problem::{ObjectRef, Origin};

mod balancers;
mod cert_manager;
mod gateway_api;
mod kind;
mod metallb;

pub use balancers::Balancers;
pub use cert_manager::{
    AcmeSpec, CaSpec, Certificate, CertificateSpec, IssuerRef, IssuerSpec, PrivateKey, SecretKeyRef, SecretTemplate, SelfSignedSpec,
};
pub use gateway_api::{GrantFrom, GrantTo, ReferenceGrantSpec};
pub use kind::{Kind, KindIter};
pub use metallb::{AddressPoolSpec, ServiceAllocation};

/// Namespace and name; the namespace is empty for kinds that have none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// The key of an object.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The key of the object that is named.
    #[must_use]
    pub fn of(object: &ObjectRef) -> Self {
        Self::new(object.namespace.as_deref().unwrap_or_default(), &*object.name)
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// An object and what is known of its reading.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored<T> {
    /// Its name.
    pub reference: ObjectRef,
    /// The object.
    pub object: T,
    /// The file it was read from, if it was.
    pub origin: Option<Origin>,
    /// When it came to be, for every question of precedence.
    pub age: Age,
    /// What an API server keeps about it; empty where there is none.
    pub meta: Meta,
}

/// What an API server keeps about an object. Two of them are equal when they are of the same object with the same labels: a new version is no new content.
#[derive(Debug, Clone, Default)]
pub struct Meta {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
}

impl PartialEq for Meta {
    fn eq(&self, other: &Self) -> bool {
        (&self.uid, &self.labels) == (&other.uid, &other.labels)
    }
}

/// Seniority: the lesser is the older. Objects with a creationTimestamp come before those without; those without go by file name and position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Age {
    /// `metadata.creationTimestamp` in Unix seconds.
    pub created: Option<i64>,
    /// File, document and item, where there is no timestamp.
    pub origin: Option<Origin>,
    /// Breaks the tie of equal timestamps: the greater `namespace/name` is the older, as in ingress-nginx.
    pub name: String,
}

impl PartialOrd for Age {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Age {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.created, other.created) {
            (Some(a), Some(b)) => a.cmp(&b).then_with(|| other.name.cmp(&self.name)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => self.origin.cmp(&other.origin).then_with(|| other.name.cmp(&self.name)),
        }
    }
}

/// Everything that was read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Objects {
    /// networking.k8s.io/v1 Ingress.
    pub ingresses: Kind<Ingress>,
    /// networking.k8s.io/v1 IngressClass.
    pub ingress_classes: Kind<IngressClass>,
    /// v1 Service.
    pub services: Kind<Service>,
    /// discovery.k8s.io/v1 EndpointSlice.
    pub endpoint_slices: Kind<EndpointSlice>,
    /// v1 Endpoints; used for Services that have no EndpointSlice.
    pub endpoints: Kind<Endpoints>,
    /// v1 Secret.
    pub secrets: Kind<Secret>,
    /// v1 ConfigMap.
    pub config_maps: Kind<ConfigMap>,
    /// v1 Namespace.
    pub namespaces: Kind<Namespace>,
    /// cert-manager.io/v1 Issuer.
    pub issuers: Kind<IssuerSpec>,
    /// cert-manager.io/v1 ClusterIssuer.
    pub cluster_issuers: Kind<IssuerSpec>,
    /// cert-manager.io/v1 Certificate.
    pub certificates: Kind<Certificate>,
    /// metallb.io/v1beta1 IPAddressPool.
    pub address_pools: Kind<AddressPoolSpec>,
    /// gateway.networking.k8s.io ReferenceGrant.
    pub reference_grants: Kind<ReferenceGrantSpec>,
    /// How many objects of other kinds were passed over, by `apiVersion/kind`.
    pub others: BTreeMap<String, usize>,
}
