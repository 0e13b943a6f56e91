//! Ten thousand Ingresses: compile time, memory, time from a changed file to the served host, and what a request costs beside a table of ten hosts.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::client::Client;
use crate::peers::vrata::{self, Vrata};
use crate::process::CLIENT_CORE;
use crate::setting::{Setting, ZONE};
use crate::table::{Table, median, median_ratio, quantile};
use crate::wrk;

use super::in_turn::in_turn;

const PER_NAMESPACE: u32 = 50;
const ROUNDS: u32 = 9;
/// Where its memory lies makes one process dearer than the next, by as much as is to be found out.
const PROCESSES: u32 = 4;
/// Between two questions whether a host is served: asking without a pause would take the core from what is measured.
const ASK_EVERY: Duration = Duration::from_micros(500);

/// Measures a table of `size` Ingresses, each with a host of its own.
pub(crate) fn run(setting: &Setting, size: u32, changes: u32, seconds: u32) -> Result<Vec<Table>> {
    let large = start(setting, "vrata-scale", size, Backends::EachNamespace, "")?;
    let mut table = Table::new(&format!("{size} Ingresses with {size} hosts"), &note(changes), &["what", "value"]);
    let (all, _) = compilations(&large)?;
    table.row(["full compile, at the start".into(), format!("{:.1} ms", all * 1e3)]);
    let (before, latencies) = (compilations(&large)?, latencies(&large, changes)?);
    let (time, count) = compilations(&large)?;
    table.row(["compile of a change, mean".into(), format!("{:.2} ms", (time - before.0) / (count - before.1) * 1e3)]);
    table.row(["memory (resident)".into(), format!("{} MiB", large.server.memory()? >> 20)]);
    table.row([format!("file written to host served, p50 of {changes}"), format!("{:.1} ms", quantile(&latencies, 0.5))]);
    table.row([format!("file written to host served, p99 of {changes}"), format!("{:.1} ms", quantile(&latencies, 0.99))]);
    let costs = request_costs(setting, large, size, seconds)?;
    let beside = |of: &[f64]| format!("{:.1} µs of CPU ({:+.1} %)", median(of), (median_ratio(of, &costs.few) - 1.0) * 100.0);
    table.row(["request with 10 hosts, one Service".into(), format!("{:.1} µs of CPU", median(&costs.few))]);
    table.row([format!("request with {size} hosts, one Service"), beside(&costs.many)]);
    table.row([format!("request with {size} hosts, {} Services", size.div_ceil(PER_NAMESPACE)), beside(&costs.spread)]);
    Ok(vec![table])
}

/// Which Services the hosts lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backends {
    /// One for all hosts, so that only the table differs.
    One,
    /// One in each namespace, as tenants have them: each with upstream connections of its own.
    EachNamespace,
}

fn note(changes: u32) -> String {
    format!(
        "One instance on one core. The times are wall clock: of {changes} changes of a host, each begun as soon as the one before is served, while a client \
         asks every {} µs. The cost of a request is its CPU time, hosts in turn, mean of {PROCESSES} \
         processes with one Service and of one with several, median of {ROUNDS} rounds in which each had its turn; what it is more than with 10 hosts is the \
         median of what it was in each round.",
        ASK_EVERY.as_micros()
    )
}

/// An instance with so many Ingresses, and more of the configuration.
pub(super) fn start(setting: &Setting, name: &str, size: u32, backends: Backends, more: &str) -> Result<Vrata> {
    let per_namespace = if backends == Backends::One { size } else { PER_NAMESPACE };
    let mut files = Vec::new();
    for namespace in 0..size.div_ceil(per_namespace) {
        let name = format!("ns-{namespace}");
        let mut text = vrata::backend(&name, "app", setting.origin);
        for n in (namespace * per_namespace)..((namespace + 1) * per_namespace).min(size) {
            let _ = write!(text, "---\n{}", vrata::ingress(&name, &format!("app-{n}"), &host(n), "app"));
        }
        files.push((format!("{name}.yaml"), text));
    }
    let manifests: Vec<(&str, String)> = files.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
    vrata::start_on(setting, name, &manifests, None, (ports::free(), ports::free()), more)
}

/// The host of Ingress `app-N`.
pub(super) fn host(n: u32) -> String {
    format!("app-{n}.{ZONE}")
}

/// Milliseconds from the file's appearance to the first good answer, for one new host after the other.
pub(super) fn latencies(vrata: &Vrata, changes: u32) -> Result<Vec<f64>> {
    let mut client = Client::connect(vrata.plain)?;
    let file = vrata.manifests.join("new.yaml");
    let mut latencies = Vec::new();
    for n in 0..changes {
        let host = format!("new-{n}.{ZONE}");
        replace(&file, &vrata::ingress("ns-0", "new", &host, "app"))?;
        let written = Instant::now();
        while client.get(&host)? != 200 {
            if client.closing {
                client = Client::connect(vrata.plain)?;
            }
            thread::sleep(ASK_EVERY);
            if written.elapsed() > Duration::from_secs(30) {
                bail!("{host} is not served after 30 s");
            }
        }
        latencies.push(written.elapsed().as_secs_f64() * 1e3);
    }
    Ok(latencies)
}

/// Replaces a file the way a careful editor does.
pub(crate) fn replace(file: &Path, content: &str) -> Result<()> {
    let temporary = file.with_extension("tmp");
    fs::write(&temporary, content)?;
    Ok(fs::rename(temporary, file)?)
}

/// Seconds of all compilations so far, and how many there were, as the program itself reports them.
fn compilations(vrata: &Vrata) -> Result<(f64, f64)> {
    let metrics = vrata.ask("/metrics")?.1;
    let value = |name: &str| -> Option<f64> { metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()) };
    let (sum, count) = (value("vrata_compile_duration_seconds_sum"), value("vrata_compile_duration_seconds_count"));
    Ok((sum.context("no compile time in /metrics")?, count.context("no compile count in /metrics")?))
}

/// Microseconds of CPU for a request to hosts in turn, in each round.
struct Costs {
    /// Few hosts of one Service.
    few: Vec<f64>,
    /// Many hosts of one Service.
    many: Vec<f64>,
    /// Many hosts with a Service in each namespace.
    spread: Vec<f64>,
}

fn request_costs(setting: &Setting, spread: Vrata, size: u32, seconds: u32) -> Result<Costs> {
    let (few, many) = (script(setting, 10)?, script(setting, size)?);
    let mut candidates = vec![(spread, &many)];
    for at in 0..PROCESSES {
        for (size, script) in [(10, &few), (size, &many)] {
            candidates.push((start(setting, &format!("vrata-scale-{size}-{at}"), size, Backends::One, "")?, script));
        }
    }
    let samples = in_turn(ROUNDS, &candidates, |(vrata, script)| cost(vrata, script, seconds))?;
    let (spread, one) = samples.split_first().context("nothing was measured")?;
    let of = |first: usize| means(&one.iter().skip(first).step_by(2).collect::<Vec<_>>());
    Ok(Costs { few: of(0), many: of(1), spread: spread.clone() })
}

/// The mean of all in each round.
fn means(samples: &[&Vec<f64>]) -> Vec<f64> {
    let rounds = samples.first().map_or(0, |first| first.len());
    (0..rounds).map(|round| samples.iter().map(|of| of[round]).sum::<f64>() / samples.len() as f64).collect()
}

/// A wrk script that asks for the hosts in turn.
fn script(setting: &Setting, hosts: u32) -> Result<PathBuf> {
    let text = format!(
        "local requests, at = {{}}, 0
init = function()
  for n = 0, {last} do requests[n] = wrk.format('GET', '/', {{Host = 'app-' .. n .. '.{ZONE}'}}) end
end
request = function() at = (at + 7919) % {hosts}; return requests[at] end
",
        last = hosts - 1,
    );
    let file = setting.directory.join(format!("hosts-{hosts}.lua"));
    fs::write(&file, text)?;
    Ok(file)
}

fn cost(vrata: &Vrata, script: &Path, seconds: u32) -> Result<f64> {
    let before = vrata.server.cpu()?;
    let output = Command::new("taskset")
        .args(["-c", CLIENT_CORE, "wrk", "-t1", &format!("-c{}", wrk::CONNECTIONS), &format!("-d{seconds}s"), "-s"])
        .arg(script)
        .arg(format!("http://{}/", vrata.plain))
        .output()?;
    let used = vrata.server.cpu()? - before;
    let (requests, _) = wrk::parse(&String::from_utf8_lossy(&output.stdout))?;
    Ok(wrk::per_request(used, requests).total())
}
