//! Headless Chromium, for what people look at, through its DevTools protocol.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::eventually;

/// Longest that a page may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a page was like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Its visible text.
    pub text: String,
    /// Width of its content and of the window, in pixels: more content than window has to be scrolled sideways.
    pub widths: (u64, u64),
    /// Everything that it asked for.
    pub requests: Vec<String>,
    /// What its console shows, and scripts that failed.
    pub console: Vec<String>,
}

/// Opens a page in a window of so many pixels.
///
/// # Errors
/// When Chromium is not installed, or does not show the page in time.
pub async fn open(url: &str, width: u32, height: u32, profile: &Path) -> Result<Page> {
    timeout(PATIENCE, load(url, width, height, profile)).await.context("the page is not there in time")?
}

async fn load(url: &str, width: u32, height: u32, profile: &Path) -> Result<Page> {
    let (_child, mut tab) = start(profile).await?;
    let size = json!({"width": width, "height": height, "deviceScaleFactor": 2, "mobile": width < 600});
    for (method, parameters) in [
        ("Network.enable", json!({})),
        ("Runtime.enable", json!({})),
        ("Log.enable", json!({})),
        ("Page.enable", json!({})),
        ("Emulation.setDeviceMetricsOverride", size),
        ("Page.navigate", json!({"url": url})),
    ] {
        tab.call(method, parameters).await?;
    }
    tab.event("Page.loadEventFired").await?;
    let seen = "JSON.stringify([document.body.innerText, document.documentElement.scrollWidth, window.innerWidth])";
    let answer = tab.call("Runtime.evaluate", json!({"expression": seen})).await?;
    let (text, content, window) = serde_json::from_str(answer["result"]["value"].as_str().context("the page tells nothing")?)?;
    Ok(Page { text, widths: (content, window), requests: tab.requests, console: tab.console })
}

/// Starts Chromium with an empty tab; it ends when the child is dropped.
async fn start(profile: &Path) -> Result<(Child, Tab)> {
    let mut command = Command::new("chromium");
    command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-port=0"]);
    command.arg(format!("--user-data-dir={}", profile.display())).arg("about:blank");
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().context("chromium cannot be run")?;
    let file = profile.join("DevToolsActivePort");
    let look = async || Ok(std::fs::read_to_string(&file)?);
    let told = eventually("Chromium can be asked", look, |told| told.lines().count() == 2).await?;
    let port: u16 = told.lines().next().unwrap_or_default().parse()?;
    let tabs = crate::Client::plain(([127, 0, 0, 1], port).into());
    let look = async || {
        let tabs: Value = serde_json::from_slice(&tabs.get(&format!("127.0.0.1:{port}"), "/json/list").await?.body)?;
        let tab = tabs.as_array().into_iter().flatten().find(|tab| tab["type"] == "page");
        Ok(tab.and_then(|tab| tab["webSocketDebuggerUrl"].as_str()).map(str::to_owned))
    };
    let url = eventually("there is a tab", look, Option::is_some).await?.context("no tab")?;
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let (socket, _) = tokio_tungstenite::client_async(url, stream).await?;
    Ok((child, Tab { socket, calls: 0, events: Vec::new(), requests: Vec::new(), console: Vec::new() }))
}

/// A tab that is talked to.
struct Tab {
    socket: WebSocketStream<TcpStream>,
    calls: u64,
    events: Vec<String>,
    requests: Vec<String>,
    console: Vec<String>,
}

impl Tab {
    async fn call(&mut self, method: &str, parameters: Value) -> Result<Value> {
        self.calls += 1;
        let id = self.calls;
        self.socket.send(Message::text(json!({"id": id, "method": method, "params": parameters}).to_string())).await?;
        loop {
            let message = self.next().await?;
            if message["id"] == id {
                if !message["error"].is_null() {
                    bail!("{method}: {}", message["error"]);
                }
                return Ok(message["result"].clone());
            }
        }
    }

    async fn event(&mut self, method: &str) -> Result<()> {
        while !self.events.iter().any(|event| event == method) {
            self.next().await?;
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Value> {
        let Some(message) = self.socket.next().await.transpose()? else { bail!("Chromium closed the connection") };
        let message: Value = serde_json::from_str(message.to_text()?)?;
        if let Some(method) = message["method"].as_str() {
            self.events.push(method.to_owned());
            let parameters = &message["params"];
            match method {
                "Network.requestWillBeSent" => self.requests.push(parameters["request"]["url"].as_str().unwrap_or_default().to_owned()),
                "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Log.entryAdded" => self.console.push(parameters.to_string()),
                _ => {}
            }
        }
        Ok(message)
    }
}
