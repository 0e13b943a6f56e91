//! A thousand configuration swaps under load: requests that failed and WebSockets that dropped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use tokio_tungstenite::tungstenite::{self, Message};

use super::scale::replace;
use crate::client::{Client, tcp};
use crate::peers::vrata::{self, Vrata};
use crate::setting::{HOST, Setting, ZONE};
use crate::table::Table;

const REQUESTERS: usize = 8;
const WEBSOCKETS: usize = 8;

/// What the load saw.
#[derive(Debug, Default)]
struct Tally {
    stop: AtomicBool,
    requests: AtomicU64,
    failed: AtomicU64,
    messages: AtomicU64,
    dropped: AtomicU64,
}

/// Swaps `swaps` times while requests and WebSocket messages go on.
pub(crate) fn run(setting: &Setting, swaps: u32) -> Result<Vec<Table>> {
    let manifests = [("app.yaml", format!("{}---\n{}", vrata::backend("bench", "app", setting.origin), vrata::ingress("bench", "app", HOST, "app")))];
    let vrata = vrata::start(setting, "vrata-swaps", &manifests, None)?;
    let tally = Arc::new(Tally::default());
    let mut load = Vec::new();
    for _ in 0..REQUESTERS {
        load.push(spawn(&tally, vrata.plain, requests));
    }
    for _ in 0..WEBSOCKETS {
        load.push(spawn(&tally, vrata.plain, messages));
    }
    let started = Instant::now();
    let swapped = swap(&vrata, swaps);
    let took = started.elapsed();
    tally.stop.store(true, Ordering::Relaxed);
    for thread in load {
        thread.join().map_err(|_| anyhow::anyhow!("a load thread panicked"))?;
    }
    swapped?;
    let read = |value: &AtomicU64| value.load(Ordering::Relaxed).to_string();
    let note =
        format!("{REQUESTERS} kept-alive connections and {WEBSOCKETS} WebSockets without pause while a manifest changes {swaps} times ({took:.0?}).");
    let mut table =
        Table::new(&format!("{swaps} configuration swaps under load"), &note, &["requests", "failed", "WebSocket messages", "WebSockets dropped"]);
    table.row([read(&tally.requests), read(&tally.failed), read(&tally.messages), read(&tally.dropped)]);
    Ok(vec![table])
}

fn spawn(tally: &Arc<Tally>, gateway: SocketAddr, load: fn(&Tally, SocketAddr) -> Result<()>) -> thread::JoinHandle<()> {
    let tally = tally.clone();
    thread::spawn(move || {
        while !tally.stop.load(Ordering::Relaxed) {
            // Each failure is counted where it happens; then the load goes on with a new connection.
            let _ = load(&tally, gateway);
        }
    })
}

fn requests(tally: &Tally, gateway: SocketAddr) -> Result<()> {
    let failed = || tally.failed.fetch_add(1, Ordering::Relaxed);
    let mut client = Client::connect(gateway).inspect_err(|_| _ = failed())?;
    // A connection that the gateway says it closes is no failure; one that it closes without a word is.
    while !client.closing && !tally.stop.load(Ordering::Relaxed) {
        let status = client.get(HOST).inspect_err(|_| _ = failed())?;
        tally.requests.fetch_add(1, Ordering::Relaxed);
        if status != 200 {
            failed();
        }
    }
    Ok(())
}

fn messages(tally: &Tally, gateway: SocketAddr) -> Result<()> {
    let dropped = || tally.dropped.fetch_add(1, Ordering::Relaxed);
    let (mut socket, _) = tungstenite::client(format!("ws://{HOST}/"), tcp(gateway)?).map_err(|_| {
        dropped();
        anyhow::anyhow!("no WebSocket")
    })?;
    while !tally.stop.load(Ordering::Relaxed) {
        socket.send(Message::text("ping")).and_then(|()| socket.read()).inspect_err(|_| _ = dropped())?;
        tally.messages.fetch_add(1, Ordering::Relaxed);
    }
    Ok(socket.close(None)?)
}

/// Changes a manifest and waits for the swap, again and again.
fn swap(vrata: &Vrata, swaps: u32) -> Result<()> {
    let file = vrata.manifests.join("other.yaml");
    let mut generation = generation(vrata, None)?;
    for n in 0..swaps {
        replace(&file, &vrata::ingress("bench", "other", &format!("other-{n}.{ZONE}"), "app"))?;
        generation = self::generation(vrata, Some(generation)).with_context(|| format!("swap {n}"))?;
    }
    Ok(())
}

/// The generation, once it is greater than `after`.
fn generation(vrata: &Vrata, after: Option<u64>) -> Result<u64> {
    let query = after.map(|n| format!("?wait={n}&timeout=10s")).unwrap_or_default();
    let status: serde_json::Value = serde_json::from_str(&vrata.ask(&format!("/api/v1/status{query}"))?.1)?;
    let generation = status["generation"].as_u64().context("a status without generation")?;
    anyhow::ensure!(after.is_none_or(|after| generation > after), "no swap within 10 s");
    Ok(generation)
}
