//! Headless Chromium, for what people look at.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;
use tokio::time::timeout;

/// Longest that a page may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The page's document after its scripts have run.
///
/// # Errors
/// When Chromium is not installed, or does not come to an end.
pub async fn dom(url: &str, profile: &Path) -> Result<String> {
    let mut command = Command::new("chromium");
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--virtual-time-budget=5000", "--dump-dom"]);
    command.arg(format!("--user-data-dir={}", profile.display())).arg(url).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.context("Chromium does not come to an end")?.context("chromium cannot be run")?;
    if !output.status.success() {
        bail!("chromium: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
