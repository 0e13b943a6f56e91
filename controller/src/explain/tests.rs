//! Explanations as people read them, whole.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::*;
use crate::compile::{Facts, Settings, compile};
use crate::status::Basis;

const ZONE: &str = "$TTL 60\n@ SOA ns1 host 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.53\n\n\
                    static A 192.0.2.9\nalias CNAME static\n*.wild A 192.0.2.10\nsub NS ns.elsewhere.test.\n";

const CLASS: &str = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: nginx}\nspec: {controller: k8s.io/ingress-nginx}\n";

const APP: &str = "\
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: app, namespace: team, annotations: {nginx.ingress.kubernetes.io/proxy-body-size: big}}
spec:
  ingressClassName: nginx
  rules:
  - host: app.dyn.test
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}
      - {path: /ext, pathType: Prefix, backend: {service: {name: ext, port: {number: 81}}}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: team}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: team, labels: {kubernetes.io/service-name: web}}
addressType: IPv6
ports: [{port: 8080}]
endpoints: [{addresses: [\"2001:db8::2\"]}, {addresses: [\"2001:db8::1\"]}]
---
apiVersion: v1
kind: Service
metadata: {name: ext, namespace: team}
spec: {type: ExternalName, externalName: example.org, ports: [{port: 81}]}
";

const CATCH_ALL: &str = "\
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: all, namespace: team}
spec: {ingressClassName: nginx, defaultBackend: {service: {name: web, port: {number: 80}}}}
";

fn view(manifests: &str) -> View {
    let text = "source: {manifests: m}\ngateway: {publicAddresses: [192.0.2.1]}\ndns: {zones: [{name: dyn.test, file: z.zone}, {name: bare.test}]}\n";
    let config = crate::config::parse(text).unwrap();
    let settings = Settings::from_config(&config, &BTreeMap::from([("z.zone".into(), ZONE.to_owned())])).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("m.yaml");
    std::fs::write(&file, manifests).unwrap();
    let read = crate::source::read(&[file]).unwrap();
    let mut compiled = compile(&read.objects, &settings, &Facts { now: SystemTime::UNIX_EPOCH, ..Facts::default() });
    View {
        snapshot: Arc::new(crate::assemble::snapshot(1, &mut compiled)),
        zones: Arc::new(crate::assemble::preview(&compiled.zones).unwrap()),
        report: compiled.report,
        problems: compiled.problems,
        public_addresses: compiled.public.addresses,
        basis: Some(Basis { settings: Arc::new(settings), read: Arc::new(read), rules: compiled.ownership, standing: compiled.standing }),
        ..View::default()
    }
}

/// `VRATA_BLESS=1` writes the file anew.
#[test]
fn explanations_are_as_written() {
    let alone = [
        "https://app.dyn.test/",
        "http://app.dyn.test/ext/x",
        "app.dyn.test",
        // Only in the zone file.
        "https://static.dyn.test/",
        "alias.dyn.test",
        "https://x.wild.dyn.test/",
        // The platform's without a record there.
        "https://dyn.test/",
        "ns1.bare.test",
        // Nobody's.
        "https://none.dyn.test/",
        "https://elsewhere.test/",
        "192.0.2.1",
        "192.0.2.2",
    ];
    let beside = ["https://static.dyn.test/", "static.dyn.test", "https://www.sub.dyn.test/", "www.sub.dyn.test", "_acme-challenge.app.dyn.test"];
    let mut text = String::new();
    for (title, manifests, targets) in
        [("", format!("{CLASS}{APP}"), &alone[..]), (" beside a catch-all", format!("{CLASS}{APP}{CATCH_ALL}"), &beside)]
    {
        let view = view(&manifests);
        for asked in targets {
            text += &format!("$ vrata explain {asked}{title}\n{}\n", explain(&view, &parse(asked).unwrap()));
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain.txt");
    if std::env::var_os("VRATA_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(&path).unwrap_or_default(), "VRATA_BLESS=1 writes tests/explain.txt anew");
}

#[test]
fn before_the_first_pass_nothing_is_held_and_nobody_is_served() {
    let view = View::default();
    assert_eq!(explain(&view, &Target::Address([192, 0, 2, 1].into())), "192.0.2.1: nobody holds it\n");
    let text = explain(&view, &parse("https://a.test/").unwrap());
    assert!(text.contains("404: no Ingress serves this host"), "{text}");
    assert!(text.contains("outside the zones"), "{text}");
}
