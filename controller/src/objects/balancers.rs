//! The Services of type LoadBalancer among all Services, found without a look at those that have not changed: most Services of a cluster are of other types.

use k8s_openapi::api::core::v1::Service;

use super::{Kind, ObjectKey};

/// Services of type LoadBalancer.
#[derive(Debug, Clone, Default)]
pub struct Balancers {
    seen: Kind<Service>,
    found: Kind<Service>,
}

impl Balancers {
    /// Those among these.
    #[must_use]
    pub fn among(services: &Kind<Service>) -> Self {
        let mut balancers = Self::default();
        balancers.update(services);
        balancers
    }

    /// The same for what the Services are now.
    pub fn update(&mut self, services: &Kind<Service>) {
        let Self { seen, found } = self;
        services.differences(seen, |key: &ObjectKey| {
            match services.get(key).filter(|stored| stored.object.spec.as_ref().is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer"))) {
                Some(stored) => drop(found.insert(key.clone(), stored.clone())),
                None => drop(found.remove(key)),
            }
        });
        *seen = services.clone();
    }

    /// All of them.
    #[must_use]
    pub const fn services(&self) -> &Kind<Service> {
        &self.found
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ServiceSpec;

    use super::*;
    use crate::objects::{Age, Meta, Stored};
    use crate::problem::ObjectRef;

    fn service(name: &str, of_type: &str) -> (ObjectKey, std::sync::Arc<Stored<Service>>) {
        let object = Service { spec: Some(ServiceSpec { type_: Some(of_type.into()), ..ServiceSpec::default() }), ..Service::default() };
        let reference = ObjectRef { kind: "Service".into(), namespace: Some("ns".into()), name: name.into() };
        let age = Age { created: None, origin: None, name: name.into() };
        (ObjectKey::new("ns", name), std::sync::Arc::new(Stored { reference, object, origin: None, age, meta: Meta::default() }))
    }

    #[test]
    fn a_service_comes_and_goes_with_its_type() {
        let names = |balancers: &Balancers| balancers.services().keys().map(|key| key.name.clone()).collect::<Vec<_>>();
        let mut services: Kind<Service> =
            [service("a", "LoadBalancer"), service("b", "ClusterIP"), service("c", "LoadBalancer")].into_iter().collect();
        let mut balancers = Balancers::among(&services);
        assert_eq!(names(&balancers), ["a", "c"]);
        for (key, stored) in [service("a", "ClusterIP"), service("b", "LoadBalancer")] {
            services.insert(key, stored);
        }
        services.remove(&ObjectKey::new("ns", "c"));
        balancers.update(&services);
        assert_eq!(names(&balancers), ["b"]);
    }
}
