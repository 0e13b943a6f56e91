//! Which Secrets are named by something that is ours: no other Secret's content is ever asked for. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::networking::v1::Ingress;

use super::certificates::{host_secret, wildcard_secret};
use super::ingresses::is_ours;
use super::names::host_name;
use super::settings::Settings;
use crate::objects::{IssuerSpec, ObjectKey, Objects};

/// The annotation that names a Secret of passwords.
pub(super) const AUTH_SECRET: &str = "nginx.ingress.kubernetes.io/auth-secret";

/// The Secrets that Ingresses, Certificates and issuers name, and those of the zones' wildcards and of hosts below them; whether they exist is not asked.
/// Whether the one that names it may use it is decided where it is used. Kept from one look to the next, with one and the same settings.
#[derive(Debug, Default)]
pub struct NamedSecrets {
    seen: Objects,
    /// None of them is empty.
    of_namespaces: BTreeMap<String, BTreeSet<ObjectKey>>,
    named: Arc<BTreeSet<ObjectKey>>,
}

impl NamedSecrets {
    /// Those that are named now; the same value as long as they are the same.
    pub fn among(&mut self, objects: &Objects, settings: &Settings) -> &Arc<BTreeSet<ObjectKey>> {
        let seen = std::mem::replace(&mut self.seen, objects.clone());
        let common = self.named.is_empty() || seen.ingress_classes != objects.ingress_classes || seen.cluster_issuers != objects.cluster_issuers;
        let mut changed: BTreeSet<&str> = BTreeSet::new();
        if common {
            self.of_namespaces.clear();
            changed.extend(objects.ingresses.namespaces().chain(objects.certificates.namespaces()).chain(objects.issuers.namespaces()));
        } else {
            objects.ingresses.differences(&seen.ingresses, |key| _ = changed.insert(&key.namespace));
            objects.certificates.differences(&seen.certificates, |key| _ = changed.insert(&key.namespace));
            objects.issuers.differences(&seen.issuers, |key| _ = changed.insert(&key.namespace));
        }
        let mut differs = common;
        for namespace in changed {
            let named = of_namespace(objects, settings, namespace);
            differs |= self.of_namespaces.get(namespace).map_or(!named.is_empty(), |before| *before != named);
            if named.is_empty() {
                self.of_namespaces.remove(namespace);
            } else {
                self.of_namespaces.insert(namespace.to_owned(), named);
            }
        }
        if differs {
            let named = self.of_namespaces.values().flatten().cloned().chain(of_platform(objects, settings));
            self.named = Arc::new(named.filter(|key| !key.name.is_empty() && !key.namespace.is_empty()).collect());
        }
        &self.named
    }
}

/// Those that the objects of a namespace name.
fn of_namespace(objects: &Objects, settings: &Settings, namespace: &str) -> BTreeSet<ObjectKey> {
    let mut named = BTreeSet::new();
    for (_, stored) in objects.ingresses.of(namespace).filter(|(_, stored)| is_ours(objects, &settings.class, &stored.object)) {
        let spec = stored.object.spec.iter();
        let tls = spec.flat_map(|spec| spec.tls.iter().flatten()).filter_map(|tls| tls.secret_name.as_deref());
        named.extend(tls.map(|name| ObjectKey::new(namespace, name)));
        let auth = stored.object.metadata.annotations.as_ref().and_then(|all| all.get(AUTH_SECRET));
        named.extend(auth.map(|name| secret_key(namespace, name)));
        named.extend(settings.own_namespace.iter().flat_map(|own| of_hosts(&stored.object, settings, own)));
    }
    named.extend(objects.certificates.of(namespace).map(|(_, stored)| ObjectKey::new(namespace, &stored.object.spec.secret_name)));
    named.extend(objects.issuers.of(namespace).flat_map(|(_, stored)| of_issuer(&stored.object, namespace)));
    named
}

/// Those of hosts that no zone's wildcard is for, in the platform's own namespace.
fn of_hosts<'a>(ingress: &'a Ingress, settings: &'a Settings, own: &'a str) -> impl Iterator<Item = ObjectKey> + 'a {
    let rules = ingress.spec.iter().flat_map(|spec| spec.rules.iter().flatten());
    let hosts = rules.filter_map(|rule| host_name(rule.host.as_deref()?).ok());
    hosts.filter_map(move |host| Some(ObjectKey::new(own, host_secret(&settings.zones, &host)?.name)))
}

/// Those of ClusterIssuers and of the zones' wildcards.
fn of_platform(objects: &Objects, settings: &Settings) -> BTreeSet<ObjectKey> {
    let issuers = objects.cluster_issuers.values().flat_map(|stored| of_issuer(&stored.object, &settings.cluster_resource_namespace));
    let wildcards = settings.own_namespace.iter().flat_map(|namespace| {
        let secrets = settings.zones.iter().map(|zone| wildcard_secret(&zone.origin));
        secrets.map(move |secret| ObjectKey::new(namespace, secret.name))
    });
    issuers.chain(wildcards).collect()
}

/// The Secret that an annotation names as `name` or `namespace/name`.
pub(super) fn secret_key(own: &str, name: &str) -> ObjectKey {
    let name = name.trim();
    let (namespace, name) = name.split_once('/').unwrap_or((own, name));
    ObjectKey::new(namespace, name)
}

/// Account key and CA, in this namespace.
fn of_issuer(issuer: &IssuerSpec, namespace: &str) -> impl Iterator<Item = ObjectKey> {
    let IssuerSpec { acme, ca, self_signed: _ } = issuer;
    let account = acme.as_ref().map(|acme| &acme.private_key_secret_ref.name);
    let pair = ca.as_ref().map(|ca| &ca.secret_name);
    account.into_iter().chain(pair).map(move |name| ObjectKey::new(namespace, name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::PathBuf;

    use super::*;
    use crate::compile::settings::ClassRules;
    use crate::config::{Config, Kubernetes, Source, Zone};
    use crate::objects::Kind;

    const MANIFESTS: &str = r#"
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: a, namespace: ns, annotations: {kubernetes.io/ingress.class: nginx, nginx.ingress.kubernetes.io/auth-secret: users}}
spec: {tls: [{secretName: tls-a}, {hosts: [a.example]}], rules: [{host: b.a.dyn.example}, {host: a.dyn.example}], defaultBackend: {service: {name: a, port: {number: 80}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: b, namespace: ns, annotations: {kubernetes.io/ingress.class: nginx, nginx.ingress.kubernetes.io/auth-secret: " other/users"}}
spec: {defaultBackend: {service: {name: a, port: {number: 80}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: c, namespace: ns, annotations: {kubernetes.io/ingress.class: another}}
spec: {tls: [{secretName: of-another-class}], defaultBackend: {service: {name: a, port: {number: 80}}}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: d, namespace: ns}
spec: {secretName: tls-d, issuerRef: {name: ca}, dnsNames: [d.example]}
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: ca, namespace: ns}
spec: {ca: {secretName: pair}}
---
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: le}
spec: {acme: {server: "https://ca.example/directory", privateKeySecretRef: {name: account}}}
---
apiVersion: v1
kind: Secret
metadata: {name: unnamed, namespace: ns}
"#;

    const HOST: &str = "vrata-system/host-b.a.dyn.example";

    #[test]
    fn what_is_ours_names_secrets_and_nothing_else_does() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.yaml"), MANIFESTS).unwrap();
        let read = crate::source::read(&[PathBuf::from(directory.path())]).unwrap();
        assert_eq!(read.problems, []);
        let config = Config {
            source: Source { manifests: vec![], kubernetes: Some(Kubernetes::default()) },
            dns: crate::config::Dns { zones: vec![Zone::named("dyn.example")], ..Default::default() },
            ..Config::default()
        };
        let settings = Settings::from_config(&config, &BTreeMap::new()).unwrap();
        assert_eq!(settings.class, ClassRules::default());
        let mut secrets = NamedSecrets::default();
        let mut named = |objects: &Objects| secrets.among(objects, &settings).iter().map(ToString::to_string).collect::<Vec<_>>();
        let all = ["cert-manager/account", "ns/pair", "ns/tls-a", "ns/tls-d", "ns/users", "other/users", HOST, "vrata-system/wildcard-dyn.example"];
        assert_eq!(named(&read.objects), all);
        let mut fewer = read.objects.clone();
        fewer.ingresses.remove(&ObjectKey::new("ns", "b"));
        assert_eq!(named(&fewer), all.into_iter().filter(|name| *name != "other/users").collect::<Vec<_>>());
        assert_eq!(named(&read.objects), all);
        fewer = read.objects.clone();
        fewer.cluster_issuers = Kind::default();
        (fewer.certificates, fewer.issuers) = (Kind::default(), Kind::default());
        assert_eq!(named(&fewer), ["ns/tls-a", "ns/users", "other/users", HOST, "vrata-system/wildcard-dyn.example"]);
        fewer.ingresses = Kind::default();
        assert_eq!(named(&fewer), ["vrata-system/wildcard-dyn.example"]);
        assert_eq!(secrets.of_namespaces, BTreeMap::new());
        assert!(Arc::ptr_eq(&Arc::clone(secrets.among(&fewer, &settings)), secrets.among(&fewer.clone(), &settings)));
    }
}
