//! Commands as people type them.

use std::ffi::OsString;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;
use tokio::time::timeout;

/// Longest that a command may take; debug builds move a gigabyte in this too.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a command printed, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Printed {
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// Exit code, unless a signal ended it.
    pub code: Option<i32>,
}

impl Printed {
    /// What a program that has ended left.
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { out: text(&output.stdout), err: text(&output.stderr), code: output.status.code() }
    }
}

/// Runs a line of `sh` in a directory, with these variables besides.
///
/// # Errors
/// When it does not come to an end.
pub async fn sh_in(directory: &Path, environment: &[(&str, OsString)], line: &str) -> Result<Printed> {
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(directory).envs(environment.iter().map(|(name, value)| (*name, value)));
    printed(&mut command).await.with_context(|| line.to_owned())
}

/// Runs a line of `sh`.
///
/// # Errors
/// When it does not come to an end.
pub async fn sh(line: &str) -> Result<Printed> {
    printed(Command::new("sh").args(["-c", line])).await.with_context(|| line.to_owned())
}

/// Runs a program.
///
/// # Errors
/// When it cannot be run or does not come to an end.
pub async fn run(program: &Path, args: &[&str]) -> Result<Printed> {
    printed(Command::new(program).args(args)).await
}

async fn printed(command: &mut Command) -> Result<Printed> {
    let output = timeout(PATIENCE, command.kill_on_drop(true).output()).await.context("no end in time")??;
    Ok(Printed::of(&output))
}
