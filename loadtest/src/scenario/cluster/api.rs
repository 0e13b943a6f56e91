//! The API server as `kubectl proxy` offers it, for more requests a second than one `kubectl` each could make.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use e2e::kubectl::Proxy;
use e2e::{Client, Lab, eventually};
use http::Method;
use serde_json::Value;

/// Free in the cluster's own network.
const PORT: u16 = 8001;

/// The API server.
pub(super) struct Api {
    client: Client,
    _proxy: Proxy,
}

impl Api {
    pub(super) async fn start(lab: &Lab) -> Result<Self> {
        let proxy = lab.kubectl().proxy(PORT)?;
        let client = Client::plain(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)));
        eventually("kubectl proxy answers", async || client.get("localhost", "/version").await, |answer| answer.status == 200).await?;
        Ok(Self { client, _proxy: proxy })
    }

    /// Creates an object below a path such as `/api/v1/namespaces/a/services`.
    pub(super) async fn create(&self, path: &str, object: &Value) -> Result<()> {
        let client = self.client.clone().header("content-type", "application/json");
        let answer = client.send(Method::POST, "localhost", path, Bytes::from(object.to_string())).await?;
        ensure!(answer.status == 201, "POST {path}: {}: {}", answer.status, answer.text());
        Ok(())
    }

    /// Merges into an object; gives the moments before it was asked for and after it was answered.
    pub(super) async fn patch(&self, path: &str, change: &Value) -> Result<(Instant, Instant)> {
        let client = self.client.clone().header("content-type", "application/merge-patch+json");
        let asked = Instant::now();
        let answer = client.send(Method::PATCH, "localhost", path, Bytes::from(change.to_string())).await?;
        ensure!(answer.status == 200, "PATCH {path}: {}: {}", answer.status, answer.text());
        Ok((asked, Instant::now()))
    }

    /// Reads an object.
    pub(super) async fn get(&self, path: &str) -> Result<Value> {
        let answer = self.client.get("localhost", path).await?;
        if answer.status != 200 {
            bail!("GET {path}: {}: {}", answer.status, answer.text());
        }
        Ok(serde_json::from_slice(&answer.body)?)
    }
}
