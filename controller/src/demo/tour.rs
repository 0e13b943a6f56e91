//! What the demo prints once it serves: commands to copy, and what each shows. Pure.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use super::Platform;
use crate::run::Addresses;

/// The zone of the examples.
const ZONE: &str = "dyn.cloud.e-infra.cz";

/// Renders the tour. `program` is how this program was called.
#[must_use]
pub fn render(program: &str, addresses: &Addresses, platform: &Platform, examples: &Path) -> String {
    let Addresses { http, https, dns, admin } = addresses;
    let mut text = format!("\nVrata serves {}. Open http://{admin}/ for what is served and what is wrong.\n", examples.display());
    if let Some(root) = &platform.root {
        let _ = writeln!(text, "Certificates are signed by a CA of this demo's own; its root: {}", root.display());
    }
    let trust = platform.root.as_ref().map_or_else(|| "-k".to_owned(), |root| format!("--cacert {}", root.display()));
    let served = network_steps(http.first(), https.first(), dns.first(), &trust);
    for (what, command) in served.into_iter().chain(own_steps(program, *admin, examples)) {
        let _ = write!(text, "\n{what}\n  {command}\n");
    }
    text.push_str("\nChange, add or remove a manifest and ask again: it is served at once. Stop with Ctrl-C.\n");
    text
}

/// What one asks this program about itself.
fn own_steps(program: &str, admin: SocketAddr, examples: &Path) -> [(&'static str, String); 3] {
    [
        ("What a tenant is told about mistakes:", format!("{program} check {}", examples.display())),
        ("Which object decides, and why:", format!("{program} explain --admin {admin} https://hello.{ZONE}/login")),
        ("What is served and what is wrong:", format!("{program} status --admin {admin}")),
    ]
}

/// What one sees from outside.
fn network_steps(http: Option<&SocketAddr>, https: Option<&SocketAddr>, dns: Option<&SocketAddr>, trust: &str) -> Vec<(&'static str, String)> {
    let mut steps = Vec::new();
    if let Some(dns) = dns {
        let dig = format!("dig +noall +answer @{} -p {}", dns.ip(), dns.port());
        steps.push(("The name follows the Ingress:", format!("{dig} hello.{ZONE} A")));
        steps.push(("A Service of type LoadBalancer has an address and a name:", format!("{dig} database.{ZONE} A")));
        let address = format!("$(dig +short @{} -p {} database.{ZONE} A)", dns.ip(), dns.port());
        steps.push((
            "TCP and UDP on that address (the app sends back what it gets):",
            format!("echo hello | nc -N {address} 5432; echo hello | nc -u -w1 {address} 9125"),
        ));
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
        let text = render("target/release/vrata", &addresses, &platform, Path::new("examples"));
        for expected in [
            "http://127.0.0.1:4/",
            "dig +noall +answer @127.0.0.1 -p 3 hello.dyn.cloud.e-infra.cz A",
            "curl --cacert state/demo/ca.crt --connect-to hello.dyn.cloud.e-infra.cz::127.0.0.1:2 https://hello.dyn.cloud.e-infra.cz/",
            "dig +short @127.0.0.1 -p 3 database.dyn.cloud.e-infra.cz A",
            "target/release/vrata check examples",
            "target/release/vrata explain --admin 127.0.0.1:4 https://hello.dyn.cloud.e-infra.cz/login",
            "target/release/vrata status --admin 127.0.0.1:4",
        ] {
            assert!(text.contains(expected), "{expected} is not in {text}");
        }
    }
}
