//! The program under test.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::Value;
use tempfile::TempDir;

use crate::process::Process;
use crate::{Answer, Client, eventually, manifest};

/// The zone that is served unless a test chooses another.
pub const ZONE: &str = "dyn.example.org";

/// Ports on 127.0.0.1.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// Plain HTTP.
    pub http: SocketAddr,
    /// HTTPS.
    pub https: SocketAddr,
    /// DNS over UDP and TCP.
    pub dns: SocketAddr,
    /// Administration.
    pub admin: SocketAddr,
}

impl Default for Ports {
    /// Free ports, all different.
    fn default() -> Self {
        Self { http: ports::free(), https: ports::free(), dns: ports::free(), admin: ports::free() }
    }
}

/// What the program is started with.
#[derive(Debug, Default)]
pub struct Setup {
    ports: Ports,
    issuer: Option<String>,
}

impl Setup {
    /// Free ports, the zone [`ZONE`], and an issuer `letsencrypt-prod` that signs with a CA of the test's own.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The ports that it will listen on.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// Another manifest for the issuer `letsencrypt-prod`.
    #[must_use]
    pub fn issuer(mut self, manifest: String) -> Self {
        self.issuer = Some(manifest);
        self
    }
}

/// A running program with its directories.
#[derive(Debug)]
pub struct Vrata {
    // First, so that its log is still there when it ends.
    process: Process,
    directory: TempDir,
    ports: Ports,
    ca_pem: String,
}

impl Vrata {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// When the binary is not there, or is not ready in time.
    pub async fn start(setup: Setup) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        std::fs::create_dir(directory.path().join("manifests"))?;
        std::fs::write(directory.path().join("config.yaml"), configuration(setup.ports, directory.path()))?;
        let authority = Authority::new()?;
        let issuer = setup.issuer.unwrap_or_else(|| manifest::ca_issuer(&authority.certificate, &authority.key));
        write_manifest(directory.path(), "platform.yaml", &(manifest::ingress_class() + &issuer))?;
        let process = spawn(directory.path())?;
        let mut vrata = Self { directory, ports: setup.ports, ca_pem: authority.certificate, process };
        vrata.ready().await?;
        Ok(vrata)
    }

    /// Its ports.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// The root that its certificates chain to, unless the test chose another issuer. PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Where it keeps what must survive.
    pub fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The last of what it has printed.
    pub fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// Whether there is this manifest.
    pub fn has(&self, file: &str) -> bool {
        self.directory.path().join("manifests").join(file).exists()
    }

    /// Writes a manifest, as an editor does: complete, then renamed into place.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn apply(&self, file: &str, text: &str) -> Result<()> {
        write_manifest(self.directory.path(), file, text)
    }

    /// Removes a manifest.
    ///
    /// # Errors
    /// When it is not there.
    pub fn remove(&self, file: &str) -> Result<()> {
        Ok(std::fs::remove_file(self.directory.path().join("manifests").join(file))?)
    }

    /// `/api/v1/status`, at once.
    ///
    /// # Errors
    /// When it does not answer, or not JSON.
    pub async fn status(&self) -> Result<Value> {
        self.admin_json("/api/v1/status").await
    }

    /// `/api/v1/status` once the generation is greater than `generation`.
    ///
    /// # Errors
    /// When that does not come about.
    pub async fn status_after(&self, generation: u64) -> Result<Value> {
        let path = format!("/api/v1/status?wait={generation}&timeout=5s");
        eventually("a new generation", async || self.admin_json(&path).await, |status| generation_of(status) > generation).await
    }

    /// The present generation.
    ///
    /// # Errors
    /// When the status does not tell.
    pub async fn generation(&self) -> Result<u64> {
        Ok(generation_of(&self.status().await?))
    }

    async fn admin_json(&self, path: &str) -> Result<Value> {
        let answer = Client::plain(self.ports.admin).get("localhost", path).await?;
        serde_json::from_slice(&answer.body).with_context(|| format!("{path} answered {}: {}", answer.status, answer.text()))
    }

    /// A client that trusts the test's CA and speaks HTTPS.
    ///
    /// # Errors
    /// When the CA cannot be read.
    pub fn https(&self) -> Result<Client> {
        Client::trusting(self.ports.https, &self.ca_pem)
    }

    /// A client that speaks plain HTTP.
    pub fn http(&self) -> Client {
        Client::plain(self.ports.http)
    }

    /// GET over trusted HTTPS, once.
    ///
    /// # Errors
    /// When there is no answer, or the certificate is not trusted.
    pub async fn get(&self, host: &str, path: &str) -> Result<Answer> {
        self.https()?.get(host, path).await
    }

    /// GET over trusted HTTPS until it is answered with this status.
    ///
    /// # Errors
    /// When that does not come about.
    pub async fn get_until(&self, host: &str, path: &str, status: u16) -> Result<Answer> {
        eventually(&format!("https://{host}{path} answers {status}"), async || self.get(host, path).await, |answer| answer.status == status).await
    }

    /// Kills it as `kill -9` does, and starts it again on the same directories.
    ///
    /// # Errors
    /// When it does not become ready again.
    pub async fn kill_and_restart(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process = spawn(self.directory.path())?;
        self.ready().await
    }

    /// Stops it as it should be stopped, and starts it again on the same directories.
    ///
    /// # Errors
    /// When it does not end well, or does not become ready again.
    pub async fn stop_and_restart(&mut self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        self.ended().await?;
        self.process = spawn(self.directory.path())?;
        self.ready().await
    }

    /// Writes a manifest in place, as an editor does that knows no rename: what is written first is seen first.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_in_place(&self, file: &str, text: &str) -> Result<()> {
        Ok(std::fs::write(self.directory.path().join("manifests").join(file), text)?)
    }

    /// The most memory that it has had resident so far, in KiB (`VmHWM`).
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn peak_memory_kib(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        line.trim().trim_end_matches(" kB").parse().context("VmHWM is not a number")
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended before.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Waits until it has ended with success.
    ///
    /// # Errors
    /// When it does not end, or not with success.
    pub async fn ended(&mut self) -> Result<()> {
        match eventually("it stops", async || self.process.ended(), Option::is_some).await? {
            Some(status) if status.success() => Ok(()),
            status => bail!("it ended with {status:?}:\n{}", self.process.log()),
        }
    }

    /// Asks it to stop, and waits until it has.
    ///
    /// # Errors
    /// When it does not end, or not with success.
    pub async fn stop(mut self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        self.ended().await
    }

    async fn ready(&mut self) -> Result<()> {
        let admin = Client::plain(self.ports.admin);
        let look = async || match self.process.ended()? {
            Some(status) => Ok(Err(status)),
            None => Ok(Ok(admin.get("localhost", "/readyz").await?.status)),
        };
        match eventually("vrata is ready", look, |seen| matches!(seen, Err(_) | Ok(200))).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => bail!("vrata ended with {status}:\n{}", self.process.log()),
            Err(error) => bail!("{error}\n{}", self.process.log()),
        }
    }
}

fn generation_of(status: &Value) -> u64 {
    status["generation"].as_u64().unwrap_or_default()
}

fn write_manifest(directory: &Path, file: &str, text: &str) -> Result<()> {
    let manifests = directory.join("manifests");
    let (draft, path) = (directory.join(file), manifests.join(file));
    std::fs::write(&draft, text).with_context(|| format!("cannot write {}", draft.display()))?;
    std::fs::rename(&draft, &path).with_context(|| format!("cannot write {}", path.display()))
}

fn spawn(directory: &Path) -> Result<Process> {
    let config = directory.join("config.yaml");
    Process::start(&binary()?, ["run".as_ref(), "--config".as_ref(), config.as_os_str()], &[], directory.join("vrata.log"))
}

/// The binary beside the tests, in `target/PROFILE/`.
///
/// # Errors
/// When it is not there, with what to run.
pub fn binary() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let profile = test.ancestors().nth(2).context("a test lies in target/PROFILE/deps/")?;
    let binary = profile.join("vrata");
    if !binary.exists() {
        bail!("{} is not there; run: cargo build --workspace --bin vrata", binary.display());
    }
    Ok(binary)
}

fn configuration(ports: Ports, directory: &Path) -> String {
    let Ports { http, https, dns, admin } = ports;
    let port = https.port();
    let directory = directory.display();
    let pool = pool(ports);
    format!(
        "source: {{manifests: {directory}/manifests}}\n\
         state: {directory}/state\n\
         gateway: {{http: [\"{http}\"], https: [\"{https}\"], publicAddresses: [\"127.0.0.1\"], publicHttpsPort: {port}, drainSeconds: 5}}\n\
         dns: {{listen: [\"{dns}\"], zones: [{{name: {ZONE}}}]}}\n\
         addresses: {{pools: [{{name: default, ranges: [\"{pool}\"], autoAssign: true}}]}}\n\
         admin: {{listen: \"{admin}\"}}\n"
    )
}

/// Addresses that no other test running now has: they follow from a port that this one holds.
fn pool(ports: Ports) -> String {
    let [high, low] = ports.http.port().to_be_bytes();
    format!("127.{}.{low}.0/28", 100 + high / 2)
}

/// A CA of the test's own.
pub(crate) struct Authority {
    /// Its certificate, PEM.
    pub(crate) certificate: String,
    /// Its key, PEM.
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self { certificate: params.self_signed(&key)?.pem(), key: key.serialize_pem() })
    }
}
