//! Metrics that a running program has, and the queries of `deploy/` that ask for them: every metric and label of a query has to be there.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::Client;

const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/helm/vrata/files/");

/// Labels that Prometheus adds.
const OF_PROMETHEUS: [&str; 2] = ["pod", "instance"];

/// What a program has in a cluster only.
const OF_CLUSTERS: [&str; 3] = ["vrata_source_", "vrata_cluster_", "vrata_leader"];

/// Each metric that is there, with its labels.
pub type Metrics = BTreeMap<String, BTreeSet<String>>;

/// Whether a query asks for what a program has in a cluster only.
pub fn asks_for_cluster(query: &str) -> bool {
    OF_CLUSTERS.iter().any(|prefix| query.contains(prefix))
}

/// Every query of the alerts, the dashboard's panels and its variables.
///
/// # Errors
/// When the files cannot be read.
pub fn queries() -> Result<Vec<String>> {
    let read = |name: &str| std::fs::read_to_string(format!("{FILES}{name}")).with_context(|| format!("{FILES}{name}"));
    let alerts: Value = serde_saphyr::from_str(&read("alerts.yaml")?)?;
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")?)?;
    let items = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let rules = items(&alerts, "groups").into_iter().flat_map(|group| items(&group, "rules"));
    let targets = items(&dashboard, "panels").into_iter().flat_map(|panel| items(&panel, "targets"));
    let variables = items(&dashboard["templating"], "list").into_iter().map(|variable| variable["definition"].clone());
    let all = rules.chain(targets).map(|item| item["expr"].clone()).chain(variables);
    Ok(all.filter_map(|query| query.as_str().map(str::to_owned)).collect())
}

/// What a program has, asked at its admin address.
///
/// # Errors
/// When it does not answer.
pub async fn scrape(admin: &Client) -> Result<Metrics> {
    Ok(metrics(&admin.get("localhost", "/metrics").await?.text()))
}

/// The series of a text that Prometheus would scrape.
fn metrics(text: &str) -> Metrics {
    let mut metrics = Metrics::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        metrics.entry(name.to_owned()).or_default().extend(matched(&line[name.len()..]));
    }
    metrics
}

/// What a query asks for that is not there.
pub fn faults(query: &str, metrics: &Metrics) -> Vec<String> {
    let (mut faults, mut labels) = (Vec::new(), BTreeSet::from(OF_PROMETHEUS.map(str::to_owned)));
    for (start, _) in query.match_indices("vrata_") {
        let name = word(&query[start..]);
        let Some(known) = metrics.get(name) else {
            faults.push(format!("there is no metric {name}: {query}"));
            continue;
        };
        labels.extend(known.iter().cloned());
        let selector = query[start + name.len()..].strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(selector, _)| selector);
        let wrong = matched(selector).into_iter().filter(|label| !known.contains(label));
        faults.extend(wrong.map(|label| format!("{name} has no label {label}: {query}")));
    }
    let lists = query.split(" by (").skip(1).filter_map(|rest| rest.split_once(')'));
    let grouped = lists.flat_map(|(list, _)| list.split(", ")).filter(|label| !labels.contains(*label));
    faults.extend(grouped.map(|label| format!("nothing has the label {label}: {query}")));
    faults
}

/// Labels that are followed by `=`, `!=`, `=~` or `!~` and a quoted value.
fn matched(text: &str) -> BTreeSet<String> {
    let pieces: Vec<&str> = text.split('"').collect();
    // What stands between quotes is a value.
    let outside = pieces.iter().step_by(2).map(|piece| piece.trim_end_matches(['=', '~', '!']));
    let labels = outside.map(|piece| piece.rsplit(|c: char| !is_word(c)).next().unwrap_or_default());
    labels.filter(|label| label.starts_with(|c: char| c.is_ascii_lowercase())).map(str::to_owned).collect()
}

fn word(text: &str) -> &str {
    text.split(|c: char| !is_word(c)).next().unwrap_or_default()
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::{faults, metrics};

    #[test]
    fn what_a_query_asks_for_in_vain_is_found() {
        let metrics = metrics("# TYPE vrata_a counter\nvrata_a{host=\"x=y\",namespace=\"n\"} 1\nvrata_b 2\n");
        assert_eq!(faults(r#"sum by (host, pod) (rate(vrata_a{namespace=~"$namespace", host!="a"}[5m])) - vrata_b"#, &metrics), Vec::<String>::new());
        let query = r#"sum by (colour) (vrata_a{size="1"}) + vrata_c"#;
        let expected =
            ["vrata_a has no label size: ", "there is no metric vrata_c: ", "nothing has the label colour: "].map(|fault| fault.to_owned() + query);
        assert_eq!(faults(query, &metrics), expected);
    }
}
