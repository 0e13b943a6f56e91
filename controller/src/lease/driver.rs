//! Carries out what the machine decides: reads, writes and watches one Lease, and grants leadership accordingly.

use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watch_object};
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;

use super::machine::{Elector, Put, Record, Seen, Step, Timing, Written};
use super::{Grants, Leadership, Moment};

/// How long a request for the Lease may take.
const LONGEST_REQUEST: Duration = Duration::from_secs(3);

type Watch = Pin<Box<dyn Stream<Item = Result<Option<Lease>, watcher::Error>> + Send>>;

/// A process that wants to lead.
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    identity: String,
    timing: Timing,
    grants: Grants,
}

impl Candidate {
    /// A candidate for the Lease of this name. `identity` must be this process's own, and never used again.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str, timing: Timing) -> (Self, Leadership) {
        let (leadership, grants) = Leadership::contended(identity);
        let api = Api::namespaced(client, namespace);
        (Self { api, name: name.to_owned(), identity: identity.to_owned(), timing, grants }, leadership)
    }

    /// Takes part until `stop`, then gives the Lease back so that another takes over at once.
    pub async fn run(self, stop: CancellationToken) {
        let mut elector = Elector::new(self.identity.clone(), self.timing, Moment::now());
        let mut last: Option<Lease> = None;
        let mut watch: Option<Watch> = None;
        while !stop.is_cancelled() {
            let now = Moment::now();
            self.grant(&elector, now);
            match elector.next(now) {
                Step::Read => self.read(&mut elector, &mut last).await,
                Step::Put(put) => self.put(&mut elector, &mut last, put).await,
                Step::Wait(until) => {
                    if elector.leads_until(now).is_some() {
                        // The leader changes the Lease itself; what it cannot change it reads.
                        watch = None;
                    } else if watch.is_none() {
                        watch = Some(Box::pin(watch_object(self.api.clone(), &self.name).default_backoff()));
                    }
                    tokio::select! {
                        () = stop.cancelled() => {},
                        () = tokio::time::sleep(until.since(now)) => {},
                        Some(seen) = changes(&mut watch) => match seen {
                            Ok(lease) => see(&mut elector, &mut last, lease),
                            Err(error) => tracing::debug!(%error, "the Lease cannot be watched"),
                        },
                    }
                }
            }
        }
        let released = elector.release();
        self.grants.grant(None);
        if let Some(put) = released {
            self.put(&mut elector, &mut last, put).await;
            self.grants.grant(None);
            tracing::info!(identity = self.identity, "leadership given back");
        }
    }

    fn grant(&self, elector: &Elector, now: Moment) {
        let led = self.grants.leads();
        let until = elector.leads_until(now);
        self.grants.grant(until);
        match (led, until.is_some()) {
            (false, true) => tracing::info!(identity = self.identity, "this replica leads now"),
            (true, false) => tracing::warn!(identity = self.identity, leader = elector.leader(), "this replica does not lead any more"),
            _ => {}
        }
    }

    /// How long a request may take: not longer than leadership lasts, whose end has to be noticed.
    fn patience(elector: &Elector, now: Moment) -> Duration {
        elector.leads_until(now).map_or(LONGEST_REQUEST, |until| until.since(now).min(LONGEST_REQUEST))
    }

    async fn read(&self, elector: &mut Elector, last: &mut Option<Lease>) {
        let patience = Self::patience(elector, Moment::now());
        match tokio::time::timeout(patience, self.api.get_opt(&self.name)).await {
            Ok(Ok(lease)) => see(elector, last, lease),
            Ok(Err(error)) => {
                tracing::warn!(%error, lease = self.name, "the Lease cannot be read");
                elector.unreadable(Moment::now());
            }
            Err(_) => {
                tracing::warn!(lease = self.name, "the Lease cannot be read: no answer");
                elector.unreadable(Moment::now());
            }
        }
    }

    async fn put(&self, elector: &mut Elector, last: &mut Option<Lease>, put: Put) {
        let sent = Moment::now();
        let lease = self.lease(last.as_ref(), &put);
        let (patience, params) = (Self::patience(elector, sent), PostParams::default());
        let request = async {
            match put.version {
                None => self.api.create(&params, &lease).await,
                Some(_) => self.api.replace(&self.name, &params, &lease).await,
            }
        };
        let written = match tokio::time::timeout(patience, request).await {
            Ok(Ok(lease)) => {
                let seen = seen(&lease);
                *last = Some(lease);
                seen.map_or(Written::Unknown, Written::Accepted)
            }
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => Written::Conflict,
            Ok(Err(error)) => {
                tracing::warn!(%error, lease = self.name, "the Lease cannot be written");
                Written::Unknown
            }
            Err(_) => {
                tracing::warn!(lease = self.name, "the Lease cannot be written: no answer");
                Written::Unknown
            }
        };
        elector.wrote(written, sent, Moment::now());
    }

    /// The Lease as it is to be: what others wrote beside our fields stays.
    fn lease(&self, last: Option<&Lease>, put: &Put) -> Lease {
        let last = last.filter(|_| put.version.is_some()).cloned().unwrap_or_default();
        let now = MicroTime(Timestamp::now());
        let spec = last.spec.unwrap_or_default();
        let acquire_time = if put.acquires { Some(now.clone()) } else { spec.acquire_time };
        Lease {
            metadata: ObjectMeta { name: Some(self.name.clone()), resource_version: put.version.clone(), managed_fields: None, ..last.metadata },
            spec: Some(LeaseSpec {
                holder_identity: Some(put.holder.clone().unwrap_or_default()),
                lease_duration_seconds: i32::try_from(self.timing.duration.as_secs()).ok(),
                lease_transitions: Some(put.transitions),
                acquire_time,
                renew_time: Some(now),
                ..spec
            }),
        }
    }
}

async fn changes(watch: &mut Option<Watch>) -> Option<Result<Option<Lease>, watcher::Error>> {
    match watch {
        Some(watch) => watch.next().await,
        None => None,
    }
}

fn see(elector: &mut Elector, last: &mut Option<Lease>, lease: Option<Lease>) {
    elector.saw(lease.as_ref().and_then(seen), Moment::now());
    *last = lease;
}

/// What the machine looks at. A Lease without a version did not come from an API server.
fn seen(lease: &Lease) -> Option<Seen> {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
    let record = Record {
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        duration: seconds.map(Duration::from_secs),
        transitions: spec.lease_transitions.unwrap_or(0),
        renewed: spec.renew_time.map(|time| time.0.to_string()),
    };
    Some(Seen { version: lease.metadata.resource_version.clone()?, record })
}
