//! The steps of `cargo xtask test`: which there are, which are asked for, what each needs of the machine, and how the whole ended.

mod advisories;
mod cargo;
pub(crate) mod chart;
mod deploy;
mod fuzz;
mod image;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::machine;
use crate::packages::{self, Package};
use crate::repository::Repository;
use crate::tools::Tool;

/// What the command line says about steps.
pub(crate) struct Options {
    /// How long each fuzz target runs, in seconds.
    pub(crate) fuzz_seconds: u32,
}

/// One check.
struct Step {
    name: &'static str,
    about: &'static str,
    packages: &'static [Package],
    tools: &'static [Tool],
    run: fn(&Repository, &Options) -> Result<Outcome>,
}

/// How a step ended that did not fail.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    /// It could not be carried out, and why.
    Skipped(String),
}

/// All steps, the quick ones first; each uses what those before it have built.
const STEPS: &[Step] = &[
    Step { name: "fmt", about: "the code is formatted", packages: &[], tools: &[], run: cargo::fmt },
    Step {
        name: "deny",
        about: "licences, versions and sources of dependencies",
        packages: packages::BUILD,
        tools: &[Tool::CargoDeny],
        run: cargo::deny,
    },
    Step { name: "advisories", about: "known vulnerabilities", packages: packages::BUILD, tools: &[Tool::CargoDeny], run: advisories::run },
    Step { name: "clippy", about: "lints of all targets", packages: packages::BUILD, tools: &[], run: cargo::clippy },
    Step { name: "doc", about: "the documentation builds without warnings", packages: packages::BUILD, tools: &[], run: cargo::doc },
    Step { name: "unit", about: "tests beside the code", packages: packages::TEST, tools: &[Tool::Pebble], run: cargo::unit },
    Step {
        name: "integration",
        about: "tests of each crate from outside",
        packages: packages::TEST,
        tools: &[Tool::Pebble],
        run: cargo::integration,
    },
    Step { name: "doctest", about: "examples in the documentation", packages: packages::BUILD, tools: &[], run: cargo::doctest },
    Step {
        name: "e2e",
        about: "the program as a whole, with real clients and servers",
        packages: packages::TEST,
        tools: &[Tool::Pebble, Tool::Kubelab, Tool::Helm],
        run: cargo::e2e,
    },
    Step { name: "deploy", about: "unit and configuration of deploy/", packages: packages::DEPLOY, tools: &[], run: deploy::run },
    Step {
        name: "chart",
        about: "chart, plain manifests, alerts and dashboard of deploy/",
        packages: packages::CHART,
        tools: &[Tool::Helm],
        run: chart::run,
    },
    Step { name: "image", about: "the image of deploy/, built and run", packages: packages::IMAGE, tools: &[], run: image::run },
    Step { name: "fuzz", about: "each fuzz target for a short time", packages: packages::BUILD, tools: &[], run: fuzz::run },
];

/// The steps, a line each.
pub(crate) fn list() -> String {
    STEPS.iter().fold(String::new(), |mut text, step| {
        let _ = writeln!(text, "{:12} {}", step.name, step.about);
        text
    })
}

/// Sets the machine up, runs the steps that are asked for (all when none is named), and tells how each ended.
pub(crate) fn test(repository: &Repository, only: &[String], options: &Options) -> Result<ExitCode> {
    let steps = select(only)?;
    let packages: Vec<Package> = steps.iter().flat_map(|step| step.packages).copied().collect();
    let tools: Vec<Tool> = steps.iter().flat_map(|step| step.tools).copied().collect();
    machine::prepare(&packages, &tools)?;
    let ended: Vec<Ended> = steps.into_iter().map(|step| run(step, repository, options)).collect();
    print!("\n{}", summary(&ended));
    Ok(if ended.iter().any(|step| step.result.is_err()) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn select(only: &[String]) -> Result<Vec<&'static Step>> {
    if let Some(unknown) = only.iter().find(|name| !STEPS.iter().any(|step| step.name == name.as_str())) {
        bail!("there is no step {unknown:?}; the steps are {}", STEPS.iter().map(|step| step.name).collect::<Vec<_>>().join(", "));
    }
    Ok(STEPS.iter().filter(|step| only.is_empty() || only.iter().any(|name| name == step.name)).collect())
}

/// A step that has ended.
struct Ended {
    name: &'static str,
    took: Duration,
    result: Result<Outcome>,
}

fn run(step: &'static Step, repository: &Repository, options: &Options) -> Ended {
    println!("\n=== {}: {}", step.name, step.about);
    let started = Instant::now();
    let result = (step.run)(repository, options);
    let ended = Ended { name: step.name, took: started.elapsed(), result };
    if let Err(error) = &ended.result {
        println!("{error:#}");
    }
    println!("=== {}", line(&ended));
    ended
}

/// A line for each step, and the line that programs read.
fn summary(ended: &[Ended]) -> String {
    let count = |wanted: fn(&Result<Outcome>) -> bool| ended.iter().filter(|step| wanted(&step.result)).count();
    let passed = count(|result| matches!(result, Ok(Outcome::Passed)));
    let skipped = count(|result| matches!(result, Ok(Outcome::Skipped(_))));
    let failed = count(Result::is_err);
    let mut text: String = ended.iter().map(|step| line(step) + "\n").collect();
    let _ = write!(text, "\n{passed} passed, {failed} failed");
    if skipped > 0 {
        let _ = write!(text, ", {skipped} skipped");
    }
    text.push('\n');
    text
}

fn line(step: &Ended) -> String {
    let Ended { name, took, result } = step;
    let took = took.as_secs_f32();
    match result {
        Ok(Outcome::Passed) => format!("{name:12} ok       {took:7.1} s"),
        Ok(Outcome::Skipped(why)) => format!("{name:12} SKIPPED  {took:7.1} s  {why}"),
        Err(error) => format!("{name:12} FAILED   {took:7.1} s  {}", first_line(&format!("{error:#}"))),
    }
}

/// Enough to know what to look for above.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::time::Duration;

    use anyhow::anyhow;

    use super::{Ended, Outcome, STEPS, select, summary};

    fn names(only: &[&str]) -> Vec<&'static str> {
        select(&only.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap().iter().map(|step| step.name).collect()
    }

    #[test]
    fn steps_keep_their_order_whatever_is_asked_for() {
        assert_eq!(names(&["unit", "fmt"]), ["fmt", "unit"]);
        assert_eq!(names(&[]).len(), STEPS.len());
    }

    #[test]
    fn a_step_that_does_not_exist_is_an_error_that_names_those_that_do() {
        let error = select(&["units".to_owned()]).err().unwrap().to_string();
        assert!(error.starts_with("there is no step \"units\"; the steps are fmt, "), "{error}");
    }

    #[test]
    fn the_summary_counts_every_step_once() {
        let ended = |name, result| Ended { name, took: Duration::from_millis(1500), result };
        let skipped = Outcome::Skipped("no database".to_owned());
        let steps =
            [ended("fmt", Ok(Outcome::Passed)), ended("advisories", Ok(skipped)), ended("unit", Err(anyhow!("cargo test (exit status: 101)")))];
        let expected = "\
fmt          ok           1.5 s
advisories   SKIPPED      1.5 s  no database
unit         FAILED       1.5 s  cargo test (exit status: 101)

1 passed, 1 failed, 1 skipped
";
        assert_eq!(summary(&steps), expected);
        assert!(summary(&steps[..1]).ends_with("\n1 passed, 0 failed\n"));
    }
}
