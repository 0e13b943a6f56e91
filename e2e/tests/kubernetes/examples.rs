//! The install in three commands that the README promises, and everything in `examples/` applied through it. In a cluster Kubernetes writes the EndpointSlices, so
//! those of the examples are left out, and pods stand where the demo has its apps.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use e2e::demo::EXAMPLES;
use e2e::lab::{Lab, commands, install::PUBLIC};
use e2e::shell::sh;
use e2e::{Client, Kubectl, dns, eventually};
use futures::{SinkExt, StreamExt};
use http::Method;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

use super::load_balancer::{tcp, udp};

const ZONE: &str = "dyn.cloud.e-infra.cz";

/// The namespaces of the examples, and what runs there: the label that the Service selects, and what its pod listens on.
const APPS: [(&str, &str, &str); 6] = [
    ("hello", "hello", "http:18081"),
    ("chat", "chat", "websocket:18082"),
    ("private", "private", "http:18083"),
    ("upload", "upload", "bulk:18084"),
    ("lab", "database", "tcp:18085"),
    ("lab", "telemetry", "udp:18086"),
];

/// A pod of the image `echo`.
fn pod((namespace, app, listener): (&str, &str, &str)) -> String {
    let port = listener.split(':').nth(1).unwrap_or_default();
    let probe = if listener.starts_with("udp") { String::new() } else { format!("readinessProbe: {{tcpSocket: {{port: {port}}}}}") };
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {app}, namespace: {namespace}, labels: {{app: {app}}}}}\nspec:\n  terminationGracePeriodSeconds: 0\n  \
         containers:\n    - name: app\n      image: registry.example/echo:test\n      args: [\"{listener}\"]\n      {probe}\n"
    )
}

fn namespace(name: &str) -> String {
    format!("---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n")
}

/// Files of the examples but the mistakes, without EndpointSlices.
fn examples() -> Result<String> {
    let mut text = String::new();
    for file in std::fs::read_dir(EXAMPLES)? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") && path.file_stem().is_some_and(|stem| stem != "mistakes") {
            text += &without_endpoints(&path)?;
        }
    }
    Ok(text)
}

fn without_endpoints(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path)?;
    let documents = text.split("\n---").filter(|document| !document.contains("\nkind: EndpointSlice"));
    Ok(documents.fold(String::new(), |all, document| all + document.trim() + "\n---\n"))
}

#[test]
fn what_is_installed_by_three_commands_serves_the_examples() -> Result<()> {
    Lab::start()?.run(async |lab| {
        let [image, _, _] = commands::of_the_readme()?;
        ensure!(image.starts_with("docker build -f deploy/Dockerfile "), "{image}");
        let (kubectl, vrata) = (lab.kubectl(), commands::install(lab).await?);
        let namespaces = APPS.iter().map(|(name, _, _)| namespace(name)).collect::<String>();
        kubectl.apply(&(namespaces + &APPS.map(pod).concat())).await?;
        kubectl.apply(&examples()?).await?;

        let https = vrata.https()?;
        hello(&https).await?;
        chat(&https).await?;
        private(&https).await?;
        upload(&https, vrata.ca_pem()).await?;
        database_and_telemetry(&kubectl, vrata.dns()).await?;
        mistakes(&kubectl).await?;
        hello(&https).await
    })
}

async fn hello(https: &Client) -> Result<()> {
    let host = format!("hello.{ZONE}");
    let answer = eventually("HTTPS is trusted", async || https.get(&host, "/there").await, |answer| answer.status == 200).await?;
    ensure!(answer.text().starts_with("GET /there\n"), "{}", answer.text());
    let plain = Client::plain(SocketAddr::new(PUBLIC, 80)).get(&host, "/there").await?;
    ensure!((plain.status, plain.header("location")) == (308, &format!("https://{host}/there")), "{plain:?}");
    Ok(())
}

async fn chat(https: &Client) -> Result<()> {
    let mut socket = eventually("the WebSocket opens", async || https.websocket(&format!("chat.{ZONE}"), "/").await, |_| true).await?;
    socket.send(Message::text("hello")).await?;
    let back = socket.next().await.context("an answer")??;
    ensure!(back == Message::text("hello"), "{back:?}");
    Ok(())
}

async fn private(https: &Client) -> Result<()> {
    let host = format!("private.{ZONE}");
    eventually("it asks for a password", async || https.get(&host, "/").await, |answer| answer.status == 401).await?;
    let known = https.clone().header("authorization", &format!("Basic {}", BASE64_STANDARD.encode("alice:correct horse")));
    eventually("who has it passes", async || known.get(&host, "/").await, |answer| answer.status == 200).await?;
    Ok(())
}

async fn upload(https: &Client, ca_pem: &str) -> Result<()> {
    let host = format!("upload.{ZONE}");
    let send = async |bytes: usize| https.send(Method::PUT, &host, "/file", Bytes::from(vec![0; bytes])).await;
    let answer = eventually("an upload arrives", async || send(8 << 20).await, |answer| answer.status == 200).await?;
    ensure!(answer.text() == (8 << 20).to_string(), "{}", answer.text());
    let root = tempfile::NamedTempFile::new()?;
    std::fs::write(root.path(), ca_pem)?;
    let curl = format!("curl --cacert {} --resolve {host}:443:{PUBLIC} -sSo /dev/null -w '%{{http_code}}'", root.path().display());
    let said = sh(&format!("head -c 65M /dev/zero | {curl} -T - https://{host}/file")).await?;
    ensure!(said.out == "413", "{said:?}");
    Ok(())
}

async fn database_and_telemetry(kubectl: &Kubectl, server: SocketAddr) -> Result<()> {
    let ip = |service: &Value| service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str().map(str::to_owned);
    let mut addresses = Vec::new();
    for name in ["database", "telemetry"] {
        let service = kubectl.get_until("it has an address", "service", "lab", name, |service| ip(service).is_some()).await?;
        let address = ip(&service).context("an address")?;
        let asked = async || dns::dig(server, &[&format!("{name}.{ZONE}")]).await;
        eventually("it has its name", asked, |answer| *answer == address).await?;
        addresses.push(address);
    }
    ensure!(addresses[0] == addresses[1], "they share an address: {addresses:?}");
    let at = |port: u16| anyhow::Ok(SocketAddr::new(addresses[0].parse()?, port));
    let (database, telemetry) = (at(5432)?, at(9125)?);
    eventually("TCP is forwarded", async || tcp(database).await, |back| back == b"hello").await?;
    eventually("UDP is forwarded", async || udp(telemetry).await, |back| back == b"hello").await?;
    let ready = |certificate: &Value| certificate["status"]["conditions"][0]["status"] == "True";
    kubectl.get_until("the Certificate is ready", "certificate", "lab", "database", ready).await?;
    let secret = kubectl.get("secret", "lab", "database-tls").await?;
    ensure!(secret["type"] == "kubernetes.io/tls", "{}", secret["type"]);
    Ok(())
}

/// None of them is let in, and each says why.
async fn mistakes(kubectl: &Kubectl) -> Result<()> {
    kubectl.apply(&namespace("student")).await?;
    let text = without_endpoints(&Path::new(EXAMPLES).join("mistakes.yaml"))?;
    let said = kubectl.says(&["apply", "--server-side", "-f", "-"], &text).await?;
    let refusals = said.err.matches("denied the request").count();
    ensure!(said.code != Some(0) && refusals == 3, "{said:?}");
    for words in ["is held by another namespace", "147.251.0.0/l6", "configuration-snippet", "defualt"] {
        ensure!(said.err.contains(words), "{words} is not in {}", said.err);
    }
    ensure!(kubectl.list("ingress", "student").await?.is_empty(), "nothing of it is stored");
    Ok(())
}
