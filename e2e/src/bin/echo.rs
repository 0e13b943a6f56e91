//! The image `echo` of the lab. By default: HTTP on port 8080 and HTTPS on port 8443 that tell what was asked, TCP on port 7000 and UDP on port 7000 that send
//! back what they get, and a login service on port 4180. With arguments `KIND:PORT` only these.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, bail};
use e2e::Backend;

const DEFAULT: [&str; 5] = ["http:8080", "https:8443", "login:4180", "tcp:7000", "udp:7000"];

#[tokio::main]
async fn main() -> Result<()> {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let asked = if asked.is_empty() { DEFAULT.map(str::to_owned).to_vec() } else { asked };
    let mut backends = Vec::new();
    for listener in &asked {
        backends.push(start(listener).await.with_context(|| listener.clone())?);
    }
    std::future::pending().await
}

async fn start(listener: &str) -> Result<Backend> {
    let (kind, port) = listener.split_once(':').context("KIND:PORT is expected")?;
    let at = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port.parse()?));
    match kind {
        "http" => Backend::http_at(at).await,
        "https" => Backend::https_at(at).await,
        "websocket" => Backend::websocket_at(at).await,
        "bulk" => Backend::bulk_at(at).await,
        "login" => Backend::login_at(at).await,
        "tcp" => Backend::tcp_at(at).await,
        "udp" => Backend::udp_at(at).await,
        _ => bail!("the kinds are http, https, websocket, bulk, login, tcp and udp"),
    }
}
