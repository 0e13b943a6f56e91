//! A cluster that was there before: the tests that break nothing run in it as CONTRIBUTING says. Here it is a kubelab that another process has started.

use anyhow::{Result, ensure};
use e2e::Lab;
use e2e::lab::commands;

#[test]
fn tests_that_break_nothing_run_in_a_cluster_that_was_there_before() -> Result<()> {
    Lab::start()?.run(async |lab| {
        let tests = std::env::current_exe()?;
        let line = format!("cd {} && VRATA_E2E_KUBECONFIG=$KUBECONFIG {} shared::", env!("CARGO_MANIFEST_DIR"), tests.display());
        let said = commands::typed(lab, &line).await?;
        ensure!(said.out.contains("test result: ok. ") && !said.out.contains(" 0 passed"), "{said:?}");
        // What wants a cluster of its own says so, and touches nothing.
        let other = commands::typed(lab, &line.replace("shared::", "kinds::")).await.unwrap_err().to_string();
        ensure!(other.contains("this test wants a cluster that it may break"), "{other}");
        Ok(())
    })
}
