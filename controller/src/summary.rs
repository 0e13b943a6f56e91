//! `vrata status` for people: the status JSON of a running program in a few lines, problems first. Pure.

use serde_json::Value;

/// Renders the status.
#[must_use]
pub fn render(status: &Value) -> String {
    let list = |key: &str| status[key].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut lines = vec![format!(
        "{}, generation {}: {} hosts, {} certificates, {} LoadBalancer Services, {} problems",
        if status["ready"] == true { "serving" } else { "not ready" },
        status["generation"],
        list("hosts").len(),
        list("certificates").len(),
        list("addresses").len(),
        list("problems").len(),
    )];
    if let Some(identity) = status["identity"].as_str() {
        lines.push(format!("replica      {identity} {}", if status["leader"] == true { "leads" } else { "follows" }));
    }
    lines.extend(list("problems").iter().map(problem));
    lines.extend(list("hosts").iter().map(host));
    lines.extend(list("certificates").iter().map(certificate));
    lines.extend(list("addresses").iter().map(service));
    lines.extend(list("zones").iter().map(|zone| format!("zone         {} serial {}", text(&zone["name"]), zone["serial"])));
    lines.push(String::new());
    lines.join("\n")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

fn texts(value: &Value) -> String {
    let texts: Vec<&str> = value.as_array().map(|values| values.iter().map(text).collect()).unwrap_or_default();
    if texts.is_empty() { "-".into() } else { texts.join(", ") }
}

fn problem(problem: &Value) -> String {
    let object = &problem["object"];
    let name = match object["namespace"].as_str() {
        Some(namespace) => format!("{} {namespace}/{}", text(&object["kind"]), text(&object["name"])),
        None if object.is_null() => text(&problem["origin"]["file"]).to_owned(),
        None => format!("{} {}", text(&object["kind"]), text(&object["name"])),
    };
    format!("{:<12} {name} {}: {}", text(&problem["severity"]), text(&problem["field"]), text(&problem["message"]))
}

fn host(host: &Value) -> String {
    let tls = &host["tls"];
    let until = tls["notAfter"].as_str().map(|end| format!(" until {end}")).unwrap_or_default();
    format!(
        "host         {} ({}) HTTPS {}{until}, DNS {}",
        text(&host["host"]),
        text(&host["namespace"]),
        text(&tls["status"]),
        texts(&host["dns"]["records"])
    )
}

fn certificate(certificate: &Value) -> String {
    let until = certificate["notAfter"].as_str().map(|end| format!(" until {end}")).unwrap_or_default();
    format!("certificate  {} {}{until}: {}", text(&certificate["secret"]), text(&certificate["status"]), texts(&certificate["names"]))
}

fn service(service: &Value) -> String {
    format!(
        "address      {}/{} {} {}",
        text(&service["namespace"]),
        text(&service["name"]),
        texts(&service["addresses"]),
        texts(&service["hostnames"])
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn problems_come_first_and_nothing_missing_breaks_it() {
        let status = json!({
            "ready": true, "generation": 3,
            "problems": [{"severity": "error", "object": {"kind": "Ingress", "namespace": "a", "name": "x"}, "field": "spec", "message": "wrong"}],
            "hosts": [{"host": "x.test", "namespace": "a", "tls": {"status": "wildcard"}, "dns": {"records": ["A 192.0.2.1"]}}],
            "zones": [{"name": "test.", "serial": 7}],
        });
        let expected = "serving, generation 3: 1 hosts, 0 certificates, 0 LoadBalancer Services, 1 problems
error        Ingress a/x spec: wrong
host         x.test (a) HTTPS wildcard, DNS A 192.0.2.1
zone         test. serial 7
";
        assert_eq!(render(&status), expected);
        assert!(render(&json!({"identity": "a", "leader": true})).contains("replica      a leads"));
        assert!(render(&Value::Null).starts_with("not ready"));
    }
}
