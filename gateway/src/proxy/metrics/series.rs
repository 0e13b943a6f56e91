//! The counters of one Ingress and host. Most of what its routes count comes in sums, from `recent`.

use std::iter;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};

/// Upper bounds of the buckets in seconds; one more bucket has what takes longer.
pub(super) const BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

/// One finished request.
#[derive(Debug, Clone)]
pub(in crate::proxy) struct Finished<'a> {
    /// Its method.
    pub(in crate::proxy) method: &'a Method,
    /// Status of the answer; 499 when the client went away before one.
    pub(in crate::proxy) status: u16,
    /// From the end of its header to the end of the answer.
    pub(in crate::proxy) duration: Duration,
    /// Bytes of its body.
    pub(in crate::proxy) received: u64,
    /// Bytes of the answer's body.
    pub(in crate::proxy) sent: u64,
    /// Tries to connect that failed.
    pub(in crate::proxy) connect_failures: u64,
    /// Tries beyond the first.
    pub(in crate::proxy) retries: u64,
}

/// What became of a question to an authentication server.
#[derive(Debug, Clone, Copy)]
pub(in crate::proxy) enum Authenticated {
    /// It said yes.
    Granted,
    /// It said no.
    Refused,
    /// It said neither, or could not be asked.
    Failed,
}

impl Authenticated {
    pub(super) const ALL: [Self; 3] = [Self::Granted, Self::Refused, Self::Failed];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// The counters of one Ingress and host.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Series {
    answers: Answers,
    /// Sum of the durations. Nanoseconds would overflow within weeks of ten thousand tunnels.
    microseconds: AtomicU64,
    pub(super) sent: AtomicU64,
    buckets: [AtomicU64; BUCKETS.len() + 1],
    pub(super) received: AtomicU64,
    pub(super) connect_failures: AtomicU64,
    pub(super) retries: AtomicU64,
    verdicts: [AtomicU64; Authenticated::ALL.len()],
}

impl Series {
    /// Counts a question to an authentication server.
    pub(in crate::proxy) fn asked(&self, verdict: Authenticated) {
        self.verdicts[verdict as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request.
    pub(in crate::proxy) fn record(&self, finished: &Finished<'_>) {
        add(self.answers.of(Answer::new(finished.method, finished.status)), 1);
        add(&self.buckets[bucket(finished.duration)], 1);
        add(&self.microseconds, microseconds(finished.duration));
        add(&self.sent, finished.sent);
        self.record_uncommon(finished);
    }

    /// Counts what most requests have none of.
    pub(super) fn record_uncommon(&self, finished: &Finished<'_>) {
        add(&self.received, finished.received);
        add(&self.connect_failures, finished.connect_failures);
        add(&self.retries, finished.retries);
    }

    /// Adds requests that got one answer: how many of each of the first buckets, the sum of their durations and of their bodies' bytes.
    pub(super) fn add<const N: usize>(&self, answer: Answer, buckets: [u64; N], microseconds: u64, sent: u64) {
        add(self.answers.of(answer), buckets.iter().sum());
        for (bucket, more) in self.buckets.iter().zip(buckets) {
            add(bucket, more);
        }
        add(&self.microseconds, microseconds);
        add(&self.sent, sent);
    }

    /// Requests by what they were and what they got.
    pub(super) fn answers(&self) -> impl Iterator<Item = (Answer, u64)> {
        self.answers.iter().filter_map(Counted::get)
    }

    /// Questions to authentication servers, by what became of them; none where nothing was asked.
    pub(super) fn verdicts(&self) -> impl Iterator<Item = (Authenticated, u64)> {
        let counts = self.verdicts.iter().map(|count| count.load(Ordering::Relaxed));
        Authenticated::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0)
    }

    /// Requests by duration, each bucket by itself.
    pub(super) fn buckets(&self) -> [u64; BUCKETS.len() + 1] {
        std::array::from_fn(|at| self.buckets[at].load(Ordering::Relaxed))
    }

    /// Sum of all durations.
    pub(super) fn seconds(&self) -> f64 {
        self.microseconds.load(Ordering::Relaxed) as f64 / 1e6
    }
}

/// Adds to a counter, whose memory is left alone where there is nothing to add.
pub(super) fn add(counter: &AtomicU64, more: u64) {
    if more > 0 {
        counter.fetch_add(more, Ordering::Relaxed);
    }
}

pub(super) fn microseconds(duration: Duration) -> u64 {
    u64::try_from((duration.as_nanos() + 500) / 1000).unwrap_or_default()
}

/// Which bucket a duration counts in.
pub(super) fn bucket(duration: Duration) -> usize {
    let seconds = duration.as_secs_f64();
    BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS.len())
}

/// How often there was the answer that came here first.
#[derive(Debug, Default)]
struct Counted {
    answer: OnceLock<Answer>,
    count: AtomicU64,
}

impl Counted {
    /// The counter, when it is this answer's. Two threads that bring different new ones at once agree on who is first.
    fn of(&self, answer: Answer) -> Option<&AtomicU64> {
        (*self.answer.get_or_init(|| answer) == answer).then_some(&self.count)
    }

    fn get(&self) -> Option<(Answer, u64)> {
        Some((*self.answer.get()?, self.count.load(Ordering::Relaxed)))
    }
}

/// Counts by answer: a list in the order in which answers first came. It only grows, and answers are of closed sets.
#[derive(Debug, Default)]
struct Answers {
    counted: Counted,
    more: OnceLock<Box<Self>>,
}

impl Answers {
    /// The counter of an answer.
    fn of(&self, answer: Answer) -> &AtomicU64 {
        let mut entry = self;
        loop {
            if let Some(count) = entry.counted.of(answer) {
                return count;
            }
            entry = entry.more.get_or_init(Box::default);
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Counted> {
        iter::successors(Some(self), |entry| entry.more.get().map(Box::as_ref)).map(|entry| &entry.counted)
    }
}

const METHODS: [&str; 10] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "other"];

/// Method and status, each from a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    /// Index into [`METHODS`].
    method: u8,
    /// 0 for a status that is not registered.
    status: u16,
}

impl Answer {
    pub(super) fn new(method: &Method, status: u16) -> Self {
        let is_registered = status == 499 || StatusCode::from_u16(status).is_ok_and(|status| status.canonical_reason().is_some());
        let method = METHODS.iter().position(|known| *known == method.as_str()).unwrap_or(METHODS.len() - 1);
        Self { method: method as u8, status: if is_registered { status } else { 0 } }
    }

    pub(super) fn method(self) -> &'static str {
        METHODS[usize::from(self.method)]
    }

    pub(super) fn status(self) -> String {
        if self.status == 0 { "other".into() } else { self.status.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_apart_whoever_brings_them_first() {
        let series = Series::default();
        let statuses = [200, 304, 404, 200, 502];
        std::thread::scope(|scope| {
            for at in 0..4 {
                let series = &series;
                scope.spawn(move || {
                    for turn in 0..1000 {
                        series.answers.of(Answer::new(&Method::GET, statuses[(at + turn) % statuses.len()])).fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        let mut counts: Vec<_> = series.answers().map(|(answer, count)| (answer.status, count)).collect();
        counts.sort_unstable();
        assert_eq!(counts, [(200, 1600), (304, 800), (404, 800), (502, 800)]);
    }

    #[test]
    fn a_duration_counts_in_the_first_bucket_that_holds_it() {
        for (micros, expected) in [(0, 0), (1_000, 0), (1_001, 1), (2_500, 1), (60_000_000, 13), (60_000_001, 14), (u64::MAX, 14)] {
            assert_eq!(bucket(Duration::from_micros(micros)), expected, "{micros}");
        }
    }
}
