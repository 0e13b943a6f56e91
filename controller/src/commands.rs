//! What each command does: reads the configuration, calls the parts, prints, and says how it went.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use acme::listed;

use crate::admin::client;
use crate::assemble;
use crate::check::{self, Style};
use crate::cli::{Check, Cli, Command, Demo, Explain, Output, Run, Status};
use crate::compile::{Compiled, Facts, compile};
use crate::config::{self, Config, Overrides};
use crate::demo::{self, Authority};
use crate::migration::Migration;
use crate::places::Places;
use crate::problem::{Problem, Reason};
use crate::run::{Addresses, Started, settings};
use crate::state::StateDir;
use crate::status::{Basis, View};
use crate::{assumed, explain, source};

mod cluster;

/// Runs a command; what went wrong is printed to standard error.
#[must_use]
pub fn execute(cli: Cli) -> ExitCode {
    let done = match cli.command {
        Command::Demo(demo) => run_demo(&demo),
        Command::Run(run) => run_manifests(&run),
        Command::Check(check) => run_check(&check),
        Command::Explain(explain) => run_explain(&explain),
        Command::Status(status) => run_status(&status),
    };
    done.unwrap_or_else(|error| {
        eprintln!("vrata: {error}");
        ExitCode::FAILURE
    })
}

fn run_manifests(run: &Run) -> anyhow::Result<ExitCode> {
    let config = config::load(run.config.as_deref(), &Overrides { serves_nothing: run.print_config, ..run.overrides() })?;
    if run.print_config {
        return say(&config::print(&config));
    }
    let state = StateDir::open(&config.state)?;
    serve(config, state, false, |Addresses { http, https, dns, admin }| {
        tracing::info!(http = %listed(http), https = %listed(https), dns = %listed(dns), %admin, "serving");
    })
}

/// Prints. Whoever reads may have seen enough (`| head`), which is no failure.
fn say(text: &str) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn run_demo(demo: &Demo) -> anyhow::Result<ExitCode> {
    let manifests = demo.dir.iter().cloned().collect();
    let mut config = demo::config(&Overrides { manifests, state: demo.state.clone(), ..demo.listeners.overrides() })?;
    let state = StateDir::open(&config.state)?;
    let authority = match &demo.acme_directory {
        None => Authority::Local,
        Some(directory) => Authority::Acme { directory: directory.clone(), ca: demo.acme_ca.clone() },
    };
    let platform = demo::set_up(&state, &authority)?;
    config.source.manifests.push(platform.manifests.clone());
    let examples = config.source.manifests[0].clone();
    serve(config, state, true, move |addresses| {
        let program = std::env::args().next().unwrap_or_else(|| "vrata".to_owned());
        print!("{}", demo::tour(&program, addresses, &platform, &examples));
    })
}

fn serve(config: Config, state: StateDir, backends: bool, ready: impl FnOnce(&Addresses) + Send) -> anyhow::Result<ExitCode> {
    crate::log::start();
    install_tls_provider()?;
    let started = Started::new(config, state)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(gateway::server::runtime_threads()).enable_all().build()?;
    runtime.block_on(async {
        let stop = tokio_util::sync::CancellationToken::new();
        let applications = tokio_util::task::TaskTracker::new();
        if backends {
            demo::start_backends(&applications, &stop).await?;
        }
        started.run(ready).await?;
        stop.cancel();
        applications.close();
        applications.wait().await;
        Ok(ExitCode::SUCCESS)
    })
}

/// Two providers are linked in (Pingora brings `ring`): the one that everything uses is named before anything asks.
fn install_tls_provider() -> anyhow::Result<()> {
    rustls::crypto::aws_lc_rs::default_provider().install_default().map_err(|_| anyhow::anyhow!("a TLS provider is installed already"))
}

/// What the platform has beside the manifests: without its configuration nothing can be said about these.
const OF_THE_PLATFORM: [Reason; 3] = [Reason::PoolExhausted, Reason::AddressNotAllowed, Reason::OutsideZones];

fn run_check(check: &Check) -> anyhow::Result<ExitCode> {
    install_tls_provider()?;
    if let Some(kubeconfig) = &check.kubeconfig {
        let found = cluster::look(kubeconfig.as_ref(), check.config.as_ref(), &check.zones)?;
        let code = print_findings(&found.problems, Some(&found.migration), check.output)?;
        if check.output == Output::Text {
            found.notes.iter().for_each(|note| eprintln!("note: {note}"));
        }
        return Ok(code);
    }
    let (_, mut problems) = offline(&check.paths, check.config.as_ref())?;
    if check.config.is_none() {
        problems.retain(|problem| !OF_THE_PLATFORM.contains(&problem.reason));
    }
    let code = print_findings(&problems, None, check.output)?;
    if check.config.is_none() && check.output == Output::Text {
        eprintln!("note: zones, pools and addresses were not checked; give the platform's configuration with --config");
    }
    Ok(code)
}

fn print_findings(problems: &[Problem], migration: Option<&Migration>, output: Output) -> anyhow::Result<ExitCode> {
    let style = match output {
        Output::Text => Style::text(std::io::stdout().is_terminal(), std::env::var_os("NO_COLOR").as_deref()),
        Output::Json => Style::Json,
    };
    say(&check::render_with(problems, migration, style))?;
    Ok(if check::has_errors(problems) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Compiles manifests without serving them.
fn offline(paths: &[PathBuf], file: Option<&PathBuf>) -> anyhow::Result<(View, Vec<Problem>)> {
    let config = match file {
        Some(file) => config::load(Some(file), &Overrides { manifests: paths.to_vec(), serves_nothing: true, ..Overrides::default() })?,
        // What a directory may name that a cluster may not, it may name here too.
        None => Config { source: config::Source { manifests: paths.to_vec(), kubernetes: None }, ..Config::default() },
    };
    let settings = settings(&config)?;
    let mut read = source::read(paths)?;
    // Where none is among the manifests, they are where the platform's own objects are.
    if file.is_none() || read.objects.cluster_issuers.is_empty() {
        assumed::issuers(&mut read.objects, &settings);
    }
    let mut compiled: Compiled = compile(&read.objects, &settings, &Facts { now: SystemTime::now(), ..Facts::default() });
    let snapshot = assemble::snapshot(1, &mut compiled);
    let mut problems = std::mem::take(&mut read.problems);
    problems.append(&mut compiled.problems);
    Places::default().locate(&mut problems);
    let zones = assemble::preview(&compiled.zones)?;
    let view = View {
        snapshot: Arc::new(snapshot),
        zones: Arc::new(zones),
        report: compiled.report,
        problems: problems.clone(),
        stale: false,
        ignored: read.objects.others.clone(),
        public_addresses: compiled.public.addresses,
        basis: Some(Basis { settings: Arc::new(settings), read: Arc::new(read), rules: compiled.ownership, standing: compiled.standing }),
    };
    Ok((view, problems))
}

fn run_explain(asked: &Explain) -> anyhow::Result<ExitCode> {
    let target = explain::parse(&asked.target)?;
    if asked.manifests.is_empty() {
        return relay(asked.admin, &client::explain_path(&asked.target));
    }
    install_tls_provider()?;
    let (view, _) = offline(&asked.manifests, asked.config.as_ref())?;
    say(&explain::explain(&view, &target))
}

fn run_status(status: &Status) -> anyhow::Result<ExitCode> {
    match status.output {
        Output::Json => relay(status.admin, "/api/v1/status"),
        Output::Text => {
            let answer = client::get(status.admin, "/api/v1/status")?;
            let value: serde_json::Value = serde_json::from_str(&answer.body)?;
            say(&crate::summary::render(&value))
        }
    }
}

fn relay(admin: SocketAddr, path: &str) -> anyhow::Result<ExitCode> {
    let answer = client::get(admin, path)?;
    say(&format!("{}\n", answer.body.trim_end()))?;
    Ok(if answer.status == 200 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
