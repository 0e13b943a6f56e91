//! Services of type LoadBalancer: an address, a name, and bytes both ways.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Result;
use e2e::manifest::Service;
use e2e::vrata::ZONE;
use e2e::{Backend, Setup, Vrata, dns, eventually};
use hickory_proto::rr::RecordType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

#[tokio::test(flavor = "multi_thread")]
async fn tcp_and_udp_services_share_an_address_and_answer_by_name() -> Result<()> {
    let (tcp, udp, vrata) = (Backend::tcp().await?, Backend::udp().await?, Vrata::start(Setup::new()).await?);
    let host = format!("lab.{ZONE}");
    let service = |name: &str| {
        Service::new(name, "lab")
            .load_balancer()
            .annotation("metallb.universe.tf/allow-shared-ip", "lab")
            .annotation("metallb.universe.tf/address-pool", "default")
    };
    let database = service("database").annotation("external-dns.alpha.kubernetes.io/hostname", &host).port(5432, "TCP", tcp.address());
    vrata.apply("database.yaml", &database.manifest())?;
    vrata.apply("telemetry.yaml", &service("telemetry").port(9125, "UDP", udp.address()).manifest())?;

    let answers =
        eventually("the name resolves", async || dns::answers(vrata.ports().dns, &host, RecordType::A).await, |answers| !answers.is_empty()).await?;
    let address: IpAddr = answers[0].parse()?;
    let echoed = eventually("TCP answers", async || tcp_echo(SocketAddr::new(address, 5432), b"select 1").await, |_| true).await?;
    assert_eq!(echoed, b"select 1");
    let echoed = eventually("UDP answers", async || udp_echo(SocketAddr::new(address, 9125), b"up:1|c").await, |_| true).await?;
    assert_eq!(echoed, b"up:1|c");
    Ok(())
}

/// Sends everything, closes, and reads until the other side has closed too.
async fn tcp_echo(address: SocketAddr, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(bytes).await?;
    stream.shutdown().await?;
    let mut echoed = Vec::new();
    stream.read_to_end(&mut echoed).await?;
    anyhow::ensure!(!echoed.is_empty(), "closed without an answer");
    Ok(echoed)
}

async fn udp_echo(address: SocketAddr, bytes: &[u8]) -> Result<Vec<u8>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    socket.connect(address).await?;
    socket.send(bytes).await?;
    let mut buffer = vec![0; 2048];
    let length = tokio::time::timeout(std::time::Duration::from_secs(1), socket.recv(&mut buffer)).await??;
    buffer.truncate(length);
    Ok(buffer)
}
