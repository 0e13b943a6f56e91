//! `vrata demo`: every command that it prints does what it says, as it is printed.

use anyhow::{Context, Result};
use e2e::shell::{Printed, sh};
use e2e::{Client, Demo, Pebble, Ports, eventually};
use tokio_tungstenite::tungstenite::Message;

use futures::{SinkExt, StreamExt};

const DOMAIN: &str = "dyn.cloud.e-infra.cz";

/// Each printed step by its first words, with what its command prints and its exit code.
const EXPECTED: [(&str, &[&str], i32); 11] = [
    ("The name follows", &["hello.dyn.cloud.e-infra.cz.", "127.0.0.1"], 0),
    ("A Service of type LoadBalancer", &["database.dyn.cloud.e-infra.cz.", "127.0.10."], 0),
    ("TCP and UDP", &["hello\nhello\n"], 0),
    ("An app over trusted HTTPS", &["Hello from behind Vrata.", "X-Scheme: https"], 0),
    ("An app behind a password", &["You are in"], 0),
    ("An upload", &["62914560 bytes received"], 0),
    // curl gives up after its second: the connection stays open, as it should.
    ("A WebSocket", &["101"], 28),
    ("Plain HTTP", &["308", "https://hello.dyn.cloud.e-infra.cz:"], 0),
    ("What a tenant is told", &["squatter", "thesis", "147.251.0.0/l6"], 1),
    ("Which object decides", &["hello/hello"], 0),
    ("What is served", &["hello.dyn.cloud.e-infra.cz", "squatter", "game"], 0),
];

fn command<'a>(demo: &'a Demo, what: &str) -> Result<&'a str> {
    let step = demo.steps().iter().find(|(said, _)| said.starts_with(what));
    Ok(&step.with_context(|| format!("no step {what:?} in {:?}", demo.steps()))?.1)
}

async fn status(line: &str) -> Result<Printed> {
    sh(&format!("{line} -s -o /dev/null -w '%{{http_version}} %{{http_code}}'")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_printed_command_shows_what_is_said() -> Result<()> {
    let demo = Demo::start(Ports::default(), &[]).await?;
    assert_eq!(demo.steps().len(), EXPECTED.len(), "{:?}", demo.steps());
    // The first command may come before the wildcard is signed; the others find everything there.
    let hello = command(&demo, "An app over")?;
    eventually("HTTPS is trusted", async || sh(hello).await, |printed| printed.code == Some(0)).await?;
    for (what, outputs, code) in EXPECTED {
        let line = command(&demo, what)?;
        let printed = sh(line).await?;
        assert_eq!(printed.code, Some(code), "{line}\n{printed:?}");
        for output in outputs {
            assert!(printed.out.contains(output), "{output:?} is not printed by {line}\n{printed:?}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_printed_commands_say_of_refusals_is_so() -> Result<()> {
    let demo = Demo::start(Ports::default(), &[]).await?;
    let hello = command(&demo, "An app over")?;
    eventually("HTTPS is trusted", async || sh(hello).await, |printed| printed.code == Some(0)).await?;
    let stranger = command(&demo, "An app behind a password")?.replace("-u 'alice:correct horse'", "");
    assert_eq!(status(&stranger).await?.out, "2 401");
    let wrong = command(&demo, "An app behind a password")?.replace("correct horse", "battery staple");
    assert_eq!(status(&wrong).await?.out, "2 401");
    let upload = command(&demo, "An upload")?;
    for (version, flag) in [("2", "--http2"), ("1.1", "--http1.1")] {
        let sized = |size: &str| format!("{} {flag}", upload.replace("60M", size));
        assert_eq!(status(&sized("60M")).await?.out, format!("{version} 200"));
        for size in ["65M", "200M"] {
            assert_eq!(status(&sized(size)).await?.out, format!("{version} 413"), "{size} of unknown length");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_body_that_is_too_large_is_413_in_both_versions() -> Result<()> {
    let demo = Demo::start(Ports::default(), &[]).await?;
    let hello = command(&demo, "An app over")?;
    eventually("HTTPS is trusted", async || sh(hello).await, |printed| printed.code == Some(0)).await?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("body");
    std::fs::File::create(&file)?.set_len(65 << 20)?;
    let (_, curl) = command(&demo, "An upload")?.split_once(" | ").context("a pipe")?;
    let curl = curl.replace("-T -", &format!("-T {}", file.display()));
    for (version, flag) in [("2", "--http2"), ("1.1", "--http1.1")] {
        for expect in ["", "-H Expect:"] {
            assert_eq!(status(&format!("{curl} {flag} {expect}")).await?.out, format!("{version} 413"), "{expect}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_acme_server_signs_for_the_demo() -> Result<()> {
    let ports = Ports::default();
    let pebble = Pebble::for_zone(ports, DOMAIN).await?;
    let (directory, ca) = (pebble.directory(), pebble.ca_file().display().to_string());
    let demo = Demo::start(ports, &["--acme-directory", &directory, "--acme-ca", &ca]).await?;
    let client = Client::trusting(demo.ports().https, &pebble.root().await?)?;
    let hello = format!("hello.{DOMAIN}");
    eventually("HTTPS is trusted", async || client.get(&hello, "/").await, |answer| answer.status == 200).await?;

    let mut socket = client.websocket(&format!("chat.{DOMAIN}"), "/").await?;
    socket.send(Message::text("are you there?")).await?;
    assert_eq!(socket.next().await.transpose()?, Some(Message::text("are you there?")));
    Ok(())
}
