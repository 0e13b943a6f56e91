//! Processor time of one HTTP/1.1 keep-alive request of 1 KiB, plain and over TLS 1.3, beside nginx and HAProxy.

use std::net::SocketAddr;

use anyhow::{Result, ensure};

use crate::client::Client;
use crate::origin::TOLD;
use crate::peers::{haproxy, nginx, vrata};
use crate::process::Server;
use crate::setting::{HOST, Setting};
use crate::table::{Table, median, median_ratio};
use crate::wrk::{self, Sample};

use super::in_turn::in_turn;

const ROUNDS: u32 = 9;

struct Candidate {
    name: &'static str,
    server: Server,
    plain: SocketAddr,
    tls: SocketAddr,
}

/// Measures all candidates.
pub(crate) fn run(setting: &Setting, seconds: u32) -> Result<Vec<Table>> {
    let candidates = start(setting)?;
    compare(&candidates)?;
    let mut tables = Vec::new();
    for (title, scheme) in [("HTTP/1.1 keep-alive, 1 KiB, plain", "http"), ("HTTP/1.1 keep-alive, 1 KiB, TLS 1.3", "https")] {
        tables.push(measure(&candidates, title, scheme, seconds)?);
    }
    Ok(tables)
}

fn start(setting: &Setting) -> Result<Vec<Candidate>> {
    let mut candidates = Vec::new();
    let peers = [("nginx", nginx::start as fn(&Setting, SocketAddr, SocketAddr) -> Result<Server>), ("HAProxy", haproxy::start)];
    for (name, start) in peers {
        let (plain, tls) = (ports::free(), ports::free());
        candidates.push(Candidate { name, server: start(setting, plain, tls)?, plain, tls });
    }
    let manifests = [("app.yaml", format!("{}---\n{}", vrata::backend("bench", "app", setting.origin), vrata::ingress("bench", "app", HOST, "app")))];
    let ours = vrata::start(setting, "vrata-http", &manifests, None)?;
    candidates.push(Candidate { name: "Vrata", server: ours.server, plain: ours.plain, tls: ours.tls });
    Ok(candidates)
}

/// That all of them do the same work: tell the origin the same fields.
fn compare(candidates: &[Candidate]) -> Result<()> {
    let told = |candidate: &Candidate| {
        let (status, names) = Client::connect(candidate.plain)?.post(HOST, TOLD, "{}").map(|(status, names)| (status, names.to_vec()))?;
        ensure!(status == 200, "{} answered {status} for {TOLD}", candidate.name);
        Ok(String::from_utf8_lossy(&names).into_owned())
    };
    let expected = told(&candidates[0])?;
    for candidate in &candidates[1..] {
        let told = told(candidate)?;
        ensure!(told == expected, "{} tells the origin\n{told}\nand {} tells it\n{expected}", candidate.name, candidates[0].name);
    }
    Ok(())
}

fn measure(candidates: &[Candidate], title: &str, scheme: &str, seconds: u32) -> Result<Table> {
    let samples = in_turn(ROUNDS, candidates, |candidate| {
        let address = if scheme == "http" { candidate.plain } else { candidate.tls };
        wrk::run(&candidate.server, &format!("{scheme}://{address}/"), HOST, seconds)
    })?;
    Ok(table(title, candidates, &samples))
}

fn table(title: &str, candidates: &[Candidate], samples: &[Vec<Sample>]) -> Table {
    let note = format!(
        "CPU time of the server's processes for one request, median of {ROUNDS} runs in turn; one core for the server, one for wrk -c{} and the origin.",
        wrk::CONNECTIONS
    );
    let mut table = Table::new(title, &note, &["server", "µs/request", "user", "system", "beside nginx", "requests/s"]);
    let of = |samples: &[Sample], value: fn(&Sample) -> f64| median(&samples.iter().map(value).collect::<Vec<_>>());
    let costs = |samples: &[Sample]| samples.iter().map(|sample| sample.cpu.total()).collect::<Vec<_>>();
    let nginx = costs(&samples[0]);
    for (candidate, own) in candidates.iter().zip(samples) {
        table.row([
            candidate.name.to_owned(),
            format!("{:.1}", median(&costs(own))),
            format!("{:.1}", of(own, |s| s.cpu.user)),
            format!("{:.1}", of(own, |s| s.cpu.system)),
            format!("{:.2}", median_ratio(&costs(own), &nginx)),
            format!("{:.0}", of(own, |s| s.rate)),
        ]);
    }
    table
}
