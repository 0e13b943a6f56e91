//! Services of type LoadBalancer.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use e2e::lab::install::{self, NAMESPACE, Options, ZONE};
use e2e::lab::{Lab, app};
use e2e::{dns, eventually};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// What a Service tells of its addresses.
fn condition(service: &Value) -> Option<&Value> {
    service["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == "vrata.io/AddressAllocated")
}

pub(super) async fn tcp(address: SocketAddr) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"hello").await?;
    stream.shutdown().await?;
    let mut back = Vec::new();
    stream.read_to_end(&mut back).await?;
    Ok(back)
}

pub(super) async fn udp(address: SocketAddr) -> Result<Vec<u8>> {
    let (socket, mut back) = (UdpSocket::bind("0.0.0.0:0").await?, [0; 16]);
    socket.send_to(b"hello", address).await?;
    let length = tokio::time::timeout(std::time::Duration::from_secs(1), socket.recv(&mut back)).await??;
    Ok(back[..length].to_vec())
}

#[test]
fn an_address_is_allocated_named_served_and_kept() -> Result<()> {
    Lab::start()?.run(async |lab| {
        let (kubectl, vrata) = (lab.kubectl(), install::vrata(lab, Options::default()).await?);
        let host = format!("db.{ZONE}");
        let entry = |service: &Value| service["status"]["loadBalancer"]["ingress"][0].clone();
        kubectl.apply(&(app::echo("db") + &app::load_balancer("db", "db", &host))).await?;
        let service = kubectl.get_until("it has an address", "service", "db", "db", |service| entry(service)["ip"].is_string()).await?;
        let address: IpAddr = entry(&service)["ip"].as_str().context("no address")?.parse()?;
        assert_eq!(entry(&service)["ipMode"], "Proxy");
        let ports = json!([{"port": 5432, "protocol": "TCP"}, {"port": 5432, "protocol": "UDP"}]);
        assert_eq!(entry(&service)["ports"], ports);
        let allocated = |service: &Value| condition(service).map(|told| (told["status"] == "True", told["reason"].clone()));
        assert_eq!(allocated(&service), Some((true, json!("Allocated"))));
        eventually("DNS answers", async || dns::dig(vrata.dns(), &[&host]).await, |answer| *answer == address.to_string()).await?;
        let at = SocketAddr::new(address, 5432);
        eventually("TCP is forwarded", async || tcp(at).await, |back| back == b"hello").await?;
        eventually("UDP is forwarded", async || udp(at).await, |back| back == b"hello").await?;

        // Killed and started again in its pod, and as another pod: the status is what is remembered.
        let [replica] = vrata.ready(lab, 1).await?.try_into().unwrap();
        lab.signal(&replica, Signal::SIGKILL)?;
        eventually("it runs again", async || vrata.replicas(lab).await, |now| now.iter().any(|now| now.ready && now.process != replica.process))
            .await?;
        eventually("TCP is forwarded again", async || tcp(at).await, |back| back == b"hello").await?;
        kubectl.run(&["delete", "pod", &replica.name, "--namespace", NAMESPACE]).await?;
        vrata.ready(lab, 1).await?;
        eventually("TCP is forwarded by another", async || tcp(at).await, |back| back == b"hello").await?;
        let now = kubectl.get("service", "db", "db").await?;
        assert_eq!(now["metadata"]["resourceVersion"], service["metadata"]["resourceVersion"]);

        kubectl
            .run(&[
                "patch",
                "service",
                "db",
                "--namespace",
                "db",
                "--type=json",
                "-p",
                r#"[{"op":"replace","path":"/spec/type","value":"ClusterIP"}]"#,
            ])
            .await?;
        eventually("the name is gone", async || dns::dig(vrata.dns(), &[&host]).await, String::is_empty).await?;
        kubectl.get_until("the condition is given up", "service", "db", "db", |service| condition(service).is_none()).await?;

        let other = app::load_balancer("db", "other", &format!("other.{ZONE}")).replace("address-pool: privmuni", "address-pool: gone");
        kubectl.apply(&other).await?;
        let refused = Some((false, json!("AddressNotAllowed")));
        let service = kubectl.get_until("it tells why not", "service", "db", "other", |service| allocated(service) == refused).await?;
        assert!(condition(&service).is_some_and(|told| told["message"].to_string().contains("there is no pool")), "{service}");
        Ok(())
    })
}
