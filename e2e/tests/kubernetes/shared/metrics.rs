//! The alerts and the dashboard of `deploy/` ask for metrics and labels that the program has in a cluster.

use std::collections::BTreeSet;

use anyhow::Result;
use e2e::lab::app;
use e2e::lab::install::ZONE;
use e2e::metrics::{asks_for_cluster, faults, queries, scrape};
use e2e::{Lab, eventually};

#[test]
fn alerts_and_dashboard_ask_for_metrics_of_a_cluster_that_are_there() -> Result<()> {
    Lab::shared()?.run(async |lab| {
        let queries: Vec<String> = queries()?.into_iter().filter(|query| asks_for_cluster(query)).collect();
        assert!(queries.len() > 5, "{queries:?}");
        // Something to write: the status of an Ingress.
        lab.kubectl().apply(&(app::echo("measured") + &app::ingress("measured", "web", &format!("measured.{ZONE}")))).await?;
        let leader = lab.vrata().await?.leader(lab).await?.admin();
        let look = async || {
            let metrics = scrape(&leader).await?;
            Ok(queries.iter().flat_map(|query| faults(query, &metrics)).collect::<BTreeSet<String>>())
        };
        eventually("every query has its metrics", look, BTreeSet::is_empty).await?;
        Ok(())
    })
}
