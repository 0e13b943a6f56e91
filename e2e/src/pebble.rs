//! Pebble, the ACME server for tests, and the resolver it validates through: names of our zone are asked of the program under test, every other name is
//! where that program serves.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;

use crate::process::Process;
use crate::vrata::ZONE;
use crate::{Client, Ports, eventually};

/// Its directory in the cache of tools.
const DIRECTORY: &str = "pebble-2.10.1";
/// Ninety days, in seconds.
const QUARTER: u32 = 7_776_000;

/// What a Pebble validates against, and where it listens.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The address that it listens on.
    pub listen: Ipv4Addr,
    /// The address of all names that are not of the zone.
    pub web: Ipv4Addr,
    /// Ports of HTTP and HTTPS there.
    pub ports: (u16, u16),
    /// Whom names of the zone are asked of.
    pub dns: SocketAddr,
    /// The zone.
    pub zone: &'static str,
}

impl Place {
    /// On loopback, as is the program that listens on `ports`.
    fn loopback(ports: Ports, zone: &'static str) -> Self {
        let web = Ipv4Addr::LOCALHOST;
        Self { listen: web, web, ports: (ports.http.port(), ports.https.port()), dns: ports.dns, zone }
    }
}

/// A running Pebble.
#[derive(Debug)]
pub struct Pebble {
    address: SocketAddr,
    management: SocketAddr,
    ca_pem: String,
    resolver: JoinHandle<()>,
    dns: SocketAddr,
    process: Option<Process>,
    directory: TempDir,
}

/// What a CA has made, by its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// Accounts.
    pub accounts: usize,
    /// Orders.
    pub orders: usize,
    /// Certificates.
    pub certificates: usize,
}

impl Pebble {
    /// Starts one that validates against the program that will listen on `ports`.
    ///
    /// # Errors
    /// When it is not installed, or does not come up.
    pub async fn start(ports: Ports) -> Result<Self> {
        let mut pebble = Self::prepare(ports, QUARTER).await?;
        pebble.run().await?;
        Ok(pebble)
    }

    /// As [`Pebble::start`], for a program that serves another zone.
    ///
    /// # Errors
    /// When it is not installed, or does not come up.
    pub async fn for_zone(ports: Ports, zone: &'static str) -> Result<Self> {
        let mut pebble = Self::prepare_at(Place::loopback(ports, zone), QUARTER).await?;
        pebble.run().await?;
        Ok(pebble)
    }

    /// One that is not running yet; it will sign for so many seconds.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn prepare(ports: Ports, validity: u32) -> Result<Self> {
        Self::prepare_at(Place::loopback(ports, ZONE), validity).await
    }

    /// Starts one elsewhere.
    ///
    /// # Errors
    /// When it is not installed, or does not come up.
    pub async fn start_at(place: Place) -> Result<Self> {
        let mut pebble = Self::prepare_at(place, QUARTER).await?;
        pebble.run().await?;
        Ok(pebble)
    }

    async fn prepare_at(place: Place, validity: u32) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let own = Ports::default();
        let at = |port: SocketAddr| SocketAddr::from((place.listen, port.port()));
        let (address, management) = (at(own.http), at(own.https));
        let ca_pem = write_files(&directory, (address, management), place, validity)?;
        let (resolver, dns) = resolve(place).await?;
        Ok(Self { address, management, ca_pem, resolver, dns, process: None, directory })
    }

    /// Runs it.
    ///
    /// # Errors
    /// When it is not installed, or does not come up.
    pub async fn run(&mut self) -> Result<()> {
        let (config, dns) = (self.directory.path().join("pebble.json"), self.dns.to_string());
        let args = ["-config".as_ref(), config.as_os_str(), "-dnsserver".as_ref(), dns.as_ref()];
        let environment = [("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "20")];
        self.process = Some(Process::start(&binary()?, args, &environment, self.directory.path().join("pebble.log"))?);
        eventually("Pebble answers", async || self.client(self.address)?.get("localhost", "/dir").await, |answer| answer.status == 200).await?;
        Ok(())
    }

    /// What it has made so far.
    pub fn made(&self) -> Made {
        let log = self.process.as_ref().map(Process::log).unwrap_or_default();
        let count = |what: &str| log.lines().filter(|line| line.contains(what)).count();
        Made { accounts: count(" accounts in memory"), orders: count("Added order "), certificates: count("Issued certificate serial ") }
    }

    /// URL of its directory.
    pub fn directory(&self) -> String {
        if self.address.ip().is_loopback() {
            format!("https://localhost:{}/dir", self.address.port())
        } else {
            format!("https://{}/dir", self.address)
        }
    }

    /// The file that its own server certificate is verified with.
    pub fn ca_file(&self) -> PathBuf {
        self.directory.path().join("cert.pem")
    }

    /// What its own server certificate is verified with, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The root that it signs with, PEM.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn root(&self) -> Result<String> {
        Ok(self.client(self.management)?.get("localhost", "/roots/0").await?.text())
    }

    fn client(&self, address: SocketAddr) -> Result<Client> {
        Client::trusting(address, &self.ca_pem)
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.resolver.abort();
    }
}

/// Writes configuration, certificate and key; gives the certificate, which signs itself.
fn write_files(directory: &TempDir, (address, management): (SocketAddr, SocketAddr), place: Place, validity: u32) -> Result<String> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec!["localhost".to_owned(), address.ip().to_string()])?.self_signed(&key)?.pem();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("cert.pem"), &certificate)?;
    std::fs::write(path("key.pem"), key.serialize_pem())?;
    let config = json!({"pebble": {
        "listenAddress": address.to_string(),
        "managementListenAddress": management.to_string(),
        "certificate": path("cert.pem"),
        "privateKey": path("key.pem"),
        "httpPort": place.ports.0,
        "tlsPort": place.ports.1,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": false,
        "profiles": {"default": {"description": "the only one", "validityPeriod": validity}},
    }});
    std::fs::write(path("pebble.json"), config.to_string())?;
    Ok(certificate)
}

/// Where tools are kept.
pub(crate) fn tools() -> Result<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/vrata-tools"));
    std::env::var_os("VRATA_TOOLS").map(PathBuf::from).or_else(home).context("neither VRATA_TOOLS nor HOME is set")
}

fn binary() -> Result<PathBuf> {
    let binary = tools()?.join(DIRECTORY).join("pebble");
    if !binary.exists() {
        bail!("{} is not there; run: cargo xtask test --only e2e", binary.display());
    }
    Ok(binary)
}

/// Starts the resolver; gives its address too.
async fn resolve(place: Place) -> Result<(JoinHandle<()>, SocketAddr)> {
    let (udp, tcp) = both().await?;
    let address = udp.local_addr()?;
    let task = tokio::spawn(async move {
        tokio::join!(serve_udp(udp, place), serve_tcp(tcp, place));
    });
    Ok((task, address))
}

/// A port for UDP and TCP alike: Pebble asks over either.
async fn both() -> Result<(UdpSocket, TcpListener)> {
    for _ in 0..100 {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        if let Ok(tcp) = TcpListener::bind(udp.local_addr()?).await {
            return Ok((udp, tcp));
        }
    }
    bail!("no port is free for TCP and UDP alike")
}

async fn serve_udp(socket: UdpSocket, place: Place) {
    let mut buffer = vec![0; 4096];
    while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
        if let Ok(reply) = reply(&buffer[..length], place).await {
            let _ = socket.send_to(&reply, client).await;
        }
    }
}

async fn serve_tcp(listener: TcpListener, place: Place) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            while let Ok(length) = stream.read_u16().await {
                let mut query = vec![0; length.into()];
                stream.read_exact(&mut query).await?;
                let reply = reply(&query, place).await?;
                stream.write_u16(reply.len().try_into()?).await?;
                stream.write_all(&reply).await?;
            }
            anyhow::Ok(())
        });
    }
}

async fn reply(query: &[u8], place: Place) -> Result<Vec<u8>> {
    let message = Message::from_vec(query)?;
    let question = message.queries.first().context("no question")?;
    let mut apex = Name::from_ascii(place.zone)?;
    apex.set_fqdn(true);
    if apex.zone_of(question.name()) {
        return relay(query, place.dns).await;
    }
    let mut reply = Message::new(message.metadata.id, MessageType::Response, message.metadata.op_code);
    reply.metadata.response_code = ResponseCode::NoError;
    reply.add_query(question.clone());
    if question.query_type() == RecordType::A {
        reply.add_answer(Record::from_rdata(question.name().clone(), 1, RData::A(A(place.web))));
    }
    Ok(reply.to_vec()?)
}

async fn relay(query: &[u8], server: SocketAddr) -> Result<Vec<u8>> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buffer = vec![0; 4096];
    let length = tokio::time::timeout(std::time::Duration::from_secs(5), socket.recv(&mut buffer)).await??;
    buffer.truncate(length);
    Ok(buffer)
}
