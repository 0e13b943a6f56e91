//! Vrata itself, with a directory of manifests.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::process::{SERVER_CORE, Server};
use crate::setting::{Setting, ZONE};

/// A running instance and where it listens.
#[derive(Debug)]
pub(crate) struct Vrata {
    pub(crate) server: Server,
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    pub(crate) dns: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// Directory of the manifests that it watches.
    pub(crate) manifests: PathBuf,
    /// Where it keeps what must survive.
    pub(crate) state: PathBuf,
}

/// Starts an instance named `name` on `core` with these manifests (file name and content) and static zone file.
pub(crate) fn start(setting: &Setting, name: &str, manifests: &[(&str, String)], zone_file: Option<&str>) -> Result<Vrata> {
    start_on(setting, name, manifests, zone_file, (ports::free(), ports::free()), "")
}

/// The same, on these addresses for HTTP and HTTPS and with more of the configuration, top-level keys.
pub(crate) fn start_on(
    setting: &Setting,
    name: &str,
    manifests: &[(&str, String)],
    zone_file: Option<&str>,
    (plain, tls): (SocketAddr, SocketAddr),
    more: &str,
) -> Result<Vrata> {
    let directory = setting.directory.join(name);
    let sources = directory.join("manifests");
    fs::create_dir_all(&sources)?;
    for (file, content) in manifests {
        fs::write(sources.join(file), content)?;
    }
    let (dns, admin, state) = (ports::free(), ports::free(), directory.join("state"));
    let zone = match zone_file {
        None => String::new(),
        Some(file) => format!(", file: {file}"),
    };
    let configuration = format!(
        "source: {{manifests: {sources}}}
state: {state}
gateway: {{http: [\"{plain}\"], https: [\"{tls}\"], publicAddresses: [127.0.0.1], publicHttpsPort: {port}, accessLog: \"off\"}}
dns: {{listen: [\"{dns}\"], zones: [{{name: {ZONE}{zone}}}]}}
admin: {{listen: \"{admin}\"}}
{more}",
        sources = sources.display(),
        state = state.display(),
        port = tls.port(),
    );
    let file = directory.join("config.yaml");
    fs::write(&file, configuration)?;
    let program = setting.vrata.to_string_lossy();
    let mut server = Server::start(SERVER_CORE, &program, &["run", "--config", &file.to_string_lossy()], &directory.join("log"))?;
    server.wait_for(admin)?;
    let vrata = Vrata { server, plain, tls, dns, admin, manifests: sources, state };
    vrata.wait_ready()?;
    Ok(vrata)
}

impl Vrata {
    /// Asks the admin listener.
    pub(crate) fn ask(&self, path: &str) -> Result<(u16, String)> {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(self.admin)?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.admin)?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        Ok((status, text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()))
    }

    fn wait_ready(&self) -> Result<()> {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
        while self.ask("/readyz")?.0 != 200 {
            if std::time::Instant::now() > deadline {
                bail!("vrata is not ready: {}", self.ask("/readyz")?.1);
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Ok(())
    }
}

/// A backend (Service and `EndpointSlice`) at the origin.
pub(crate) fn backend(namespace: &str, name: &str, origin: SocketAddr) -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{ports: [{{name: http, port: 80, targetPort: {port}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}, namespace: {namespace}, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: http, port: {port}, protocol: TCP}}]
endpoints: [{{addresses: [\"{ip}\"]}}]
",
        port = origin.port(),
        ip = origin.ip(),
    )
}

/// An Ingress for one host, as a tenant of the platform writes it; plain HTTP is not redirected so that both can be measured.
pub(crate) fn ingress(namespace: &str, name: &str, host: &str, service: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {name}
  namespace: {namespace}
  annotations:
    kubernetes.io/ingress.class: nginx
    nginx.ingress.kubernetes.io/ssl-redirect: \"false\"
spec:
  rules:
    - host: {host}
      http: {{paths: [{{pathType: ImplementationSpecific, backend: {{service: {{name: {service}, port: {{number: 80}}}}}}}}]}}
"
    )
}
