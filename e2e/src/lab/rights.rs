//! What the program asks for and may not: the suite runs with the ServiceAccount of `deploy/`, and one refusal fails it. Pure.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use serde_json::Value;

/// The program's ServiceAccount.
const ACCOUNT: &str = "system:serviceaccount:vrata-system:vrata";

/// Reads the audit log.
pub(super) fn check(audit: &str) -> Result<()> {
    let refused = refused(audit);
    if refused.is_empty() {
        return Ok(());
    }
    bail!("deploy/ does not give the rights to: {}", refused.into_iter().collect::<Vec<_>>().join(", "))
}

/// What was refused and never allowed afterwards, each once: `watch endpoints`. An API server that has just started knows no roles yet.
fn refused(audit: &str) -> BTreeSet<String> {
    let events = audit.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut refused = BTreeSet::new();
    for event in events.filter(|event| event["user"]["username"] == ACCOUNT) {
        match event["responseStatus"]["code"].as_u64() {
            Some(403) => {
                refused.insert(what(&event));
            }
            Some(_) => {
                refused.remove(&what(&event));
            }
            None => {}
        }
    }
    refused
}

fn what(event: &Value) -> String {
    let object = &event["objectRef"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let after = |separator: &str, value: &Value| value.as_str().map(|value| format!("{separator}{value}")).unwrap_or_default();
    let (group, sub) = (after(".", &object["apiGroup"]), after("/", &object["subresource"]));
    let (name, namespace) = (after(" ", &object["name"]), after(" in ", &object["namespace"]));
    format!("{} {}{group}{sub}{name}{namespace}", text(&event["verb"]), text(&object["resource"]))
}

#[cfg(test)]
mod tests {
    use super::refused;

    #[test]
    fn only_lasting_refusals_of_the_program_count() {
        let line = |user: &str, verb: &str, code: u16| {
            let object = r#"{"resource":"ingresses","apiGroup":"networking.k8s.io","subresource":"status"}"#;
            format!(r#"{{"verb":"{verb}","user":{{"username":"{user}"}},"objectRef":{object},"responseStatus":{{"code":{code}}}}}"#)
        };
        let (us, other) = (super::ACCOUNT, "system:serviceaccount:a:b");
        let audit = [
            line(us, "patch", 200),
            line(us, "patch", 403),
            line(other, "patch", 200),
            line(other, "get", 403),
            line(us, "list", 403),
            line(us, "list", 200),
        ];
        assert_eq!(refused(&audit.join("\n")).into_iter().collect::<Vec<_>>(), ["patch ingresses.networking.k8s.io/status"]);
    }
}
