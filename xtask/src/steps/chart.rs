//! The chart in `deploy/helm/vrata`: it lints, what it renders is what Kubernetes and vrata accept, the plain manifests are what it renders, and Prometheus
//! understands the queries of its alerts and dashboard. That the metrics exist is a test in e2e, which has a running program.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{Options, Outcome};
use crate::command::Program;
use crate::repository::Repository;
use crate::tools::{self, Tool};

const CHART: &str = "deploy/helm/vrata";

/// Values that it is rendered with, `NAME-values.yaml`.
const CASES: &str = "deploy/helm/vrata/ci";

const ALERTS: &str = "deploy/helm/vrata/files/alerts.yaml";

const DASHBOARD: &str = "deploy/helm/vrata/files/dashboard.json";

const NAMESPACE: &str = "vrata-system";

/// Each plain manifest, the case that it is rendered from, and what it is for.
const MANIFESTS: [(&str, &str, &str); 2] = [
    ("deploy/manifests/vrata.yaml", "deployment", "replicas behind Services of type LoadBalancer"),
    ("deploy/manifests/vrata-hostnetwork.yaml", "hostnetwork", "on every edge node, in its own network"),
];

/// Where the test of the rendered objects finds more of them than the plain manifests.
const RENDERED: &str = "VRATA_RENDERED";

pub(super) fn run(repository: &Repository, _: &Options) -> Result<Outcome> {
    let rendered = repository.scratch("chart")?;
    for case in cases(repository)? {
        let values = values(&case);
        helm(repository)?.args(["lint", "--strict", "--quiet", CHART, "--namespace", NAMESPACE, "--values", &values]).run()?;
        std::fs::write(rendered.join(format!("{case}.yaml")), render(repository, &case)?)?;
    }
    for (file, case, about) in MANIFESTS {
        let committed = std::fs::read_to_string(repository.path(file)).unwrap_or_default();
        if committed != manifest(&render(repository, case)?, case, about) {
            bail!("{file} is not what the chart renders; run `cargo xtask manifests`");
        }
    }
    let queries = rendered.join("dashboard-rules.json");
    std::fs::write(&queries, queries_as_rules(&read_json(&repository.path(DASHBOARD))?).to_string())?;
    repository.run("promtool").args(["check", "rules", ALERTS]).args([&queries]).run()?;
    repository.cargo(["test", "--workspace", "--test", "chart"]).env(RENDERED, &rendered).run()?;
    Ok(Outcome::Passed)
}

/// Writes the plain manifests.
pub(crate) fn write_manifests(repository: &Repository) -> Result<()> {
    for (file, case, about) in MANIFESTS {
        let path = repository.path(file);
        std::fs::write(&path, manifest(&render(repository, case)?, case, about)).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{file}");
    }
    Ok(())
}

fn helm(repository: &Repository) -> Result<Program> {
    Ok(repository.run(Tool::Helm.path(&tools::cache()?)?))
}

/// The names of the cases, in order.
fn cases(repository: &Repository) -> Result<Vec<String>> {
    let directory = repository.path(CASES);
    let entries = std::fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().trim_end_matches("-values.yaml").to_owned()));
    let mut names: Vec<String> = names.collect::<Result<_>>()?;
    names.sort();
    Ok(names)
}

fn values(case: &str) -> String {
    format!("{CASES}/{case}-values.yaml")
}

fn render(repository: &Repository, case: &str) -> Result<String> {
    let log = repository.scratch("chart-output")?.join(format!("{case}.log"));
    let command = helm(repository)?.args(["template", "vrata", CHART, "--namespace", NAMESPACE, "--values", &values(case)]);
    let (text, well) = command.output(&log)?;
    if !well {
        bail!("helm template with {}:\n{text}", values(case));
    }
    Ok(text)
}

/// What is rendered, without the traces of Helm and with the namespace that Helm would make.
fn manifest(rendered: &str, case: &str, about: &str) -> String {
    let mut text = format!(
        "# Vrata, {about}: what the chart in {CHART} renders with ci/{case}-values.yaml. Written by `cargo xtask manifests`.\n\
         # Change image, addresses, zones and pools before you apply it.\n\
         ---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: {NAMESPACE}\n"
    );
    let traces = ["# Source: ", "app.kubernetes.io/managed-by: ", "helm.sh/chart: "];
    for line in rendered.lines().filter(|line| !traces.iter().any(|trace| line.trim_start().starts_with(trace))) {
        let _ = writeln!(text, "{line}");
    }
    text
}

fn read_json(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))
}

/// The dashboard's queries as recording rules, which promtool can read; Grafana's variables have a value.
fn queries_as_rules(dashboard: &Value) -> Value {
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let queries = targets.filter_map(|target| target["expr"].as_str());
    let rules = queries.enumerate().map(|(index, query)| {
        let query = query.replace("$__rate_interval", "5m").replace("$namespace", ".*").replace("$host", ".*");
        json!({"record": format!("dashboard:query:{index}"), "expr": query})
    });
    json!({"groups": [{"name": "dashboard", "rules": rules.collect::<Vec<_>>()}]})
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{manifest, queries_as_rules};

    #[test]
    fn plain_manifests_have_a_namespace_and_no_trace_of_helm() {
        let rendered = "---\n# Source: vrata/templates/a.yaml\nkind: A\nmetadata:\n  labels:\n    helm.sh/chart: vrata-1\n    a: b\n";
        let text = manifest(rendered, "deployment", "replicas");
        assert!(text.contains("kind: Namespace\nmetadata:\n  name: vrata-system\n---\nkind: A\nmetadata:\n  labels:\n    a: b\n"), "{text}");
    }

    #[test]
    fn each_query_becomes_a_rule() {
        let panel = |expr: &str| json!({"targets": [{"expr": expr}]});
        let rules = queries_as_rules(&json!({"panels": [{"type": "row"}, panel("rate(a{n=~\"$namespace\"}[$__rate_interval])"), panel("b")]}));
        let rule = |index: u8, expr: &str| json!({"record": format!("dashboard:query:{index}"), "expr": expr});
        assert_eq!(rules["groups"][0]["rules"], json!([rule(0, "rate(a{n=~\".*\"}[5m])"), rule(1, "b")]));
    }
}
