//! From an Ingress file written to trusted HTTPS: a host in the zone, once its wildcard is there, and a foreign host whose certificate comes from Pebble.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::scale::replace;
use crate::client::{Client, tcp};
use crate::peers::pebble::{self, Pebble};
use crate::peers::vrata::{self, Vrata};
use crate::setting::{Setting, ZONE};
use crate::table::{Table, quantile};

/// Measures `hosts` hosts of each kind.
pub(crate) fn run(setting: &Setting, hosts: u32) -> Result<Vec<Table>> {
    let ca = local_ca()?;
    let (plain, tls) = (ports::free(), ports::free());
    let pebble = pebble::start(setting, plain.port(), tls.port())?;
    let platform = format!("{}---\n{}", local_issuer(&ca), acme_issuer(&pebble)?);
    let manifests = [("platform.yaml", platform), ("app.yaml", vrata::backend("bench", "app", setting.origin))];
    let vrata =
        vrata::start_on(setting, "vrata-issue", &manifests, None, (plain, tls), "certificates: {platformIssuer: local, defaultIssuer: pebble}\n")?;
    let local = trusting([CertificateDer::from_pem_slice(ca.pem.as_bytes())?])?;
    let inside = latencies(&vrata, &local, hosts, |n| (format!("fast-{n}.{ZONE}"), String::new()))?;
    let public = trusting([pebble.root()?])?;
    let foreign = latencies(&vrata, &public, hosts.min(20), |n| {
        let host = format!("app-{n}.example.org");
        let tls = format!("  tls: [{{hosts: [{host}], secretName: app-{n}-tls}}]\n");
        (host, tls)
    })?;
    let note = "From the Ingress file written to the first good answer over a TLS connection that the client verifies.";
    let mut table = Table::new("From Ingress file to trusted HTTPS", note, &["host", "hosts", "p50", "p99"]);
    for (name, values) in [("in a served zone, wildcard there", &inside), ("foreign, HTTP-01 with Pebble", &foreign)] {
        table.row([name.into(), values.len().to_string(), format!("{:.0} ms", quantile(values, 0.5)), format!("{:.0} ms", quantile(values, 0.99))]);
    }
    Ok(vec![table])
}

struct Ca {
    pem: String,
    key: String,
}

fn local_ca() -> Result<Ca> {
    let key = rcgen::KeyPair::generate()?;
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "loadtest CA");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    Ok(Ca { pem: params.self_signed(&key)?.pem(), key: key.serialize_pem() })
}

fn indented(pem: &str) -> String {
    pem.lines().map(|line| format!("    {line}\n")).collect()
}

fn local_issuer(ca: &Ca) -> String {
    format!(
        "apiVersion: v1
kind: Secret
metadata: {{name: local-ca, namespace: cert-manager}}
type: kubernetes.io/tls
stringData:
  tls.crt: |
{}  tls.key: |
{}---
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {{name: local}}
spec: {{ca: {{secretName: local-ca}}}}
",
        indented(&ca.pem),
        indented(&ca.key)
    )
}

fn acme_issuer(pebble: &Pebble) -> Result<String> {
    let bundle = STANDARD.encode(fs::read(&pebble.ca)?);
    Ok(format!(
        "apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {{name: pebble}}
spec: {{acme: {{server: \"{}\", email: a@example.org, caBundle: {bundle}, privateKeySecretRef: {{name: pebble}}}}}}
",
        pebble.directory
    ))
}

/// A client that trusts these roots.
pub(super) fn trusting(roots: impl IntoIterator<Item = CertificateDer<'static>>) -> Result<Arc<ClientConfig>> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root)?;
    }
    Ok(Arc::new(ClientConfig::builder().with_root_certificates(store).with_no_client_auth()))
}

fn latencies(vrata: &Vrata, trust: &Arc<ClientConfig>, hosts: u32, host: impl Fn(u32) -> (String, String)) -> Result<Vec<f64>> {
    (0..hosts)
        .map(|n| {
            let (host, tls) = host(n);
            let manifest = vrata::ingress("bench", &format!("app-{n}"), &host, "app")
                .replace("annotations:", "annotations:\n    kubernetes.io/tls-acme: \"true\"");
            replace(&vrata.manifests.join(format!("{host}.yaml")), &format!("{manifest}{tls}"))?;
            let written = Instant::now();
            while ask(vrata.tls, trust, &host).ok() != Some(200) {
                if written.elapsed() > Duration::from_secs(60) {
                    bail!("{host} is not served over HTTPS after 60 s: {:?}", ask(vrata.tls, trust, &host));
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(written.elapsed().as_secs_f64() * 1e3)
        })
        .collect()
}

fn ask(gateway: SocketAddr, trust: &Arc<ClientConfig>, host: &str) -> Result<u16> {
    let name = ServerName::try_from(host.to_owned()).context("the host is no server name")?;
    let connection = ClientConnection::new(trust.clone(), name)?;
    Client::over(StreamOwned::new(connection, tcp(gateway)?)).get(host)
}
