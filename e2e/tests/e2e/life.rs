//! From start to stop: draining, restarting, and bodies that are larger than memory may grow.

use anyhow::Result;
use e2e::manifest::{App, Service};
use e2e::vrata::ZONE;
use e2e::{Backend, Client, Setup, Vrata, dns, eventually, shell};
use hickory_proto::rr::RecordType;
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_finishes_what_is_open_and_takes_nothing_new() -> Result<()> {
    let ((backend, gate), mut vrata) = (Backend::held().await?, Vrata::start(Setup::new()).await?);
    let host = format!("slow.{ZONE}");
    vrata.apply("slow.yaml", &App::new("slow", &host, backend.address()).manifest())?;
    vrata.get_until(&host, "/free", 200).await?;

    let mut idle = TcpStream::connect(vrata.ports().http).await?;
    let client = vrata.https()?;
    let open = tokio::spawn(async move { client.get(&host, "/held").await });
    gate.reached().await?;
    vrata.signal(Signal::SIGTERM)?;

    let admin = Client::plain(vrata.ports().admin);
    let ready = eventually("it is not ready any more", async || admin.get("localhost", "/readyz").await, |answer| answer.status != 200).await?;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("draining"), "{}", ready.text());
    let connect = async || Ok(TcpStream::connect(vrata.ports().https).await.is_err());
    eventually("nothing new is accepted", connect, |refused| *refused).await?;
    let mut rest = Vec::new();
    assert_eq!(idle.read_to_end(&mut rest).await?, 0, "an idle connection is closed");
    assert!(!open.is_finished(), "what is open is not cut off");

    gate.open();
    let answer = open.await??;
    assert_eq!((answer.status, answer.text().as_str()), (200, "late\n"));
    vrata.ended().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gigabyte_passes_each_way_in_little_memory() -> Result<()> {
    const GIB: u64 = 1 << 30;
    const BOUND_KIB: u64 = 32 << 10;
    let (backend, vrata) = (Backend::bulk().await?, Vrata::start(Setup::new()).await?);
    let host = format!("bulk.{ZONE}");
    vrata.apply("bulk.yaml", &App::new("bulk", &host, backend.address()).nginx("proxy-body-size", "0").manifest())?;
    vrata.get_until(&host, "/1", 200).await?;
    let directory = tempfile::tempdir()?;
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, vrata.ca_pem())?;
    let curl = |flags: &str| format!("curl -sS --fail {flags} --cacert {} --connect-to {host}::{}", ca.display(), vrata.ports().https);
    let before = vrata.peak_memory_kib()?;
    for flag in ["--http1.1", "--http2"] {
        let down = shell::sh(&format!("{} https://{host}/{GIB} | wc -c", curl(flag))).await?;
        assert_eq!(down.out.trim(), GIB.to_string(), "{down:?}");
        let up = shell::sh(&format!("head -c {GIB} /dev/zero | {} -T - https://{host}/", curl(flag))).await?;
        assert_eq!(up.out.trim(), GIB.to_string(), "{up:?}");
    }
    let grown = vrata.peak_memory_kib()? - before;
    assert!(grown < BOUND_KIB, "{grown} KiB more than before");
    Ok(())
}

/// Address of the Service `name` in the status.
fn address_of(status: &Value, name: &str) -> Option<String> {
    let services = status["addresses"].as_array()?;
    let service = services.iter().find(|service| service["name"] == name)?;
    Some(service["addresses"].get(0)?.as_str()?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_addresses_certificates_and_serials() -> Result<()> {
    let ((web, tcp), mut vrata) = ((Backend::http().await?, Backend::tcp().await?), Vrata::start(Setup::new()).await?);
    let host = format!("hello.{ZONE}");
    vrata.apply("hello.yaml", &App::new("hello", &host, web.address()).manifest())?;
    let service = |name: &str| Service::new(name, "lab").load_balancer().port(5432, "TCP", tcp.address()).manifest();
    for name in ["first", "second", "third"] {
        vrata.apply(&format!("{name}.yaml"), &service(name))?;
    }
    let all = |status: &Value| ["first", "second", "third"].map(|name| address_of(status, name));
    let status = eventually("all have an address", async || vrata.status().await, |status| all(status).iter().all(Option::is_some)).await?;
    // The hole that is left shows whether the others stay where they are.
    vrata.remove("first.yaml")?;
    let status = eventually("one is gone", async || vrata.status().await, |now| address_of(now, "first").is_none() && now != &status).await?;
    let certificate = vrata.get_until(&host, "/", 200).await?.certificate;
    let serial = dns::serial(vrata.ports().dns, ZONE).await?;
    for graceful in [false, true, false] {
        if graceful {
            vrata.stop_and_restart().await?;
        } else {
            vrata.kill_and_restart().await?;
        }
        assert_eq!(all(&vrata.status().await?), all(&status));
        assert_eq!(vrata.get(&host, "/").await?.certificate, certificate);
        assert_eq!(dns::serial(vrata.ports().dns, ZONE).await?, serial, "nothing changed, so the serial does not either");
    }
    let answers = dns::answers(vrata.ports().dns, &host, RecordType::A).await?;
    assert_eq!(answers, ["127.0.0.1"]);
    Ok(())
}
