//! What is listed and watched, and where an API server has it. Pure.

use kube::core::{ApiResource, DynamicObject, GroupVersionKind, Request, Resource as _};

use crate::objects::ObjectKey;
use crate::source::object::Kind;

/// Objects that are followed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Subject {
    /// All objects of a kind.
    Kind(Kind),
    /// CustomResourceDefinitions, which tell that kinds come.
    Definitions,
}

/// Which of a subject's objects are followed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scope {
    /// Those of one namespace.
    pub namespace: Option<String>,
    /// As the API has it.
    pub field_selector: Option<String>,
}

/// Everything that is followed. Endpoints are not: a cluster makes EndpointSlices of them. Of ConfigMaps only the one that settings are read from is.
pub(super) fn followed(config_map: Option<&ObjectKey>) -> impl Iterator<Item = (Subject, Scope)> {
    let scope = move |kind| match kind {
        Kind::Endpoints => None,
        Kind::ConfigMap => {
            config_map.map(|key| Scope { namespace: Some(key.namespace.clone()), field_selector: Some(format!("metadata.name={}", key.name)) })
        }
        _ => Some(Scope::default()),
    };
    let kinds = Kind::ALL.into_iter().filter_map(move |(kind, ..)| Some((Subject::Kind(kind), scope(kind)?)));
    kinds.chain([(Subject::Definitions, Scope::default())])
}

/// Groups that every API server serves; all others are there when a CustomResourceDefinition says so.
const BUILT_IN: [&str; 4] = ["", "networking.k8s.io", "discovery.k8s.io", "apiextensions.k8s.io"];

impl Subject {
    /// The kind whose objects are read.
    pub(super) const fn kind(self) -> Option<Kind> {
        match self {
            Self::Kind(kind) => Some(kind),
            Self::Definitions => None,
        }
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
        Request::new(DynamicObject::url_path(&self.resource(self.api_version()), namespace))
    }

    /// The same in a later API version with the same fields, where there is one.
    pub(super) fn later_request_in(self, namespace: Option<&str>) -> Option<Request> {
        let Self::Kind(kind) = self else { return None };
        Some(Request::new(DynamicObject::url_path(&self.resource(kind.later_version()?), namespace)))
    }

    /// Whether only the metadata of its objects is asked for.
    pub(super) const fn is_metadata_only(self) -> bool {
        matches!(self, Self::Kind(Kind::Secret) | Self::Definitions)
    }

    /// Name of the CustomResourceDefinition that it would have.
    pub(super) fn definition(self) -> String {
        let resource = self.resource(self.api_version());
        format!("{}.{}", resource.plural, resource.group)
    }

    /// Whether an API server may lack it.
    pub(super) fn may_be_absent(self) -> bool {
        !BUILT_IN.contains(&self.resource(self.api_version()).group.as_str())
    }

    /// Its name in rules of access: `ipaddresspools.metallb.io`.
    pub(super) fn resource_name(self) -> String {
        resource_name(&self.resource(self.api_version()))
    }

    fn api_version(self) -> &'static str {
        match self {
            Self::Kind(kind) => kind.api_version(),
            Self::Definitions => "apiextensions.k8s.io/v1",
        }
    }

    fn resource(self, api_version: &str) -> ApiResource {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, self.name()))
    }
}

/// The name of a resource in rules of access.
pub(super) fn resource_name(resource: &ApiResource) -> String {
    if resource.group.is_empty() { resource.plural.clone() } else { format!("{}.{}", resource.plural, resource.group) }
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
            (Kind::IpAddressPool, "/apis/metallb.io/v1beta1/ipaddresspools", true),
            (Kind::ClusterIssuer, "/apis/cert-manager.io/v1/clusterissuers", true),
        ];
        for (kind, path, may_be_absent) in table {
            let subject = Subject::Kind(kind);
            assert_eq!((subject.request_in(None).url_path.as_str(), subject.may_be_absent()), (path, may_be_absent));
        }
        let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        assert_eq!(Subject::Definitions.request_in(None).url_path, definitions);
        assert_eq!(Subject::Kind(Kind::Secret).request_in(Some("ns")).url_path, "/api/v1/namespaces/ns/secrets");
        let later = Subject::Kind(Kind::ReferenceGrant).later_request_in(None).map(|request| request.url_path);
        assert_eq!(later.as_deref(), Some("/apis/gateway.networking.k8s.io/v1/referencegrants"));
        assert_eq!(Subject::Kind(Kind::ClusterIssuer).definition(), "clusterissuers.cert-manager.io");
    }
    #[test]
    fn of_config_maps_only_the_one_that_is_named_is_followed() {
        let scope = |key: Option<&ObjectKey>| followed(key).find(|(subject, _)| *subject == Subject::Kind(Kind::ConfigMap)).map(|(_, scope)| scope);
        assert_eq!(scope(None), None);
        let named = Scope { namespace: Some("ns".into()), field_selector: Some("metadata.name=policy".into()) };
        assert_eq!(scope(Some(&ObjectKey::new("ns", "policy"))), Some(named));
        assert_eq!(followed(None).count(), Kind::ALL.len() - 1, "all but ConfigMaps and Endpoints, and the definitions");
    }
}
