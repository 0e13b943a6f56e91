//! Runs the plan: starts attempts, keeps what came of them, wakes up when something is due. The decisions themselves are in `plan`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::account::Accounts;
use crate::backoff::retry_at;
use crate::board::Board;
use crate::failure::AttemptFailure;
use crate::job::{Done, Job, Outcome};
use crate::ledger::{FailureRecord, Ledger, Record, Running, spec_fingerprint};
use crate::listed::listed;
use crate::metrics::Metrics;
use crate::plan::{Action, Limits, Reason, plan};
use crate::store::{Store, StoreError};
use crate::transport::{Transport, TransportError};
use crate::{AcmeIssuer, Held, Issuer, SecretName, SelfCheck, WantedSet};

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// How long it sleeps at most: a clock that was set is noticed then.
const LONGEST_SLEEP: Duration = Duration::from_secs(15 * 60);
/// Requests for renewal advice at once.
const POLLS: usize = 4;

/// How the engine runs.
#[derive(Clone)]
pub struct Options {
    /// Where answers are checked.
    pub self_check: SelfCheck,
    /// The clock; only tests set another one than the system's.
    pub clock: Clock,
    /// How many attempts may be under way at once with one issuer.
    pub orders_per_issuer: usize,
}

impl Options {
    /// The usual: the system's clock, and 20 orders at once with one issuer.
    #[must_use]
    pub fn new(self_check: SelfCheck) -> Self {
        Self { self_check, clock: Arc::new(SystemTime::now), orders_per_issuer: 20 }
    }
}

/// The running engine. Dropping it stops it at once, as a crash would: nothing that was acknowledged is lost.
pub struct Engine {
    task: tokio::task::JoinHandle<()>,
    metrics: Metrics,
    lost: mpsc::UnboundedSender<SecretName>,
}

impl Engine {
    /// Starts the engine on the current tokio runtime. `Held` has everything that the store has from the start; what is wanted is read from `wanted`
    /// whenever it changes.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn start(
        store: Arc<dyn Store>,
        wanted: watch::Receiver<Arc<WantedSet>>,
        options: Options,
        metrics: Metrics,
    ) -> Result<(Self, watch::Receiver<Arc<Held>>), StoreError> {
        let reader = store.clone();
        let loaded = tokio::task::spawn_blocking(move || reader.load()).await;
        let loaded = loaded.map_err(|error| StoreError::Remote { object: "the store".to_owned(), message: error.to_string() })??;
        for aside in &loaded.set_aside {
            tracing::error!(place = aside.place, "{}", aside.message);
        }
        let certificates: BTreeMap<_, _> = loaded.certificates.into_iter().map(|(secret, held)| (secret, Arc::new(held))).collect();
        for (secret, held) in &certificates {
            metrics.held(secret, held.not_after);
        }
        let (board, held) = Board::new(certificates);
        let ledger = Ledger { records: loaded.records, orders: loaded.orders, ..Ledger::default() };
        let accounts = Accounts::new(store.clone());
        let (transports, jobs, started) = (BTreeMap::new(), JoinSet::new(), BTreeMap::new());
        let (lost, losses) = mpsc::unbounded_channel();
        let desk = Desk { store, board, ledger, accounts, options, metrics: metrics.clone(), transports, jobs, started, losses };
        Ok((Self { task: tokio::spawn(desk.run(wanted)), metrics, lost }, held))
    }

    /// A certificate is gone from where it was kept, so it is obtained again: whoever removed it wanted that.
    pub fn lost(&self, secret: SecretName) {
        // An engine that has ended holds nothing.
        let _ = self.lost.send(secret);
    }

    /// Stops the engine. A file that is being written is still finished; the store is free once that is done.
    pub async fn stop(mut self) {
        self.task.abort();
        // Aborted, or ended before: either is what was asked for.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.task.abort();
        self.metrics.none_held();
    }
}

/// Runs blocking work (files, keys) off the runtime's threads. It runs to its end even when the caller is dropped.
pub(crate) async fn offload<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, AttemptFailure> {
    tokio::task::spawn_blocking(work).await.map_err(AttemptFailure::local)
}

/// Everything that the engine's task has before it.
struct Desk {
    store: Arc<dyn Store>,
    board: Board,
    ledger: Ledger,
    accounts: Accounts,
    options: Options,
    metrics: Metrics,
    /// Connections by the roots that they are verified with.
    transports: BTreeMap<Option<String>, Transport>,
    jobs: JoinSet<Done>,
    /// What each job is for (its Secret, and what was wanted), should it die.
    started: BTreeMap<tokio::task::Id, (SecretName, String)>,
    /// Certificates that somebody has removed.
    losses: mpsc::UnboundedReceiver<SecretName>,
}

impl Desk {
    async fn run(mut self, mut wanted: watch::Receiver<Arc<WantedSet>>) {
        let mut open = true;
        loop {
            let want = wanted.borrow_and_update().clone();
            let pause = self.carry_out(&want).await;
            tokio::select! {
                changed = wanted.changed(), if open => open = changed.is_ok(),
                Some(done) = self.jobs.join_next_with_id() => self.settle(done).await,
                Some(secret) = self.losses.recv() => self.board.release(&secret),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Plans and starts what is due; returns how long there is nothing more to do.
    async fn carry_out(&mut self, wanted: &WantedSet) -> Duration {
        let now = (self.options.clock)();
        let held = self.board.current();
        let limits = Limits { per_issuer: self.options.orders_per_issuer, polls: POLLS };
        let plan = plan(wanted, &held.certificates, &self.ledger, limits, now);
        self.board.say(plan.states);
        for action in plan.actions {
            match action {
                Action::Issue { secret, reason } => self.issue(wanted, secret, reason, now).await,
                Action::PollAdvice { secret } => self.poll(wanted, secret),
                Action::ForgetOrder { secret } => self.forget_order(secret).await,
            }
        }
        plan.wake_at.map_or(LONGEST_SLEEP, |at| at.duration_since(now).unwrap_or_default().min(LONGEST_SLEEP))
    }

    async fn issue(&mut self, wanted: &WantedSet, secret: SecretName, reason: Reason, now: SystemTime) {
        // The plan names only what is wanted, from issuers that are there.
        let Some(want) = wanted.certificates.get(&secret) else { return };
        let Some(issuer) = wanted.issuers.get(&want.issuer) else { return };
        tracing::info!(%secret, issuer = %want.issuer, names = %listed(&want.names), %reason, "obtaining a certificate");
        let transport = match issuer {
            Issuer::Acme(acme) => self.transport(acme).map(Some),
            Issuer::SelfSigned | Issuer::Ca(_) => Ok(None),
        };
        let job = Job {
            secret: secret.clone(),
            wanted: want.clone(),
            issuer: issuer.clone(),
            record: self.ledger.records.get(&secret).cloned().unwrap_or_default(),
            order: self.ledger.orders.get(&secret).cloned(),
            predecessor: self.board.current().certificates.get(&secret).cloned(),
            store: self.store.clone(),
            board: self.board.clone(),
            accounts: self.accounts.clone(),
            self_check: self.options.self_check.clone(),
            clock: self.options.clock.clone(),
        };
        match transport {
            Ok(transport) => {
                let payer = want.payer(&secret).to_owned();
                self.ledger.served.insert(payer.clone(), now);
                self.ledger.running.insert(secret.clone(), Running { issuer: want.issuer.clone(), payer, names: want.names.clone() });
                let spec = spec_fingerprint(want, issuer);
                let task = self.jobs.spawn(job.issue(transport));
                self.started.insert(task.id(), (secret, spec));
            }
            Err(error) => {
                let failed = job.failed(AttemptFailure::local(error));
                self.take(failed).await;
            }
        }
    }

    fn poll(&mut self, wanted: &WantedSet, secret: SecretName) {
        let issuer = wanted.certificates.get(&secret).and_then(|want| wanted.issuers.get(&want.issuer));
        let held = self.board.current().certificates.get(&secret).cloned();
        let (Some(Issuer::Acme(acme)), Some(held)) = (issuer, held) else { return };
        // A bundle that cannot be used stops the renewal itself, and is reported then.
        let Ok(transport) = self.transport(acme) else { return };
        let before = self.ledger.records.get(&secret).and_then(|record| record.advice.clone());
        let (server, clock, subject) = (acme.server.clone(), self.options.clock.clone(), secret.clone());
        self.ledger.polling.insert(secret.clone());
        let task = self.jobs.spawn(async move {
            let advice = crate::ari::ask(&transport, &server, &held, before.as_ref(), (&clock, rand::random())).await;
            Done { secret: subject, outcome: Outcome::Advised(advice) }
        });
        self.started.insert(task.id(), (secret, String::new()));
    }

    fn transport(&mut self, acme: &AcmeIssuer) -> Result<Transport, TransportError> {
        if let Some(transport) = self.transports.get(&acme.ca_bundle) {
            return Ok(transport.clone());
        }
        let transport = Transport::new(acme.ca_bundle.as_deref(), self.metrics.clone(), self.options.clock.clone())?;
        self.transports.insert(acme.ca_bundle.clone(), transport.clone());
        Ok(transport)
    }

    async fn forget_order(&mut self, secret: SecretName) {
        self.ledger.orders.remove(&secret);
        let store = self.store.clone();
        report(offload(move || store.remove_order(&secret)).await);
    }

    async fn settle(&mut self, done: Result<(tokio::task::Id, Done), tokio::task::JoinError>) {
        match done {
            Ok((id, done)) => {
                self.started.remove(&id);
                self.take(done).await;
            }
            Err(error) => {
                if let Some((secret, spec)) = self.started.remove(&error.id()) {
                    let order = self.ledger.orders.get(&secret).cloned();
                    let failure = AttemptFailure::local(format!("the attempt broke off: {error}"));
                    self.take(Done { secret, outcome: Outcome::Failed { spec, failure, order } }).await;
                }
            }
        }
    }

    /// Takes what came of a job into the ledger and the store.
    async fn take(&mut self, Done { secret, outcome }: Done) {
        let mut record = self.ledger.records.get(&secret).cloned().unwrap_or_default();
        match outcome {
            Outcome::Issued(certificate) => {
                tracing::info!(%secret, names = %listed(&certificate.names), "certificate issued");
                self.metrics.issued();
                self.metrics.held(&secret, certificate.not_after);
                self.ledger.running.remove(&secret);
                self.ledger.orders.remove(&secret);
                self.board.hold(secret.clone(), certificate);
                // The challenge that worked is the one to try first next time.
                record = Record { challenge_turns: record.challenge_turns, ..Record::default() };
            }
            Outcome::Failed { spec, failure, order } => {
                self.metrics.failed(failure.kind);
                self.ledger.running.remove(&secret);
                self.ledger.polling.remove(&secret);
                match order {
                    Some(order) => drop(self.ledger.orders.insert(secret.clone(), order)),
                    None => drop(self.ledger.orders.remove(&secret)),
                }
                let now = (self.options.clock)();
                let FailureRecord { kind, message, attempts, retry_at, .. } = note(&mut record, spec, failure, now);
                let retry_seconds = retry_at.duration_since(now).unwrap_or_default().as_secs();
                tracing::warn!(%secret, kind = kind.label(), failure = message, attempts, retry_seconds, "no certificate");
            }
            Outcome::Advised(advice) => {
                self.ledger.polling.remove(&secret);
                record.advice = Some(advice);
            }
        }
        self.ledger.records.insert(secret.clone(), record.clone());
        let store = self.store.clone();
        report(offload(move || store.save_record(&secret, &record)).await);
    }
}

/// Notes a failure: one more in a row for the same request, or the first.
fn note(record: &mut Record, spec: String, failure: AttemptFailure, now: SystemTime) -> &FailureRecord {
    for name in failure.other_challenge {
        *record.challenge_turns.entry(name).or_default() += 1;
    }
    let before = record.failure.as_ref().filter(|before| before.spec == spec && before.kind == failure.kind);
    let attempts = before.map_or(0, |before| before.attempts).saturating_add(1);
    let retry_at = retry_at(failure.kind, attempts, now, failure.retry_after, rand::random());
    record.failure.insert(FailureRecord { spec, kind: failure.kind, message: failure.message, attempts, retry_at })
}

/// What is not kept is only known until the next restart; it is not worth stopping for.
fn report(kept: Result<Result<(), StoreError>, AttemptFailure>) {
    match kept {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "cannot keep the ledger"),
        Err(error) => tracing::error!(%error, "cannot keep the ledger"),
    }
}
