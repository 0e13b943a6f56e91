//! What is listed and watched, and where an API server has it. Pure.

use kube::core::{ApiResource, DynamicObject, GroupVersionKind, Request, Resource as _};

use crate::source::object::Kind;

/// Objects that are followed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Subject {
    /// All objects of a kind.
    Kind(Kind),
}

/// Groups that every API server serves; all others are there when a CustomResourceDefinition says so.
const BUILT_IN: [&str; 3] = ["", "networking.k8s.io", "discovery.k8s.io"];

impl Subject {
    /// Everything that is followed.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        Kind::ALL.into_iter().map(|(kind, ..)| Self::Kind(kind))
    }

    /// Its name, for people and metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kind(kind) => kind.name(),
        }
    }

    /// Requests about all of its objects.
    pub(super) fn request(self) -> Request {
        Request::new(DynamicObject::url_path(&self.resource(), None))
    }

    /// Whether an API server may lack it.
    pub(super) fn may_be_absent(self) -> bool {
        !BUILT_IN.contains(&self.resource().group.as_str())
    }

    fn resource(self) -> ApiResource {
        match self {
            Self::Kind(kind) => {
                let (group, version) = kind.api_version().rsplit_once('/').unwrap_or_else(|| ("", kind.api_version()));
                ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind.name()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_go_where_an_api_server_has_the_kind() {
        let table = [
            (Kind::Ingress, "/apis/networking.k8s.io/v1/ingresses", false),
            (Kind::IngressClass, "/apis/networking.k8s.io/v1/ingressclasses", false),
            (Kind::Endpoints, "/api/v1/endpoints", false),
            (Kind::EndpointSlice, "/apis/discovery.k8s.io/v1/endpointslices", false),
            (Kind::Namespace, "/api/v1/namespaces", false),
            (Kind::ClusterIssuer, "/apis/cert-manager.io/v1/clusterissuers", true),
        ];
        for (kind, path, may_be_absent) in table {
            let subject = Subject::Kind(kind);
            assert_eq!((subject.request().url_path.as_str(), subject.may_be_absent()), (path, may_be_absent));
        }
    }
}
