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

#[test]
fn an_address_that_another_controller_writes_over_is_kept_served_and_told() -> Result<()> {
    Lab::start()?.run(async |lab| {
        let (kubectl, vrata) = (lab.kubectl(), install::vrata(lab, Options::default()).await?);
        let host = format!("db.{ZONE}");
        let ip = |service: &Value| service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str().map(str::to_owned);
        kubectl.apply(&(app::echo("db") + &app::load_balancer("db", "db", &host))).await?;
        let service = kubectl.get_until("it has an address", "service", "db", "db", |service| ip(service).is_some()).await?;
        let address: IpAddr = ip(&service).context("no address")?.parse()?;
        let at = SocketAddr::new(address, 5432);
        eventually("TCP is forwarded", async || tcp(at).await, |back| back == b"hello").await?;

        let status = |ingress: &str| format!("{{\"status\":{{\"loadBalancer\":{ingress}}}}}");
        let foreign = status(r#"{"ingress":[{"ip":"203.0.113.9"}]}"#);
        let patch = async |status: &str| {
            let manager = "--field-manager=cloud-controller";
            kubectl.run(&["-n", "db", "patch", "service", "db", "--subresource=status", "--type=merge", manager, "-p", status]).await
        };
        patch(&foreign).await?;
        let says = format!("{address}; served here, although cloud-controller writes status.loadBalancer.ingress");
        let told = |service: &Value| condition(service).is_some_and(|told| told["status"] == "True" && told["message"] == says.as_str());
        let service = kubectl.get_until("the condition tells", "service", "db", "db", told).await?;
        assert_eq!(ip(&service).as_deref(), Some("203.0.113.9"), "nobody is fought");
        assert_eq!((tcp(at).await?, dns::dig(vrata.dns(), &[&host]).await?), (b"hello".to_vec(), address.to_string()));

        // Who asks for it hears who has it; so does a program that starts afresh.
        let ask = |name: &str| {
            app::load_balancer("db", name, &format!("{name}.{ZONE}")).replace("address-pool: privmuni", &format!("loadBalancerIPs: {address}"))
        };
        let taken = format!("the address {address} is held by Service db/db");
        let refused = |service: &Value| condition(service).is_some_and(|told| told["message"].to_string().contains(&taken));
        kubectl.apply(&ask("asks")).await?;
        kubectl.get_until("it is refused", "service", "db", "asks", refused).await?;
        let [replica] = vrata.ready(lab, 1).await?.try_into().unwrap();
        kubectl.run(&["delete", "pod", &replica.name, "--namespace", NAMESPACE]).await?;
        vrata.ready(lab, 1).await?;
        eventually("TCP is forwarded by another", async || tcp(at).await, |back| back == b"hello").await?;
        kubectl.apply(&ask("asks-later")).await?;
        kubectl.get_until("it is refused too", "service", "db", "asks-later", refused).await?;

        patch(&status("null")).await?;
        let ours = |service: &Value| ip(service) == Some(address.to_string()) && condition(service).is_some_and(|told| told["reason"] == "Allocated");
        kubectl.get_until("the status is ours again", "service", "db", "db", ours).await.map(drop)
    })
}
