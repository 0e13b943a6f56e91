//! HTTP load by wrk, on the client's core, and what it reports.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{CLIENT_CORE, CpuTime, Server};

/// One measured run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    /// Requests answered.
    pub(crate) requests: u64,
    /// Requests a second.
    pub(crate) rate: f64,
    /// The server's processor time for one request, in microseconds.
    pub(crate) cpu: CpuTime,
}

/// Connections that are kept open.
pub(crate) const CONNECTIONS: u32 = 32;

/// Loads `url` for `seconds` and divides the processor time that `server` used by the requests it answered.
pub(crate) fn run(server: &Server, url: &str, host: &str, seconds: u32) -> Result<Sample> {
    let before = server.cpu()?;
    let output = Command::new("taskset")
        .args(["-c", CLIENT_CORE, "wrk", "-t1", &format!("-c{CONNECTIONS}"), &format!("-d{seconds}s"), "-H", &format!("Host: {host}"), url])
        .output()
        .context("cannot start wrk; is it installed?")?;
    let used = server.cpu()? - before;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("wrk {url}: {text}{}", String::from_utf8_lossy(&output.stderr));
    }
    let (requests, rate) = parse(&text).with_context(|| format!("wrk {url} printed {text}"))?;
    Ok(Sample { requests, rate, cpu: per_request(used, requests) })
}

pub(crate) fn per_request(used: CpuTime, requests: u64) -> CpuTime {
    #[allow(clippy::cast_precision_loss, reason = "far fewer than 2^52 requests")]
    let requests = requests.max(1) as f64;
    CpuTime { user: used.user / requests, system: used.system / requests }
}

/// Requests and rate; an error where an answer was not 2xx or a connection failed, for then the figure means nothing.
pub(crate) fn parse(text: &str) -> Result<(u64, f64)> {
    if let Some(bad) = text.lines().find(|line| line.contains("Non-2xx") || line.contains("Socket errors")) {
        bail!("not every request succeeded: {}", bad.trim());
    }
    let requests = text.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok()).context("no number of requests")?;
    let rate = text.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:")?.trim().parse().ok()).context("no rate")?;
    Ok((requests, rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_run_is_read_and_a_failed_one_is_no_figure() {
        let clean =
            "Running 1s test\n  1 threads and 32 connections\n  64321 requests in 1.10s, 80.01MB read\nRequests/sec:  58473.64\nTransfer/sec: 1MB\n";
        assert_eq!(parse(clean).ok(), Some((64_321, 58_473.64)));
        assert!(parse(&format!("{clean}  Non-2xx or 3xx responses: 7\n")).is_err());
        assert!(parse(&format!("  Socket errors: connect 0, read 1, write 0, timeout 0\n{clean}")).is_err());
        assert!(parse("").is_err());
    }
}
