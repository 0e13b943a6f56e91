//! What the demo prints once it serves: commands to copy, and what each shows. Pure.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use super::Platform;
use crate::run::Addresses;

/// The zone of the examples.
const ZONE: &str = "dyn.cloud.e-infra.cz";

/// Renders the tour.
#[must_use]
pub fn render(addresses: &Addresses, platform: &Platform, examples: &Path) -> String {
    let Addresses { http, https, dns, admin } = addresses;
    let mut text = format!("\nVrata serves {}. Open http://{admin}/ for what is served and what is wrong.\n", examples.display());
    if let Some(root) = &platform.root {
        let _ = writeln!(text, "Certificates are signed by a CA of this demo's own; its root: {}", root.display());
    }
    let trust = platform.root.as_ref().map_or_else(|| "-k".to_owned(), |root| format!("--cacert {}", root.display()));
    for (what, command) in steps(http.first(), https.first(), dns.first(), &trust, examples) {
        let _ = write!(text, "\n{what}\n  {command}\n");
    }
    text.push_str("\nChange, add or remove a manifest and ask again: it is served at once. Stop with Ctrl-C.\n");
    text
}

fn steps(
    http: Option<&SocketAddr>,
    https: Option<&SocketAddr>,
    dns: Option<&SocketAddr>,
    trust: &str,
    examples: &Path,
) -> Vec<(&'static str, String)> {
    let mut steps = Vec::new();
    if let Some(dns) = dns {
        let dig = format!("dig +noall +answer @{} -p {}", dns.ip(), dns.port());
        steps.push(("The name follows the Ingress:", format!("{dig} hello.{ZONE} A")));
        steps.push(("A Service of type LoadBalancer has an address and a name:", format!("{dig} database.{ZONE} A")));
    }
    if let Some(https) = https {
        let curl = |host: &str| format!("curl {trust} --connect-to {host}.{ZONE}::{https}");
        steps.push(("An app over trusted HTTPS:", format!("{} https://hello.{ZONE}/", curl("hello"))));
        steps.push(("An app behind a password (without it: 401):", format!("{} -u 'alice:correct horse' https://private.{ZONE}/", curl("private"))));
        steps.push((
            "An upload, streamed to the app (with 65 MB: 413):",
            format!("head -c 60M /dev/zero | {} -T - https://upload.{ZONE}/", curl("upload")),
        ));
        steps.push((
            "A WebSocket that is accepted (101):",
            format!(
                "{} -sN --http1.1 -m 1 -o /dev/null -w '%{{http_code}}\\n' -H 'Connection: Upgrade' -H 'Upgrade: websocket' \
                 -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: dnJhdGEgZGVtbyBrZXkhIQ==' https://chat.{ZONE}/",
                curl("chat")
            ),
        ));
    }
    if let Some(http) = http {
        steps.push(("Plain HTTP is sent to HTTPS (308):", format!("curl -sI --connect-to hello.{ZONE}::{http} http://hello.{ZONE}/page")));
    }
    steps.push((
        "TCP and UDP on the Service's address (the app sends back what it gets):",
        "echo hello | nc -N 127.0.10.1 5432; echo hello | nc -u -w1 127.0.10.1 9125".into(),
    ));
    steps.push(("What a tenant is told about mistakes:", format!("vrata check {}", examples.display())));
    steps.push(("Which object decides, and why:", format!("vrata explain https://hello.{ZONE}/login")));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_the_addresses_that_are_served() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let addresses = Addresses { http: vec![address(1)], https: vec![address(2)], dns: vec![address(3)], admin: address(4) };
        let platform = Platform { manifests: "p".into(), root: Some("state/demo/ca.crt".into()) };
        let text = render(&addresses, &platform, Path::new("examples"));
        for expected in [
            "http://127.0.0.1:4/",
            "dig +noall +answer @127.0.0.1 -p 3 hello.dyn.cloud.e-infra.cz A",
            "curl --cacert state/demo/ca.crt --connect-to hello.dyn.cloud.e-infra.cz::127.0.0.1:2 https://hello.dyn.cloud.e-infra.cz/",
            "vrata check examples",
        ] {
            assert!(text.contains(expected), "{expected} is not in {text}");
        }
    }
}
