//! Addresses that were written into a Service's status, or may have been, before the watch shows it: until it does, no other Service gets them. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::write::{Outcome, StatusKind, StatusWrite};
use crate::objects::{ObjectKey, Objects};

/// How long an address is kept for a Service that the watch does not show: longer than any watch lags behind that is not away altogether.
const UNSEEN: SignedDuration = SignedDuration::from_secs(30);

/// Addresses by Service.
#[derive(Debug, Default)]
pub(super) struct Promises {
    services: BTreeMap<ObjectKey, Promise>,
}

#[derive(Debug)]
struct Promise {
    addresses: Vec<IpAddr>,
    since: Since,
}

#[derive(Debug)]
enum Since {
    /// Written over this version. The write names it, so whatever version comes after is the written one, or the write has failed.
    Over(String),
    /// This version has it, at the latest from this time on.
    In(String, Timestamp),
}

impl Promises {
    /// The API server says that the Service had them at the start.
    pub(super) fn recall(&mut self, service: ObjectKey, version: String, addresses: Vec<IpAddr>, now: Timestamp) {
        let until = now.saturating_add(UNSEEN).unwrap_or(Timestamp::MAX);
        self.services.insert(service, Promise { addresses, since: Since::In(version, until) });
    }

    pub(super) fn started(&mut self, write: &StatusWrite) {
        let addresses = addresses(&write.status);
        if write.target.kind != StatusKind::Service || addresses.is_empty() {
            return;
        }
        // Of two writes over one version the first may have been carried out although nobody answered.
        if let Some(Promise { addresses: before, since: Since::Over(version) }) = self.services.get_mut(&write.target.key)
            && *version == write.resource_version
        {
            before.extend(addresses);
            return;
        }
        self.services.insert(write.target.key.clone(), Promise { addresses, since: Since::Over(write.resource_version.clone()) });
    }

    pub(super) fn finished(&mut self, write: &StatusWrite, outcome: &Outcome) {
        // What is stale will be seen to be so; until then a write before it may be what made it stale.
        let is_certainly_not_written = matches!(outcome, Outcome::Conflict(_) | Outcome::Refused);
        if write.target.kind == StatusKind::Service && is_certainly_not_written {
            self.services.remove(&write.target.key);
        }
    }

    /// Forgets what the watch shows by now.
    pub(super) fn see(&mut self, objects: &Objects, now: Timestamp) {
        self.services.retain(|service, promise| {
            let seen = objects.services.get(service).map(|stored| stored.meta.resource_version.as_str());
            match (&promise.since, seen) {
                (Since::Over(version), seen) => seen == Some(version),
                (Since::In(version, until), Some(seen)) => is_before(seen, version) && now < *until,
                (Since::In(_, until), None) => now < *until,
            }
        });
    }

    /// The promised addresses, and to whom.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&ObjectKey, IpAddr)> {
        self.services.iter().flat_map(|(service, promise)| promise.addresses.iter().map(move |address| (service, *address)))
    }
}

/// Versions of one object are numbers that grow (KEP-5504). If these are none, only the same one counts as seen.
fn is_before(seen: &str, version: &str) -> bool {
    match (seen.parse::<u64>(), version.parse::<u64>()) {
        (Ok(seen), Ok(version)) => seen < version,
        _ => seen != version,
    }
}

fn addresses(status: &Value) -> Vec<IpAddr> {
    let entries = status.pointer("/loadBalancer/ingress").and_then(Value::as_array);
    entries.into_iter().flatten().filter_map(|entry| entry.get("ip")?.as_str()?.parse().ok()).collect()
}
