//! The image `echo` of the lab: HTTP on port 8080 and HTTPS on port 8443 that tell what was asked, TCP on port 7000 and UDP on port 7000 that send back what they get, and
//! a login service on port 4180.

use std::net::{Ipv4Addr, SocketAddr};

use e2e::Backend;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let any = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let _http = Backend::http_at(any(8080)).await?;
    let _https = Backend::https_at(any(8443)).await?;
    let _login = Backend::login_at(any(4180)).await?;
    let _tcp = Backend::tcp_at(any(7000)).await?;
    let _udp = Backend::udp_at(any(7000)).await?;
    std::future::pending().await
}
