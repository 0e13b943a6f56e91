//! Processor time of one DNS query over UDP beside Knot and NSD, with 100,000 and 1,000,000 names, for hits, misses and a mix.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::dnsperf::{self, Sample};
use crate::peers::{knot, nsd, vrata};
use crate::process::Server;
use crate::setting::{Setting, ZONE};
use crate::table::{Table, median};

use super::in_turn::in_turn;

const ROUNDS: u32 = 3;
const QUERIES: u32 = 200_000;
const MIXES: [(&str, u32); 3] = [("hits", 100), ("misses", 0), ("mixed, 90 % hits", 90)];

struct Candidate {
    name: &'static str,
    server: Server,
    address: SocketAddr,
}

/// Measures all candidates with zones of these sizes.
pub(crate) fn run(setting: &Setting, sizes: &[u32], seconds: u32) -> Result<Vec<Table>> {
    sizes.iter().map(|&size| measure(setting, size, seconds)).collect()
}

fn measure(setting: &Setting, size: u32, seconds: u32) -> Result<Table> {
    let zone = setting.directory.join(format!("zone-{size}"));
    fs::write(&zone, zone_file(size))?;
    let queries: Vec<PathBuf> = MIXES.iter().map(|(_, hits)| write_queries(setting, size, *hits)).collect::<Result<_>>()?;
    let candidates = start(setting, size, &zone)?;
    let memory: Vec<u64> = candidates.iter().map(|c| c.server.memory()).collect::<Result<_>>()?;
    let of_mix = |file: &PathBuf| in_turn(ROUNDS, &candidates, |candidate| dnsperf::run(&candidate.server, candidate.address, file, seconds));
    let samples = queries.iter().map(of_mix).collect::<Result<Vec<_>>>()?;
    Ok(table(size, &candidates, &samples, &memory))
}

fn start(setting: &Setting, size: u32, zone: &std::path::Path) -> Result<Vec<Candidate>> {
    let (knot, nsd) = (ports::free(), ports::free());
    let ours = vrata::start(setting, &format!("vrata-dns-{size}"), &[], Some(&zone.to_string_lossy()))?;
    Ok(vec![
        Candidate { name: "Knot", server: knot::start(setting, knot, zone)?, address: knot },
        Candidate { name: "NSD", server: nsd::start(setting, nsd, zone)?, address: nsd },
        Candidate { name: "Vrata", server: ours.server, address: ours.dns },
    ])
}

/// Of `samples` by mix and by candidate, each in the order of its list.
fn table(size: u32, candidates: &[Candidate], samples: &[Vec<Vec<Sample>>], memory: &[u64]) -> Table {
    let note =
        format!("CPU time of the server's processes for one UDP query, median of {ROUNDS} runs in turn; one core for the server, one for dnsperf.");
    let columns = [
        "server",
        "hits µs",
        "misses µs",
        "mixed µs",
        "beside Knot (hits / misses / mixed)",
        "misses beside hits",
        "queries/s (mixed)",
        "memory MiB",
    ];
    let mut table = Table::new(&format!("DNS, {size} names"), &note, &columns);
    let cpu = |samples: &[Sample]| median(&samples.iter().map(|s| s.cpu).collect::<Vec<_>>());
    for (index, (candidate, memory)) in candidates.iter().zip(memory).enumerate() {
        let own: Vec<&[Sample]> = samples.iter().map(|of_mix| &of_mix[index][..]).collect();
        let beside: Vec<String> = samples.iter().map(|of_mix| format!("{:.2}", cpu(&of_mix[index]) / cpu(&of_mix[0]))).collect();
        let rate = median(&own[2].iter().map(|s| s.rate).collect::<Vec<_>>());
        table.row([
            candidate.name.to_owned(),
            format!("{:.2}", cpu(own[0])),
            format!("{:.2}", cpu(own[1])),
            format!("{:.2}", cpu(own[2])),
            beside.join(" / "),
            format!("{:.2}", cpu(own[1]) / cpu(own[0])),
            format!("{rate:.0}"),
            (memory >> 20).to_string(),
        ]);
    }
    table
}

/// The zone: an address for each name.
fn zone_file(size: u32) -> String {
    let mut text = format!("$ORIGIN {ZONE}.\n$TTL 300\n@ SOA ns1 hostmaster 1 10800 3600 604800 60\n@ NS ns1\nns1 A 192.0.2.1\n");
    for n in 0..size {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "app-{n} A 192.0.{}.{}", n / 256 % 256, n % 256);
    }
    text
}

fn write_queries(setting: &Setting, size: u32, hits: u32) -> Result<PathBuf> {
    let mut random = StdRng::seed_from_u64(u64::from(size + hits));
    let mut text = String::new();
    for _ in 0..QUERIES {
        let n = random.random_range(0..size);
        let hit = random.random_range(0..100) < hits;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}-{n}.{ZONE} A", if hit { "app" } else { "none" });
    }
    let file = setting.directory.join(format!("queries-{size}-{hits}"));
    fs::write(&file, text)?;
    Ok(file)
}
