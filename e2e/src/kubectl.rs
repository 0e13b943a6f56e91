//! `kubectl`, which is what people have.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::eventually;
use crate::shell::Printed;

/// Longest that one call may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The program, and the cluster that it speaks to.
#[derive(Debug, Clone)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

/// A running `kubectl proxy`.
#[derive(Debug)]
pub struct Proxy {
    _child: Child,
}

impl Kubectl {
    /// For the cluster of this kubeconfig.
    pub fn new(program: PathBuf, kubeconfig: PathBuf) -> Self {
        Self { program, kubeconfig }
    }

    /// Runs it; gives what it prints.
    ///
    /// # Errors
    /// When it fails, with what it says.
    pub async fn run(&self, args: &[&str]) -> Result<String> {
        self.with_input(args, "").await
    }

    /// Runs it with an input; gives what it says, whether it succeeds or not.
    ///
    /// # Errors
    /// When it does not come to an end.
    pub async fn says(&self, args: &[&str], input: &str) -> Result<Printed> {
        let mut command = Command::new(&self.program);
        command.args(args).env("KUBECONFIG", &self.kubeconfig).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{} cannot be run", self.program.display()))?;
        let mut stdin = child.stdin.take().context("it has an input")?;
        let talk = async {
            let write = async {
                // One that has failed reads no more; what it says is what counts.
                let _ = stdin.write_all(input.as_bytes()).await;
                drop(stdin);
            };
            tokio::join!(write, child.wait_with_output()).1
        };
        let output = timeout(PATIENCE, talk).await.with_context(|| format!("kubectl {}: no end in time", args.join(" ")))??;
        Ok(Printed::of(&output))
    }

    /// Offers the API server on a port of loopback, in plain HTTP and with the administrator's rights, until the handle is dropped.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn proxy(&self, port: u16) -> Result<Proxy> {
        let mut command = Command::new(&self.program);
        command.args(["proxy", &format!("--port={port}")]).env("KUBECONFIG", &self.kubeconfig).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("{} cannot be run", self.program.display()))?;
        Ok(Proxy { _child: child })
    }

    /// Applies manifests.
    ///
    /// # Errors
    /// When the API server does not take them.
    pub async fn apply(&self, manifests: &str) -> Result<()> {
        self.with_input(&["apply", "--server-side", "--force-conflicts", "-f", "-"], manifests).await.map(drop)
    }

    /// Deletes what manifests name, and waits until it is gone.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn delete(&self, manifests: &str) -> Result<()> {
        self.with_input(&["delete", "--ignore-not-found", "-f", "-"], manifests).await.map(drop)
    }

    /// An object.
    ///
    /// # Errors
    /// When there is none.
    pub async fn get(&self, kind: &str, namespace: &str, name: &str) -> Result<Value> {
        self.json(&["get", kind, "--namespace", namespace, name]).await
    }

    /// All objects of a kind in a namespace.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn list(&self, kind: &str, namespace: &str) -> Result<Vec<Value>> {
        let mut list = self.json(&["get", kind, "--namespace", namespace]).await?;
        Ok(list["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }

    /// An object, once it is as it should be.
    ///
    /// # Errors
    /// When that does not come about.
    pub async fn get_until(&self, what: &str, kind: &str, namespace: &str, name: &str, met: impl Fn(&Value) -> bool) -> Result<Value> {
        eventually(what, async || self.get(kind, namespace, name).await, met).await
    }

    async fn json(&self, args: &[&str]) -> Result<Value> {
        let text = self.run(&[args, &["--output", "json"]].concat()).await?;
        serde_json::from_str(&text).with_context(|| format!("kubectl {} printed no JSON:\n{text}", args.join(" ")))
    }

    async fn with_input(&self, args: &[&str], input: &str) -> Result<String> {
        let said = self.says(args, input).await?;
        if said.code != Some(0) {
            bail!("kubectl {}: {}\n{input}", args.join(" "), said.err.trim());
        }
        Ok(said.out)
    }
}
