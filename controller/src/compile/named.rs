//! Which Secrets are named by something that is ours: no other Secret's content is ever asked for. Pure.

use std::collections::BTreeSet;

use super::certificates::wildcard_secret;
use super::ingresses::is_ours;
use super::settings::Settings;
use crate::objects::{IssuerSpec, Kind, ObjectKey, Objects};

/// The annotation that names a Secret of passwords.
const AUTH_SECRET: &str = "nginx.ingress.kubernetes.io/auth-secret";

/// The Secrets that Ingresses, Certificates and issuers name, and those of the zones' wildcards; whether they exist is not asked. Whether the one that
/// names it may use it is decided where it is used.
#[must_use]
pub fn named_secrets(objects: &Objects, settings: &Settings) -> BTreeSet<ObjectKey> {
    let mut named = BTreeSet::new();
    for (key, stored) in objects.ingresses.iter().filter(|(_, stored)| is_ours(objects, &settings.class, &stored.object)) {
        let spec = stored.object.spec.iter();
        let tls = spec.flat_map(|spec| spec.tls.iter().flatten()).filter_map(|tls| tls.secret_name.as_deref());
        named.extend(tls.map(|name| ObjectKey::new(&key.namespace, name)));
        let auth = stored.object.metadata.annotations.as_ref().and_then(|all| all.get(AUTH_SECRET));
        named.extend(auth.map(|name| {
            let (namespace, name) = name.split_once('/').unwrap_or((&key.namespace, name));
            ObjectKey::new(namespace, name)
        }));
    }
    let certificates = objects.certificates.iter();
    named.extend(certificates.map(|(key, stored)| ObjectKey::new(&key.namespace, &stored.object.spec.secret_name)));
    issuers(&objects.issuers, None, &mut named);
    issuers(&objects.cluster_issuers, Some(&settings.cluster_resource_namespace), &mut named);
    if let Some(namespace) = &settings.own_namespace {
        named.extend(settings.zones.iter().map(|zone| ObjectKey::new(namespace, wildcard_secret(&zone.origin).name)));
    }
    named.retain(|key| !key.name.is_empty() && !key.namespace.is_empty());
    named
}

/// Account keys and CAs, in the issuer's namespace or the one given.
fn issuers(issuers: &Kind<IssuerSpec>, namespace: Option<&str>, named: &mut BTreeSet<ObjectKey>) {
    for (key, stored) in issuers {
        let IssuerSpec { acme, ca, self_signed: _ } = &stored.object;
        let account = acme.as_ref().map(|acme| &acme.private_key_secret_ref.name);
        let pair = ca.as_ref().map(|ca| &ca.secret_name);
        named.extend(account.into_iter().chain(pair).map(|name| ObjectKey::new(namespace.unwrap_or(&key.namespace), name)));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::PathBuf;

    use super::*;
    use crate::compile::settings::ClassRules;
    use crate::config::{Config, Kubernetes, Source, Zone};

    const MANIFESTS: &str = r#"
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: a, namespace: ns, annotations: {kubernetes.io/ingress.class: nginx, nginx.ingress.kubernetes.io/auth-secret: users}}
spec: {tls: [{secretName: tls-a}, {hosts: [a.example]}], defaultBackend: {service: {name: a, port: {number: 80}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: b, namespace: ns, annotations: {kubernetes.io/ingress.class: nginx, nginx.ingress.kubernetes.io/auth-secret: other/users}}
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
        let settings = Settings::from_config(&config, &std::collections::BTreeMap::new()).unwrap();
        assert_eq!(settings.class, ClassRules::default());
        let named: Vec<_> = named_secrets(&read.objects, &settings).iter().map(ToString::to_string).collect();
        let expected = ["cert-manager/account", "ns/pair", "ns/tls-a", "ns/tls-d", "ns/users", "other/users", "vrata-system/wildcard-dyn.example"];
        assert_eq!(named, expected);
    }
}
