//! What a check assumes that does not see everything: the ClusterIssuers that manifests name exist, for they are the operator's to make, and so do the key
//! pairs of CAs whose Secrets may not be read. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::compile::Settings;
use crate::objects::{Age, IssuerSpec, Meta, ObjectKey, Objects, SelfSignedSpec, Stored};
use crate::problem::ObjectRef;

const ANNOTATION: &str = "cert-manager.io/cluster-issuer";

/// Adds an issuer for every name that is referred to and not there.
pub fn issuers(objects: &mut Objects, settings: &Settings) {
    let mut names = BTreeSet::from([settings.default_issuer.clone()]);
    let annotations = objects.ingresses.values().filter_map(|ingress| ingress.object.metadata.annotations.as_ref());
    names.extend(annotations.filter_map(|annotations| annotations.get(ANNOTATION).cloned()));
    let references = objects.certificates.values().map(|certificate| &certificate.object.spec.issuer_ref);
    names.extend(references.filter(|issuer| issuer.kind.as_deref() == Some("ClusterIssuer")).map(|issuer| issuer.name.clone()));
    for name in names {
        let key = ObjectKey::new("", name.clone());
        if !objects.cluster_issuers.contains_key(&key) {
            objects.cluster_issuers.insert(key, Arc::new(issuer(name)));
        }
    }
}

/// Lets issuers whose CA is in a Secret of these namespaces sign without it.
pub fn authorities(objects: &mut Objects, settings: &Settings, hidden: &BTreeSet<String>) {
    let cluster = hidden.contains(&settings.cluster_resource_namespace);
    let cluster_issuers = objects.cluster_issuers.values_mut().filter(|_| cluster);
    let is_hidden = |issuer: &&mut Arc<Stored<IssuerSpec>>| issuer.reference.namespace.as_deref().is_some_and(|namespace| hidden.contains(namespace));
    let issuers = objects.issuers.values_mut().filter(is_hidden);
    for stored in cluster_issuers.chain(issuers).filter(|stored| stored.object.ca.is_some()) {
        Arc::make_mut(stored).object = IssuerSpec { self_signed: Some(SelfSignedSpec::default()), ..IssuerSpec::default() };
    }
}

fn issuer(name: String) -> Stored<IssuerSpec> {
    let spec = IssuerSpec { self_signed: Some(SelfSignedSpec::default()), ..IssuerSpec::default() };
    let age = Age { created: None, origin: None, name: name.clone() };
    Stored {
        reference: ObjectRef { kind: "ClusterIssuer".into(), namespace: None, name: name.into() },
        object: spec,
        origin: None,
        age,
        meta: Meta::default(),
    }
}
