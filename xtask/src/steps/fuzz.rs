//! Each target of `fuzz/` for a short time, from its seeds and from what earlier runs have found. Coverage comes from `fuzz/instrument.sh`; a run that
//! gathers none is a failure, since it would find nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Options, Outcome};
use crate::repository::Repository;

/// The targets: `fuzz/targets/NAME.rs`, built as `fuzz_NAME`.
const TARGETS: [&str; 4] = ["manifest", "host_path", "dns_packet", "annotations"];

/// Longest input, in bytes.
const MAX_LENGTH: u32 = 4096;

/// A single input that takes longer is a finding, in seconds.
const SLOW: u32 = 5;

/// How much longer than asked for a target may run, to load its corpus and to stop.
const GRACE: Duration = Duration::from_secs(120);

pub(super) fn run(repository: &Repository, options: &Options) -> Result<Outcome> {
    build(repository)?;
    let results: Vec<Result<()>> = TARGETS.iter().map(|target| fuzz(repository, target, options.fuzz_seconds)).collect();
    let failures: Vec<String> = results.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    if failures.is_empty() { Ok(Outcome::Passed) } else { bail!("{}", failures.join("\n")) }
}

fn build(repository: &Repository) -> Result<()> {
    let programs = TARGETS.iter().flat_map(|target| ["--bin".to_owned(), program(target)]);
    let build = repository.cargo(["build", "--workspace"]).args(programs);
    build.env("RUSTC_WORKSPACE_WRAPPER", repository.path("fuzz/instrument.sh")).run()
}

fn program(target: &str) -> String {
    format!("fuzz_{target}")
}

fn fuzz(repository: &Repository, target: &str, seconds: u32) -> Result<()> {
    let scratch = repository.scratch("fuzz")?;
    let corpus = scratch.join(target);
    std::fs::create_dir_all(&corpus).with_context(|| format!("cannot make {}", corpus.display()))?;
    let artifacts = format!("{}/{target}-", scratch.display());
    let program = repository.program(&program(target)).args(flags(seconds, &artifacts)).args([&corpus, &seeds(repository, target)]);
    let (log, clean) = program.limit(Duration::from_secs(seconds.into()) + GRACE).output(&scratch.join(format!("{target}.log")))?;
    if !clean {
        bail!("{target}: {}", finding(&log, &repository.built(&self::program(target))));
    }
    let progress = progress(&log).with_context(|| format!("{target}: no coverage was measured:\n{log}"))?;
    println!("{target:12} {} runs, coverage {} to {}", progress.runs, progress.first, progress.last);
    Ok(())
}

fn seeds(repository: &Repository, target: &str) -> PathBuf {
    repository.path("fuzz/corpus").join(target)
}

fn flags(seconds: u32, artifacts: &str) -> Vec<String> {
    vec![
        format!("-max_total_time={seconds}"),
        format!("-max_len={MAX_LENGTH}"),
        format!("-timeout={SLOW}"),
        format!("-artifact_prefix={artifacts}"),
        "-rss_limit_mb=2048".to_owned(),
        "-print_final_stats=1".to_owned(),
    ]
}

/// What a target covered, in edges of the instrumented code.
#[derive(Debug, PartialEq, Eq)]
struct Progress {
    first: u64,
    last: u64,
    runs: u64,
}

/// Reads libFuzzer's log. `None` when it counted no edges or ran nothing.
fn progress(log: &str) -> Option<Progress> {
    let covered = || log.lines().filter_map(|line| line.split_once(" cov: ")?.1.split_whitespace().next()?.parse().ok());
    let runs = log.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:")?.trim().parse().ok())?;
    let progress = Progress { first: covered().next()?, last: covered().next_back()?, runs };
    (progress.last > 0 && progress.runs > 0).then_some(progress)
}

/// What went wrong, and the command that shows it again.
fn finding(log: &str, program: &Path) -> String {
    let artifact = log.lines().find_map(|line| line.split_once("Test unit written to ")).map(|(_, path)| path);
    let why = log.lines().find(|line| line.contains("panicked at") || line.contains("ERROR: libFuzzer")).unwrap_or("it stopped");
    let panic = log.lines().skip_while(|line| !line.contains("panicked at")).nth(1).unwrap_or_default();
    match artifact {
        Some(artifact) => format!("{why} {panic}\n    again with: {} {artifact}", program.display()),
        None => format!("{why} {panic}\n{log}"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Progress, finding, progress};

    const LOG: &str = "\
INFO: Loaded 1 modules   (2310 inline 8-bit counters): 2310 [0x1, 0x2),
#3\tINITED cov: 120 ft: 130 corp: 2/20b exec/s: 0 rss: 30Mb
#64\tNEW    cov: 141 ft: 160 corp: 3/30b lim: 4 exec/s: 0 rss: 30Mb L: 3/8 MS: 1 CopyPart-
stat::number_of_executed_units: 209056
";

    #[test]
    fn coverage_and_runs_are_read_from_the_log() {
        assert_eq!(progress(LOG), Some(Progress { first: 120, last: 141, runs: 209_056 }));
    }

    #[test]
    fn a_run_without_coverage_is_none() {
        assert_eq!(progress(&LOG.replace("cov: 1", "cov: x")), None);
        assert_eq!(progress("#2 INITED cov: 0 ft: 0\nstat::number_of_executed_units: 7\n"), None);
        assert_eq!(progress(""), None);
    }

    #[test]
    fn a_finding_comes_with_the_command_that_shows_it_again() {
        let log = "thread '<unnamed>' panicked at dns/src/answer.rs:7:1:\nindex out of bounds\nTest unit written to /t/dns_packet-crash-1\n";
        let expected =
            "thread '<unnamed>' panicked at dns/src/answer.rs:7:1: index out of bounds\n    again with: /t/fuzz_dns_packet /t/dns_packet-crash-1";
        assert_eq!(finding(log, Path::new("/t/fuzz_dns_packet")), expected);
    }
}
