//! What is wrong with the configuration is told with its place, and nothing starts.

use anyhow::Result;
use e2e::Ports;
use e2e::shell::{Printed, run};
use e2e::vrata::binary;
use tempfile::TempDir;
use tokio::net::TcpListener;

struct Try {
    directory: TempDir,
    ports: Ports,
}

impl Try {
    fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        std::fs::create_dir(directory.path().join("manifests"))?;
        Ok(Self { directory, ports: Ports::default() })
    }

    /// A correct configuration, a key a line.
    fn lines(&self) -> Vec<String> {
        let Ports { http, https, dns, admin } = self.ports;
        let here = self.directory.path().display();
        vec![
            format!("source: {{manifests: {here}/manifests}}"),
            format!("state: {here}/state"),
            "gateway:".to_owned(),
            format!("  http: [\"{http}\"]"),
            format!("  https: [\"{https}\"]"),
            "  drainSeconds: 5".to_owned(),
            "dns:".to_owned(),
            format!("  listen: [\"{dns}\"]"),
            "  zones: [{name: dyn.example.org}]".to_owned(),
            format!("admin: {{listen: \"{admin}\"}}"),
        ]
    }

    async fn run(&self, lines: &[String]) -> Result<Printed> {
        let file = self.directory.path().join("config.yaml");
        std::fs::write(&file, lines.join("\n"))?;
        run(&binary()?, &["run", "--config", &file.display().to_string()]).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_type_or_value_is_named_with_its_place() -> Result<()> {
    let tried = Try::new()?;
    // The line (the first is 1), what stands there instead, the key path, and a word of what was expected.
    let cases = [
        (6, "  drainSecond: 5", "gateway.drainSecond", "drainSeconds"),
        (6, "  drainSeconds: soon", "gateway.drainSeconds", "in seconds (0 to 86400)"),
        (6, "  accessLog: xml", "gateway.accessLog", "json"),
        (4, "  http: [\"127.0.0.1\"]", "gateway.http[0]", "port"),
        (9, "  zones: [{name: \"dyn..example\"}]", "dns.zones[0].name", "dyn..example"),
        (9, "  zones: [{nam: dyn.example.org}]", "dns.zones[0].nam", "name"),
        (10, "admin: {listen: [1, 2]}", "admin.listen", "host:port"),
        (10, "addresses: {pools: [{name: a, ranges: [\"10.0.0.0/33\"]}]}", "addresses.pools[0].ranges[0]", "10.0.0.0/33"),
    ];
    for (line, text, key, expected) in cases {
        let mut lines = tried.lines();
        text.clone_into(&mut lines[line - 1]);
        let printed = tried.run(&lines).await?;
        assert_eq!((printed.code, printed.out.as_str()), (Some(1), ""), "{text}: {}", printed.err);
        for part in [format!("config.yaml:{line}:"), key.to_owned(), expected.to_owned()] {
            assert!(printed.err.contains(&part), "{part:?} is not in the error for {text:?}:\n{}", printed.err);
        }
        assert!(!tried.directory.path().join("state").exists(), "{text}: something started");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_named() -> Result<()> {
    let tried = Try::new()?;
    let Ports { http, https, dns, admin } = tried.ports;
    for taken in [http, https, dns, admin] {
        let _holder = TcpListener::bind(taken).await?;
        let printed = tried.run(&tried.lines()).await?;
        assert_eq!((printed.code, printed.out.as_str()), (Some(1), ""), "{}", printed.err);
        assert!(printed.err.contains(&taken.to_string()) && printed.err.contains("in use"), "{}", printed.err);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_command_line_exits_with_two() -> Result<()> {
    for args in [&["serve"][..], &["run", "--http", "nowhere"], &["check"]] {
        let printed = run(&binary()?, args).await?;
        assert_eq!(printed.code, Some(2), "{args:?}: {}", printed.err);
    }
    Ok(())
}
