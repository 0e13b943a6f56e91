//! Pebble, the ACME test server, resolving every name to loopback and validating on the ports of the gateway under test.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::process::{CLIENT_CORE, Server};
use crate::setting::{Setting, free_port};

/// A running Pebble.
#[derive(Debug)]
pub(crate) struct Pebble {
    /// URL of its directory.
    pub(crate) directory: String,
    /// PEM file that its own certificate is verified with.
    pub(crate) ca: PathBuf,
    management: SocketAddr,
    _servers: [Server; 2],
}

/// Starts it with a resolver of its own.
pub(crate) fn start(setting: &Setting, http_port: u16, tls_port: u16) -> Result<Pebble> {
    let directory = setting.directory.join("pebble");
    fs::create_dir_all(&directory)?;
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    let (certificate, key) = (directory.join("tls.crt"), directory.join("tls.key"));
    fs::write(&certificate, made.cert.pem())?;
    fs::write(&key, made.signing_key.serialize_pem())?;
    let (listen, management, resolver) = (free_port()?, free_port()?, free_port()?);
    let configuration = serde_json::json!({"pebble": {
        "listenAddress": listen, "managementListenAddress": management, "certificate": certificate, "privateKey": key,
        "httpPort": http_port, "tlsPort": tls_port, "ocspResponderURL": "", "externalAccountBindingRequired": false,
    }});
    let file = directory.join("config.json");
    fs::write(&file, configuration.to_string())?;
    let names = resolver_arguments(resolver);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let log = directory.join("log");
    let mut resolving = Server::start(CLIENT_CORE, &tool("pebble-challtestsrv")?, &names, &log)?;
    resolving.wait_for(resolver)?;
    let mut pebble = Server::start_with(
        CLIENT_CORE,
        &tool("pebble")?,
        &["-config", &file.to_string_lossy(), "-dnsserver", &resolver.to_string()],
        &[("PEBBLE_VA_NOSLEEP", "1")],
        &log,
    )?;
    pebble.wait_for(listen)?;
    Ok(Pebble { directory: format!("https://{listen}/dir"), ca: certificate, management, _servers: [resolving, pebble] })
}

fn resolver_arguments(resolver: SocketAddr) -> Vec<String> {
    let mut arguments = vec!["-dns01".to_owned(), resolver.to_string(), "-management".to_owned(), "127.0.0.1:0".to_owned()];
    for unused in ["-http01", "-https01", "-tlsalpn01", "-doh"] {
        arguments.extend([unused.to_owned(), String::new()]);
    }
    arguments.extend(["-defaultIPv4".to_owned(), "127.0.0.1".to_owned(), "-defaultIPv6".to_owned(), String::new()]);
    arguments
}

/// Where the set-up keeps the pinned tools.
fn tool(name: &str) -> Result<String> {
    let cache = std::env::var("VRATA_TOOLS").or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cache/vrata-tools")))?;
    let path = format!("{cache}/pebble-2.10.1/{name}");
    anyhow::ensure!(fs::exists(&path)?, "{path} is not there; run `cargo xtask bench`, which sets it up");
    Ok(path)
}

impl Pebble {
    /// The root that signs what Pebble issues.
    pub(crate) fn root(&self) -> Result<CertificateDer<'static>> {
        let output = std::process::Command::new("curl").args(["-sk", &format!("https://{}/roots/0", self.management)]).output()?;
        CertificateDer::from_pem_slice(&output.stdout).context("Pebble's root")
    }
}
