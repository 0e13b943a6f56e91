//! Asks for the content of single Secrets, few at a time, until each answer is there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::api::GetParams;
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::fault::{Class, Fault, delay};
use super::metrics::Meter;
use super::subject::Subject;
use crate::objects::ObjectKey;
use crate::source::object::Kind;

/// How many are asked for at the same time.
const AT_ONCE: usize = 8;

/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(10);

/// What came of asking.
#[derive(Debug)]
pub(super) struct Answer {
    key: ObjectKey,
    serial: u64,
    /// The Secret; `None` when there is none.
    value: Option<Value>,
}

/// Requests that are under way.
pub(super) struct Fetches {
    asking: Asking,
    serial: u64,
    running: BTreeMap<ObjectKey, Running>,
}

#[derive(Debug)]
struct Running {
    serial: u64,
    since: Instant,
    _task: AbortOnDropHandle<()>,
}

/// What asking takes.
#[derive(Clone)]
struct Asking {
    client: Client,
    permits: Arc<Semaphore>,
    answers: mpsc::Sender<Answer>,
    meter: Meter,
}

impl Fetches {
    /// Answers go to `answers`.
    pub(super) fn new(client: Client, answers: mpsc::Sender<Answer>, meter: Meter) -> Self {
        let asking = Asking { client, permits: Arc::new(Semaphore::new(AT_ONCE)), answers, meter };
        Self { asking, serial: 0, running: BTreeMap::new() }
    }

    /// Asks for a Secret, anew if it was asked for before.
    pub(super) fn begin(&mut self, key: ObjectKey) {
        self.serial += 1;
        let (serial, since) = (self.serial, Instant::now());
        let task = AbortOnDropHandle::new(tokio::spawn(self.asking.clone().run(key.clone(), serial)));
        self.running.insert(key, Running { serial, since, _task: task });
    }

    /// The answer is not wanted any more.
    pub(super) fn forget(&mut self, key: &ObjectKey) {
        self.running.remove(key);
    }

    /// Takes an answer, unless it is one that is not waited for any more.
    pub(super) fn take(&mut self, answer: Answer) -> Option<(ObjectKey, Option<Value>)> {
        let Answer { key, serial, value } = answer;
        if self.running.get(&key).is_none_or(|running| running.serial != serial) {
            return None;
        }
        self.running.remove(&key);
        Some((key, value))
    }

    /// When the latest of those that are under way was begun.
    pub(super) fn latest(&self) -> Option<Instant> {
        self.running.values().map(|running| running.since).max()
    }
}

impl Asking {
    async fn run(self, key: ObjectKey, serial: u64) {
        let mut failures = 0_u32;
        loop {
            match self.ask(&key).await {
                Ok(value) => {
                    // A worker that is gone needs no answer.
                    let _ = self.answers.send(Answer { key, serial, value }).await;
                    return;
                }
                Err(fault) => {
                    self.meter.failed(fault.class);
                    failures = failures.saturating_add(1);
                    tracing::debug!(secret = %key, class = fault.class.label(), message = fault.message, "a Secret cannot be read");
                    tokio::time::sleep(delay(failures, rand::random(), fault.retry_after)).await;
                }
            }
        }
    }

    async fn ask(&self, key: &ObjectKey) -> Result<Option<Value>, Fault> {
        let _permit = self.permits.acquire().await;
        self.meter.get();
        secret(&self.client, key).await
    }
}

/// A Secret with its content; `None` when there is none.
pub(super) async fn secret(client: &Client, key: &ObjectKey) -> Result<Option<Value>, Fault> {
    let request = Subject::Kind(Kind::Secret).request_in(Some(&key.namespace)).get(&key.name, &GetParams::default());
    let request = request.map_err(|error| Fault::new(Class::BadData, error.to_string()))?;
    let late = || Fault::new(Class::Slow, format!("no answer within {} seconds", ANSWER.as_secs()));
    // `Client::request` would log an answer that it cannot read, with the secret in it.
    let answer = timeout(ANSWER, client.request_text(request)).await.map_err(|_| late())?.map_err(Fault::from);
    match answer {
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|_| Fault::new(Class::BadData, "the answer is no JSON")),
        Err(fault) if fault.class == Class::NotFound => Ok(None),
        Err(fault) => Err(fault),
    }
}
