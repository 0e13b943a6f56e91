//! Measures Vrata beside its peers: nginx, HAProxy, Knot and NSD from Debian, in one run, the server on one core and the load on the other. It speaks only
//! HTTP, DNS, TCP and UDP with what it measures.

mod client;
mod dnsperf;
mod origin;
mod peers;
mod process;
mod scenario;
mod setting;
mod table;
mod wrk;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};

use setting::Setting;
use table::Table;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(name = "loadtest", about = "Measures Vrata beside its peers")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure and write the tables
    Run(Run),
    /// Serve 1 KiB for each request, as the origin of the measurements
    Origin {
        /// Address to listen on
        #[arg(long)]
        listen: SocketAddr,
    },
}

#[derive(Debug, clap::Args)]
struct Run {
    /// The vrata program, a release build
    #[arg(long)]
    vrata: PathBuf,
    /// File for the tables; they are printed in any case
    #[arg(long)]
    out: Option<PathBuf>,
    /// What to measure, several separated by commas
    #[arg(long, value_delimiter = ',', default_values_t = [Scenario::Http, Scenario::Profile, Scenario::Dns, Scenario::Scale, Scenario::Swaps, Scenario::Issue, Scenario::Webhook, Scenario::Cluster])]
    only: Vec<Scenario>,
    /// Seconds of each measured run
    #[arg(long, default_value_t = 4)]
    seconds: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    Http,
    Profile,
    Dns,
    Scale,
    Swaps,
    Issue,
    Webhook,
    Cluster,
}

impl std::fmt::Display for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Profile => "profile",
            Self::Dns => "dns",
            Self::Scale => "scale",
            Self::Swaps => "swaps",
            Self::Issue => "issue",
            Self::Webhook => "webhook",
            Self::Cluster => "cluster",
        })
    }
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Origin { listen } => tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(origin::serve(listen)),
        Command::Run(run) => measure(&run),
    }
}

fn measure(run: &Run) -> Result<()> {
    anyhow::ensure!(rustls::crypto::aws_lc_rs::default_provider().install_default().is_ok(), "a TLS provider is installed already");
    process::stay_on_client_core()?;
    let scratch = tempfile::tempdir()?;
    let setting = Setting::new(scratch.path(), &run.vrata)?;
    let mut tables = Vec::new();
    for &scenario in &run.only {
        eprintln!("measuring {scenario} …");
        for table in one(&setting, scenario, run.seconds)? {
            println!("{}", table.markdown());
            tables.push(table);
        }
    }
    if let Some(out) = &run.out {
        std::fs::write(out, document(&tables))?;
    }
    Ok(())
}

fn one(setting: &Setting, scenario: Scenario, seconds: u32) -> Result<Vec<Table>> {
    match scenario {
        Scenario::Http => scenario::http::run(setting, seconds),
        Scenario::Profile => scenario::profile::run(setting, 3 * seconds),
        Scenario::Dns => scenario::dns::run(setting, &[100_000, 1_000_000], seconds),
        Scenario::Scale => scenario::scale::run(setting, 10_000, 200, seconds),
        Scenario::Swaps => scenario::swaps::run(setting, 1_000),
        Scenario::Issue => scenario::issue::run(setting, 50),
        Scenario::Cluster => scenario::cluster::run(setting),
        Scenario::Webhook => scenario::webhook::run(setting, 10_000, 2_000),
    }
}

fn document(tables: &[Table]) -> String {
    let tables: Vec<String> = tables.iter().map(Table::markdown).collect();
    format!(
        "# Figures\nMeasured by `cargo xtask bench` in one run on one machine with two cores: the server on one, the load on the other. Machines are noisy:\nread the ratios, not the \
         absolute figures.\n\n{}",
        tables.join("\n")
    )
}
