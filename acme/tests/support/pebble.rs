//! Starts Pebble, the ACME test server, as a child on loopback ports, and ends it again.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::{LoopbackIdentity, eventually};
use crate::support::responders::Responders;

/// How Pebble behaves.
pub struct Behaviour {
    /// Share of nonces that it refuses, in percent.
    pub nonce_reject: u8,
    /// Validity of what it issues, in seconds.
    pub validity: u64,
    /// Its port; 0 for any.
    pub port: u16,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self { nonce_reject: 0, validity: 90 * 86_400, port: 0 }
    }
}

pub struct Pebble {
    child: Child,
    pub port: u16,
    pub directory_url: String,
    pub ca_bundle: String,
    _files: tempfile::TempDir,
}

impl Pebble {
    pub async fn start(behaviour: Behaviour, responders: &Responders) -> Self {
        let files = tempfile::tempdir().unwrap();
        let identity = LoopbackIdentity::new();
        let port = if behaviour.port == 0 { ports::free().port() } else { behaviour.port };
        let at = |name: &str| files.path().join(name);
        std::fs::write(at("cert.pem"), &identity.certificate_pem).unwrap();
        std::fs::write(at("key.pem"), &identity.key_pem).unwrap();
        let config = serde_json::json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{port}"), "managementListenAddress": ports::free().to_string(),
            "certificate": at("cert.pem"), "privateKey": at("key.pem"),
            "httpPort": responders.http.port(), "tlsPort": responders.https.port(),
            "domainBlocklist": ["blocked.example"], "retryAfter": {"authz": 1, "order": 1}, "keyAlgorithm": "ecdsa",
            "profiles": {"default": {"description": "the only one", "validityPeriod": behaviour.validity}},
        }});
        std::fs::write(at("config.json"), config.to_string()).unwrap();
        let child = Command::new(binary())
            .arg("-config")
            .arg(at("config.json"))
            .arg("-dnsserver")
            .arg(responders.dns.to_string())
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_AUTHZREUSE", "0")
            .env("PEBBLE_WFE_NONCEREJECT", behaviour.nonce_reject.to_string())
            .stdout(if std::env::var_os("PEBBLE_LOG").is_some() { Stdio::inherit() } else { Stdio::null() })
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pebble = Self { child, port, directory_url: format!("https://127.0.0.1:{port}/dir"), ca_bundle: identity.certificate_pem, _files: files };
        eventually("Pebble listens", || std::net::TcpStream::connect(("127.0.0.1", port)).ok()).await;
        pebble
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        // It has ended by itself, or ends now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn binary() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/vrata-tools");
    let tools = std::env::var_os("VRATA_TOOLS").map_or_else(home, PathBuf::from);
    let path = tools.join("pebble-2.10.1/pebble");
    assert!(path.exists(), "{} is missing: run cargo xtask test, which installs it", path.display());
    path
}
