//! Secrets: what nobody names is not read.

use anyhow::{Context, Result};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use e2e::lab::install::ZONE;
use e2e::lab::{Lab, app};
use e2e::{eventually, manifest};

/// Whether a process has these bytes in its memory.
fn remembers(process: i32, needle: &str) -> Result<bool> {
    use std::io::{Read, Seek, SeekFrom};
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps"))?;
    let mut memory = std::fs::File::open(format!("/proc/{process}/mem"))?;
    for map in maps.lines().filter(|map| map.contains(" rw")) {
        let Some((from, to)) = map.split(' ').next().and_then(|range| range.split_once('-')) else { continue };
        let (from, to) = (u64::from_str_radix(from, 16)?, u64::from_str_radix(to, 16)?);
        memory.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        // Parts of the address space cannot be read, such as the kernel's own.
        let _ = memory.by_ref().take(to - from).read_to_end(&mut bytes);
        if String::from_utf8_lossy(&bytes).contains(needle) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[test]
fn only_secrets_that_something_names_are_read() -> Result<()> {
    Lab::shared()?.run(async |lab| {
        let (vrata, kubectl, host) = (lab.vrata().await?, lab.kubectl(), format!("private.{ZONE}"));
        // What is looked for is never written out whole here, so that only the Secret's content can be found.
        let marker = |name: &str| (0..6).map(|turn| format!("{name}{turn}")).collect::<String>();
        let users = |name: &str| manifest::secret("private", name, &[("auth", &format!("{}:$apr1$vr4t4gat$MShakUlviNBsZiqk8eMhA0", marker(name)))]);
        let auth = [("nginx.ingress.kubernetes.io/auth-type", "basic"), ("nginx.ingress.kubernetes.io/auth-secret", "named")];
        let objects = app::echo("private") + &users("unnamed") + &users("named") + "---\n" + &app::ingress_with("private", "web", &host, &auth);
        kubectl.apply(&objects).await?;
        let client = vrata.https()?;
        eventually("it asks for a password", async || client.get(&host, "/").await, |answer| answer.status == 401).await?;
        let [replica] = vrata.replicas(lab).await?.try_into().unwrap();
        let process = replica.process.context("it runs here")?;
        let found = |name: &str| -> Result<bool> {
            let encoded = BASE64_STANDARD.encode(marker(name));
            Ok(remembers(process, &marker(name))? || remembers(process, encoded.trim_end_matches('='))?)
        };
        assert!(found("named")?, "what is named is read");
        assert!(!found("unnamed")?, "what nothing names is not");
        Ok(())
    })
}
