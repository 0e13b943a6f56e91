//! What is listed and watched, and where an API server has it. Pure.

use kube::core::{ApiResource, DynamicObject, GroupVersionKind, Request, Resource as _};

use crate::source::object::Kind;

/// Objects that are followed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Subject {
    /// All objects of a kind.
    Kind(Kind),
    /// CustomResourceDefinitions, which tell that kinds come.
    Definitions,
}

/// The kinds whose objects are read. Endpoints are not: a cluster makes EndpointSlices of them.
pub(super) fn kinds() -> impl Iterator<Item = Kind> {
    Kind::ALL.into_iter().map(|(kind, ..)| kind).filter(|kind| *kind != Kind::Endpoints)
}

/// Groups that every API server serves; all others are there when a CustomResourceDefinition says so.
const BUILT_IN: [&str; 4] = ["", "networking.k8s.io", "discovery.k8s.io", "apiextensions.k8s.io"];

impl Subject {
    /// Everything that is followed.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        kinds().map(Self::Kind).chain([Self::Definitions])
    }

    /// Its name, for people and metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kind(kind) => kind.name(),
            Self::Definitions => "CustomResourceDefinition",
        }
    }

    /// Requests about all of its objects, or those of one namespace.
    pub(super) fn request_in(self, namespace: Option<&str>) -> Request {
        Request::new(DynamicObject::url_path(&self.resource(), namespace))
    }

    /// Whether only the metadata of its objects is asked for.
    pub(super) const fn is_metadata_only(self) -> bool {
        matches!(self, Self::Kind(Kind::Secret) | Self::Definitions)
    }

    /// Name of the CustomResourceDefinition that it would have.
    pub(super) fn definition(self) -> String {
        let resource = self.resource();
        format!("{}.{}", resource.plural, resource.group)
    }

    /// Whether an API server may lack it.
    pub(super) fn may_be_absent(self) -> bool {
        !BUILT_IN.contains(&self.resource().group.as_str())
    }

    fn resource(self) -> ApiResource {
        let api_version = match self {
            Self::Kind(kind) => kind.api_version(),
            Self::Definitions => "apiextensions.k8s.io/v1",
        };
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, self.name()))
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
            (Kind::EndpointSlice, "/apis/discovery.k8s.io/v1/endpointslices", false),
            (Kind::Namespace, "/api/v1/namespaces", false),
            (Kind::ClusterIssuer, "/apis/cert-manager.io/v1/clusterissuers", true),
        ];
        for (kind, path, may_be_absent) in table {
            let subject = Subject::Kind(kind);
            assert_eq!((subject.request_in(None).url_path.as_str(), subject.may_be_absent()), (path, may_be_absent));
        }
        let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        assert_eq!(Subject::Definitions.request_in(None).url_path, definitions);
        assert_eq!(Subject::Kind(Kind::Secret).request_in(Some("ns")).url_path, "/api/v1/namespaces/ns/secrets");
        assert_eq!(Subject::Kind(Kind::ClusterIssuer).definition(), "clusterissuers.cert-manager.io");
    }
}
