//! DNS load by dnsperf, on the client's core, and what it reports.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{CLIENT_CORE, Server};

/// One measured run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    /// Queries answered.
    pub(crate) queries: u64,
    /// Queries a second.
    pub(crate) rate: f64,
    /// The server's processor time for one query, in microseconds.
    pub(crate) cpu: f64,
}

/// Sends the queries of a file for `seconds` and divides the processor time that `server` used by those it answered.
pub(crate) fn run(server: &Server, address: SocketAddr, queries: &Path, seconds: u32) -> Result<Sample> {
    let before = server.cpu()?;
    let output = Command::new("taskset")
        .args(["-c", CLIENT_CORE, "dnsperf", "-s", &address.ip().to_string(), "-p", &address.port().to_string(), "-d"])
        .arg(queries)
        .args(["-l", &seconds.to_string(), "-c", "16", "-T", "1", "-q", "200"])
        .output()
        .context("cannot start dnsperf; is it installed?")?;
    let used = server.cpu()? - before;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("dnsperf: {text}{}", String::from_utf8_lossy(&output.stderr));
    }
    let (queries, rate) = parse(&text).with_context(|| format!("dnsperf printed {text}"))?;
    #[allow(clippy::cast_precision_loss, reason = "far fewer than 2^52 queries")]
    Ok(Sample { queries, rate, cpu: used.total() / queries.max(1) as f64 })
}

/// Queries completed and rate; an error where more than one in a hundred was lost.
fn parse(text: &str) -> Result<(u64, f64)> {
    let field = |name: &str| -> Option<f64> {
        let rest = text.lines().find_map(|line| line.trim().strip_prefix(name))?;
        rest.split_ascii_whitespace().next()?.parse().ok()
    };
    let sent = field("Queries sent:").context("no number of queries sent")?;
    let completed = field("Queries completed:").context("no number of queries completed")?;
    if completed < sent * 0.99 {
        bail!("{completed} of {sent} queries were answered");
    }
    let rate = field("Queries per second:").context("no rate")?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count that dnsperf prints as a whole number")]
    Ok((completed as u64, rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_losses_is_read() {
        let text = "Statistics:\n\n  Queries sent:         1000\n  Queries completed:    998 (99.80%)\n  Queries lost:         2\n\n  Queries per second:   49900.5\n";
        assert_eq!(parse(text).ok(), Some((998, 49_900.5)));
        assert!(parse(&text.replace("998 (99.80%)", "900 (90.00%)")).is_err());
    }
}
