//! DNS clients: one that shows the whole reply, and `dig`, which is what people have.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::net::UdpSocket;
use tokio::process::Command;
use tokio::time::timeout;

/// Longest wait for a reply.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks over UDP.
///
/// # Errors
/// When no readable reply comes in time.
pub async fn query(server: SocketAddr, name: &str, record_type: RecordType) -> Result<Message> {
    let mut message = Message::new(rand::random(), MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name)?, record_type));
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.connect(server).await?;
    socket.send(&message.to_vec()?).await?;
    let mut buffer = vec![0; 65_535];
    let length = timeout(PATIENCE, socket.recv(&mut buffer)).await.with_context(|| format!("{server} does not answer for {name}"))??;
    Ok(Message::from_vec(&buffer[..length])?)
}

/// The texts of the answer section's records: `127.0.0.1`.
///
/// # Errors
/// As [`query`].
pub async fn answers(server: SocketAddr, name: &str, record_type: RecordType) -> Result<Vec<String>> {
    let reply = query(server, name, record_type).await?;
    Ok(reply.answers.iter().map(|record| record.data.to_string()).collect())
}

/// The serial of a zone.
///
/// # Errors
/// As [`query`], and when the zone is not served.
pub async fn serial(server: SocketAddr, zone: &str) -> Result<u32> {
    let reply = query(server, zone, RecordType::SOA).await?;
    match reply.answers.first().map(|record| &record.data) {
        Some(RData::SOA(soa)) => Ok(soa.serial),
        other => bail!("{zone} has no SOA but {other:?}"),
    }
}

/// What `dig +short` prints.
///
/// # Errors
/// When dig is not installed or fails.
pub async fn dig(server: SocketAddr, args: &[&str]) -> Result<String> {
    let port = server.port().to_string();
    let output = Command::new("dig").arg(format!("@{}", server.ip())).args(["-p", &port, "+short", "+tries=1", "+time=5"]).args(args).output().await;
    let output = output.context("dig cannot be run; it is in the package bind9-dnsutils")?;
    if !output.status.success() {
        bail!("dig: {}", String::from_utf8_lossy(&output.stdout));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
