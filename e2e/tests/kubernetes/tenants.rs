//! Tenants: what one of them cannot take from another, and what nobody reads.

use anyhow::Result;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use e2e::lab::install::ZONE;
use e2e::lab::{Lab, app};
use e2e::{eventually, manifest};

use super::ingress::reasons;

#[test]
fn a_host_belongs_to_the_namespace_that_had_it_first() -> Result<()> {
    Lab::shared()?.run(async |lab| {
        let (vrata, kubectl, host) = (lab.vrata().await?, lab.kubectl(), format!("mine.{ZONE}"));
        kubectl.apply(&(app::echo("owner") + &app::ingress("owner", "web", &host))).await?;
        let client = vrata.https()?;
        eventually("it is served", async || client.get(&host, "/").await, |answer| answer.status == 200).await?;
        // Even in the same second, since the greater name counts as the older one then.
        kubectl.apply(&(app::echo("intruder") + &app::ingress("intruder", "squat", &host))).await?;
        let told = async || reasons(lab, "intruder", "squat").await;
        eventually("the other is told", told, |reasons| reasons.iter().any(|reason| reason == "HostOwnedByAnother")).await?;
        assert_eq!(client.get(&host, "/").await?.status, 200, "the first still has it");
        let refused = kubectl.get("ingress", "intruder", "squat").await?;
        assert!(refused["status"]["loadBalancer"]["ingress"].is_null(), "{}", refused["status"]);
        Ok(())
    })
}

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
        let found = |name: &str| -> Result<bool> {
            let encoded = BASE64_STANDARD.encode(marker(name));
            Ok(remembers(replica.process, &marker(name))? || remembers(replica.process, encoded.trim_end_matches('='))?)
        };
        assert!(found("named")?, "what is named is read");
        assert!(!found("unnamed")?, "what nothing names is not");
        Ok(())
    })
}
