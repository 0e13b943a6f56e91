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

/// What was refused, each once: `watch endpoints`.
fn refused(audit: &str) -> BTreeSet<String> {
    let events = audit.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ours = events.filter(|event| event["user"]["username"] == ACCOUNT && event["responseStatus"]["code"] == 403);
    ours.filter(|event| event["stage"] == "ResponseComplete").map(|event| what(&event)).collect()
}

fn what(event: &Value) -> String {
    let object = &event["objectRef"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let sub = object["subresource"].as_str().map(|sub| format!("/{sub}")).unwrap_or_default();
    let name = object["name"].as_str().map(|name| format!(" {name}")).unwrap_or_default();
    let group = object["apiGroup"].as_str().map(|group| format!(".{group}")).unwrap_or_default();
    format!("{} {}{group}{sub}{name} ({})", text(&event["verb"]), text(&object["resource"]), text(&event["requestURI"]))
}

#[cfg(test)]
mod tests {
    use super::refused;

    #[test]
    fn only_refusals_of_the_program_count() {
        let line = |user: &str, code: u16| {
            format!(
                r#"{{"stage":"ResponseComplete","verb":"patch","user":{{"username":"{user}"}},"objectRef":{{"resource":"ingresses","apiGroup":"networking.k8s.io","subresource":"status"}},"requestURI":"/x","responseStatus":{{"code":{code}}}}}"#
            )
        };
        let audit = [line(super::ACCOUNT, 200), line(super::ACCOUNT, 403), line("system:serviceaccount:a:b", 403)].join("\n");
        assert_eq!(refused(&audit).into_iter().collect::<Vec<_>>(), ["patch ingresses.networking.k8s.io/status (/x)"]);
    }
}
