//! `cargo xtask`: everything that is done with this repository, each by one command that sets a fresh machine up by itself. `test` runs every check, `demo`
//! runs the program on loopback, `release` builds it as it is shipped, `bench` measures it beside its peers, `manifests` renders the chart. What a step does
//! stands in `steps/`; nothing here is part of the product.

mod command;
mod kubelab;
mod machine;
mod packages;
mod release;
mod repository;
mod steps;
mod tools;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use repository::Repository;
use steps::Options;
use tools::Tool;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The checks, the demo and the measurements")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run every check
    Test {
        /// Only these steps, separated by commas
        #[arg(long, value_delimiter = ',', value_name = "STEP")]
        only: Vec<String>,
        /// How long each fuzz target runs, in seconds
        #[arg(long, default_value_t = 10, value_name = "SECONDS")]
        fuzz_seconds: u32,
        /// List the steps and exit
        #[arg(long)]
        list: bool,
    },
    /// Write deploy/manifests/ anew from the chart
    Manifests,
    /// Build vrata and run `vrata demo`
    Demo {
        /// For `vrata demo`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Build and run the Kubernetes cluster for tests: `up -dir DIR`, `exec -dir DIR COMMAND…`, `kubectl …`
    Kubelab {
        /// For kubelab
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Build vrata as it is shipped, optimised by a profile of it under load, and print where it is
    Release,
    /// Measure that program beside its peers and write loadtest/RESULTS.md
    Bench {
        /// For `loadtest run`, such as `--only http`; then the tables are shown and not written
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    let repository = Repository::find()?;
    match task {
        Task::Test { list: true, .. } => {
            print!("{}", steps::list());
            Ok(ExitCode::SUCCESS)
        }
        Task::Test { only, fuzz_seconds, list: false } => steps::test(&repository, &only, &Options { fuzz_seconds }),
        Task::Manifests => {
            machine::prepare(&[], &[Tool::Helm])?;
            steps::chart::write_manifests(&repository)?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Demo { args } => {
            machine::prepare(packages::BUILD, &[])?;
            repository.cargo(["build", "--workspace", "--bin", "vrata"]).run()?;
            Ok(repository.program("vrata").args(["demo"]).args(args).replace())
        }
        Task::Kubelab { args } => {
            machine::prepare(&[], &[Tool::Kubelab])?;
            Ok(repository.run(Tool::Kubelab.path(&tools::cache()?)?).args(args).replace())
        }
        Task::Release => {
            machine::prepare(packages::BENCH, &[Tool::Pebble])?;
            println!("{}", release::build(&repository)?.display());
            Ok(ExitCode::SUCCESS)
        }
        Task::Bench { args } => {
            machine::prepare(packages::BENCH, &[Tool::Pebble, Tool::Kubelab])?;
            let (vrata, report) = (release::build(&repository)?, repository.path("loadtest/RESULTS.md"));
            repository.cargo(["build", "--workspace", "--release", "--bin", "loadtest", "--bin", "echo"]).run()?;
            let measure = repository.run(repository.release("loadtest")).args(["run", "--vrata"]).args([vrata]);
            // A part of the tables is shown and not written: the file is always of one run.
            let measure = if args.is_empty() { measure.args(["--out"]).args([report]) } else { measure.args(args) };
            Ok(measure.replace())
        }
    }
}
