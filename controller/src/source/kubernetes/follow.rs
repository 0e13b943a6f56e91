//! Follows one kind: lists it, then watches from there, and goes on after every failure. What the objects say is not read here.
//!
//! This is kube's client without kube's `watcher`: that one does not show bookmarks, which are the sign of life of a kind in which nothing happens; it asks
//! for ever for a version that a server answers with 410 or 404; and one object whose metadata it cannot read keeps all others of the kind away.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use kube::Client;
use kube::api::{WatchEvent, WatchParams};
use kube::core::Request;
use serde_json::Value;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};

use super::fault::{Class, Fault, delay};
use super::list::{list, timely};
use super::metrics::Meter;
use super::subject::{Scope, Subject};

/// Longest silence of a watch: an API server sends a bookmark every minute.
const SILENCE: Duration = Duration::from_secs(100);

/// A watch that lasted so long was a good one.
const GOOD_WATCH: Duration = Duration::from_secs(10);

/// How often a kind that is not served is asked for, if nothing tells that it has come.
const ABSENT_RETRY: Duration = Duration::from_secs(60);

/// After so many answers in a row that a kind is not served it is believed: an API server that is starting may not know yet.
const BELIEVED_ABSENT: u32 = 6;

/// The same where nothing speaks for it: each API version is asked for.
const VERSIONS: u32 = 2;

/// After so many failures of the server to go on from a version, a list is taken instead.
const STUBBORN: u32 = 5;

/// What happened to a kind.
#[derive(Debug)]
pub(super) enum Change {
    /// All objects there are.
    Listed(Vec<Value>),
    /// One came or changed.
    Applied(Value),
    /// One went.
    Deleted(Value),
    /// The kind is not served.
    Absent,
    /// Reading failed; it is tried again.
    Failed(Fault),
    /// Reading works, perhaps again.
    Restored,
}

/// Follows one kind.
pub(super) struct Follower {
    client: Client,
    subject: Subject,
    scope: Scope,
    changes: mpsc::Sender<(Subject, Change)>,
    wake: Arc<Notify>,
    meter: Meter,
}

/// How far it is.
#[derive(Debug, Default)]
struct Progress {
    /// From where to watch; `None` when a list is due.
    version: Option<String>,
    failures: u32,
    /// How often in a row the kind was not served.
    missing: u32,
    /// Whether the later API version is asked for, where there are two.
    later: bool,
    /// Whether there is reason to believe that the kind is served.
    expected: bool,
}

impl Follower {
    /// Ready to run. `wake` ends a wait early.
    pub(super) fn new(
        client: Client,
        (subject, scope): (Subject, Scope),
        changes: mpsc::Sender<(Subject, Change)>,
        wake: Arc<Notify>,
        meter: Meter,
    ) -> Self {
        Self { client, subject, scope, changes, wake, meter }
    }

    /// In the version that is tried now.
    fn request(&self, progress: &Progress) -> Request {
        let namespace = self.scope.namespace.as_deref();
        let later = if progress.later { self.subject.later_request_in(namespace) } else { None };
        later.unwrap_or_else(|| self.subject.request_in(namespace))
    }

    /// Goes on until nobody wants to know any more.
    pub(super) async fn run(self) {
        let mut progress = Progress::default();
        while !self.changes.is_closed() {
            let done = match progress.version.clone() {
                None => self.list(&mut progress).await,
                Some(version) => self.watch(&version, &mut progress).await,
            };
            if let Err(fault) = done {
                self.failed(fault, &mut progress).await;
            }
        }
    }

    async fn list(&self, progress: &mut Progress) -> Result<(), Fault> {
        let selector = self.scope.field_selector.clone();
        let listed = list(&self.client, &self.request(progress), selector, self.subject.is_metadata_only(), Some(&self.meter)).await?;
        if listed.version.is_empty() {
            return Err(Fault::new(Class::BadData, "the list has no metadata.resourceVersion"));
        }
        self.tell(Change::Listed(listed.items)).await;
        progress.version = Some(listed.version);
        progress.missing = 0;
        progress.expected = true;
        Ok(())
    }

    async fn watch(&self, version: &str, progress: &mut Progress) -> Result<(), Fault> {
        self.meter.watch();
        let (request, params) = (self.request(progress), WatchParams { field_selector: self.scope.field_selector.clone(), ..WatchParams::default() });
        let request = if self.subject.is_metadata_only() { request.watch_metadata(&params, version) } else { request.watch(&params, version) };
        let request = request.map_err(|error| Fault::new(Class::BadData, error.to_string()))?;
        let begun = Instant::now();
        let mut events = pin!(timely(self.client.request_events::<Value>(request)).await?);
        self.meter.contact();
        self.tell(Change::Restored).await;
        let mut silent = true;
        loop {
            match timeout(SILENCE, events.try_next()).await {
                Ok(event) => match event? {
                    Some(event) => self.take(event, progress).await?,
                    None if silent && begun.elapsed() < GOOD_WATCH => return Err(Fault::new(Class::Cut, "the watch ended as soon as it had begun")),
                    None => break,
                },
                // Not every server sends bookmarks: the next watch shows whether this one is there.
                Err(_) => {
                    self.meter.failed(Class::Slow);
                    break;
                }
            }
            silent = false;
            progress.failures = 0;
        }
        progress.failures = 0;
        Ok(())
    }

    async fn take(&self, event: WatchEvent<Value>, progress: &mut Progress) -> Result<(), Fault> {
        self.meter.contact();
        let change = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => Change::Applied(object),
            WatchEvent::Deleted(object) => Change::Deleted(object),
            WatchEvent::Bookmark(bookmark) => {
                progress.version = Some(bookmark.metadata.resource_version);
                return Ok(());
            }
            WatchEvent::Error(status) => return Err(Fault::of_status(&status)),
        };
        if let Change::Applied(object) | Change::Deleted(object) = &change
            && let Some(version) = object["metadata"]["resourceVersion"].as_str()
        {
            progress.version = Some(version.to_owned());
        }
        self.tell(change).await;
        Ok(())
    }

    async fn failed(&self, fault: Fault, progress: &mut Progress) {
        if fault.class.wants_list() || (fault.class == Class::ServerError && progress.failures >= STUBBORN) {
            progress.version = None;
        }
        if fault.class == Class::NotFound && self.subject.may_be_absent() {
            return self.missing(progress).await;
        }
        self.meter.failed(fault.class);
        progress.failures = progress.failures.saturating_add(1);
        let wait = delay(progress.failures, rand::random(), fault.retry_after);
        tracing::debug!(kind = self.subject.name(), class = fault.class.label(), message = fault.message, ?wait, "watching failed");
        self.tell(Change::Failed(fault)).await;
        self.wait(wait).await;
    }

    async fn missing(&self, progress: &mut Progress) {
        self.meter.contact();
        progress.missing = progress.missing.saturating_add(1);
        progress.later = !progress.later;
        let enough = if progress.expected { BELIEVED_ABSENT } else { VERSIONS };
        if progress.missing < enough {
            self.wait(delay(progress.missing, rand::random(), None)).await;
            return;
        }
        self.tell(Change::Restored).await;
        self.tell(Change::Absent).await;
        progress.missing = 0;
        progress.expected = self.wait(ABSENT_RETRY).await;
    }

    /// Waits for so long, or until it is woken; returns whether it was.
    async fn wait(&self, time: Duration) -> bool {
        timeout(time, self.wake.notified()).await.is_ok()
    }

    /// A worker that is gone ends the loop of `run`.
    async fn tell(&self, change: Change) {
        let _ = self.changes.send((self.subject, change)).await;
    }
}
