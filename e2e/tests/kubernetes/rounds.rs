//! Tests of faults, as many times in a row as one asks for: what fails one time in ten is broken.

use anyhow::{Context, Result};

/// How many times, by default once.
const VARIABLE: &str = "VRATA_ROUNDS";

/// Runs a test so many times.
pub(super) fn rounds(test: impl Fn() -> Result<()>) -> Result<()> {
    let count: u32 = std::env::var(VARIABLE).map_or(Ok(1), |count| count.parse()).with_context(|| format!("{VARIABLE} is a number"))?;
    for round in 1..=count {
        test().with_context(|| format!("round {round} of {count}"))?;
        if count > 1 {
            println!("round {round} of {count} is over");
        }
    }
    Ok(())
}
