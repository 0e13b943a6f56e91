//! What one route counted since it was last asked. Where many routes are asked in turn, what a request reads of its route has left the processor's cache and
//! costs more than the counting: so the counters of ordinary requests lie with what the request read of the route before. What is told is in
//! `series`; a route that is replaced while a request keeps it hands over what it counted last when that request ends.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::series::{Answer, Finished, Series, add, bucket, microseconds};

/// Buckets of the durations that are counted here: up to 10 ms.
const BUCKETS: usize = 4;

/// Counters of requests that got the answer that came first, as it commonly is, and got it soon.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Recent {
    answer: OnceLock<Answer>,
    buckets: [AtomicU64; BUCKETS],
    microseconds: AtomicU64,
    sent: AtomicU64,
}

impl Recent {
    /// Counts a request here as far as it is an ordinary one, else in the series.
    pub(in crate::proxy) fn record(&self, finished: &Finished<'_>, series: &Series) {
        let answer = Answer::new(finished.method, finished.status);
        // Two threads that bring different answers at once agree on who is first.
        match self.buckets.get(bucket(finished.duration)) {
            Some(bucket) if *self.answer.get_or_init(|| answer) == answer => {
                add(bucket, 1);
                add(&self.microseconds, microseconds(finished.duration));
                add(&self.sent, finished.sent);
                series.record_uncommon(finished);
            }
            _ => series.record(finished),
        }
    }

    /// Moves everything to the series.
    pub(in crate::proxy) fn move_to(&self, series: &Series) {
        let Some(answer) = self.answer.get() else { return };
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        series.add(*answer, self.buckets.each_ref().map(take), take(&self.microseconds), take(&self.sent));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Method;

    use super::*;

    fn told(series: &Series) -> (Vec<(String, u64)>, Vec<u64>, u64, u64) {
        let mut answers: Vec<_> = series.answers().map(|(answer, count)| (format!("{} {}", answer.method(), answer.status()), count)).collect();
        answers.sort_unstable();
        let (sent, received) = (series.sent.load(Ordering::Relaxed), series.received.load(Ordering::Relaxed));
        (answers, series.buckets().to_vec(), sent, received)
    }

    #[test]
    fn what_is_counted_here_and_moved_is_what_the_series_would_have_counted() {
        let (recent, series, direct) = (Recent::default(), Series::default(), Series::default());
        for (method, status, millis, received) in [
            (Method::GET, 200, 1, 0),
            (Method::GET, 200, 10, 7),
            (Method::GET, 200, 11, 0),
            (Method::POST, 200, 1, 9),
            (Method::GET, 404, 2, 0),
            (Method::GET, 200, 0, 0),
        ] {
            let finished =
                Finished { method: &method, status, duration: Duration::from_millis(millis), received, sent: 5, connect_failures: 0, retries: 0 };
            recent.record(&finished, &series);
            direct.record(&finished);
            if millis == 11 {
                recent.move_to(&series);
                assert_eq!(told(&series), told(&direct));
            }
        }
        assert_ne!(told(&series), told(&direct));
        for _ in 0..2 {
            recent.move_to(&series);
            assert_eq!(told(&series), told(&direct));
            assert!((series.seconds() - direct.seconds()).abs() < 1e-9);
        }
    }

    #[test]
    fn nothing_is_lost_where_requests_are_counted_and_moved_at_once() {
        let (recent, series) = (Recent::default(), Series::default());
        std::thread::scope(|scope| {
            for status in [200, 200, 304] {
                let (recent, series) = (&recent, &series);
                scope.spawn(move || {
                    for _ in 0..1000 {
                        let finished = Finished {
                            method: &Method::GET,
                            status,
                            duration: Duration::from_micros(300),
                            received: 0,
                            sent: 3,
                            connect_failures: 0,
                            retries: 0,
                        };
                        recent.record(&finished, series);
                    }
                });
            }
            for _ in 0..1000 {
                recent.move_to(&series);
            }
        });
        recent.move_to(&series);
        let mut buckets = vec![0; series.buckets().len()];
        buckets[0] = 3000;
        assert_eq!(told(&series), (vec![("GET 200".into(), 2000), ("GET 304".into(), 1000)], buckets, 9000, 0));
        assert!((series.seconds() - 0.9).abs() < 1e-9);
    }
}
