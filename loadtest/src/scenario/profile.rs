//! Where the processor time of a plain HTTP request goes: samples of `perf` while wrk loads the gateway, summed by whose code they fell into.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::peers::vrata;
use crate::setting::{HOST, Setting};
use crate::table::Table;
use crate::wrk;

/// Longest list of single functions.
const TOP: usize = 12;

/// Whose code it is, by what a symbol's name begins with after `<`, `&` and the like; the first that fits. What the compiler put into its caller counts as
/// the caller's.
const OWNERS: [(&str, &[&str]); 6] = [
    ("Pingora", &["pingora"]),
    ("Vrata", &["gateway::", "controller::", "vrata"]),
    ("tokio", &["tokio", "mio::"]),
    ("allocator", &["mi_", "_mi_", "__rust_alloc", "__rustc"]),
    ("HTTP types and parsing", &["http::", "httparse", "bytes::", "h2::"]),
    ("Rust's standard library", &["core::", "alloc::", "std::", "hashbrown"]),
];

/// One function's share of the samples.
#[derive(Debug, Clone, PartialEq)]
struct Share {
    percent: f64,
    /// The file it is from: the kernel, a library, the program.
    object: String,
    symbol: String,
}

/// Profiles for `seconds`.
pub(crate) fn run(setting: &Setting, seconds: u32) -> Result<Vec<Table>> {
    let manifests = [("app.yaml", format!("{}---\n{}", vrata::backend("bench", "app", setting.origin), vrata::ingress("bench", "app", HOST, "app")))];
    let vrata = vrata::start(setting, "vrata-profile", &manifests, None)?;
    let url = format!("http://{}/", vrata.plain);
    wrk::run(&vrata.server, &url, HOST, 1)?;
    let samples = setting.directory.join("perf.data");
    let record = ["record", "-F", "1999", "-p", &vrata.server.id().to_string(), "-o"].map(str::to_owned);
    let mut perf =
        Command::new("perf").args(record).arg(&samples).args(["--", "sleep", &seconds.to_string()]).spawn().context("cannot start perf")?;
    let loaded = wrk::run(&vrata.server, &url, HOST, seconds);
    let recorded = perf.wait()?;
    loaded?;
    if !recorded.success() {
        bail!("perf record {recorded}; it needs kernel.perf_event_paranoid of at most 1, or root");
    }
    let shares = report(&samples)?;
    Ok(vec![by_owner(&shares), by_function(&shares)])
}

fn report(samples: &Path) -> Result<Vec<Share>> {
    let output = Command::new("perf").args(["report", "--stdio", "--sort", "dso,symbol", "-t", "\t", "-i"]).arg(samples).output()?;
    let shares: Vec<Share> = String::from_utf8_lossy(&output.stdout).lines().filter_map(share).collect();
    if shares.is_empty() {
        bail!("perf report found no samples: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(shares)
}

/// A line of perf's report: share, object, symbol.
fn share(line: &str) -> Option<Share> {
    let mut fields = line.split('\t').map(str::trim);
    let percent = fields.next()?.trim_end_matches('%').parse().ok()?;
    let (object, symbol) = (fields.next()?, fields.next()?);
    // `[.]` and `[k]` say which side of the system call it is on.
    let symbol = symbol.strip_prefix("[.] ").or_else(|| symbol.strip_prefix("[k] ")).unwrap_or(symbol);
    Some(Share { percent, object: object.to_owned(), symbol: symbol.to_owned() })
}

fn owner(share: &Share) -> &'static str {
    if share.object.starts_with('[') {
        return "kernel";
    }
    if share.object.contains(".so") {
        return "libc";
    }
    let name = share.symbol.trim_start_matches(|c: char| !c.is_alphanumeric() && c != '_').trim_start_matches("mut ");
    OWNERS.iter().find(|(_, starts)| starts.iter().any(|start| name.starts_with(start))).map_or("other libraries", |(owner, _)| owner)
}

fn by_owner(shares: &[Share]) -> Table {
    let mut totals: Vec<(&str, f64)> = Vec::new();
    for share in shares {
        match totals.iter_mut().find(|(name, _)| *name == owner(share)) {
            Some((_, total)) => *total += share.percent,
            None => totals.push((owner(share), share.percent)),
        }
    }
    totals.sort_by(|a, b| b.1.total_cmp(&a.1));
    let note = "HTTP/1.1 keep-alive, 1 KiB, plain: share of perf's samples by whose code they fell into (inlined code counts as its caller's).";
    let mut table = Table::new("Where the time of a plain HTTP request goes", note, &["whose code", "share"]);
    totals.iter().for_each(|(name, total)| table.row([(*name).to_owned(), format!("{total:.1} %")]));
    table
}

fn by_function(shares: &[Share]) -> Table {
    let mut outside: Vec<&Share> = shares.iter().filter(|share| owner(share) != "kernel").collect();
    outside.sort_by(|a, b| b.percent.total_cmp(&a.percent));
    let mut table = Table::new("The same outside of the kernel, by function", &format!("The {TOP} largest."), &["function", "share"]);
    outside.iter().take(TOP).for_each(|share| table.row([format!("`{}`", share.symbol.replace('|', "\\|")), format!("{:.1} %", share.percent)]));
    table
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_line_of_the_report_is_somebodys() {
        for (line, expected) in [
            ("    12.50%\t[kernel.kallsyms]\t[k] tcp_sendmsg", "kernel"),
            ("     1.00%\tlibc.so.6\t[.] __memmove_avx", "libc"),
            ("     1.00%\t[vdso]\t[.] __vdso_clock_gettime", "kernel"),
            ("     1.00%\tvrata\t[.] <pingora_proxy::HttpProxy<SV,C> as x::Y>::z::{{closure}}", "Pingora"),
            ("     1.00%\tvrata\t[.] <&mut gateway::listen::Stream as x>::y", "Vrata"),
            ("     1.00%\tvrata\t[.] tokio::runtime::task::raw::poll", "tokio"),
            ("     1.00%\tvrata\t[.] _mi_page_malloc_zero", "allocator"),
            ("     1.00%\tvrata\t[.] httparse::simd::swar::match_header", "HTTP types and parsing"),
            ("     1.00%\tvrata\t[.] core::fmt::write", "Rust's standard library"),
            ("     1.00%\tvrata\t[.] prometheus::histogram::observe", "other libraries"),
        ] {
            assert_eq!(owner(&share(line).unwrap()), expected, "{line}");
        }
        assert_eq!(share("# Overhead\tShared Object\tSymbol"), None);
    }
}
