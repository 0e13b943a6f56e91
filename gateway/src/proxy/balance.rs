//! Which endpoint of a backend gets the next try: in turn, without those that just failed to connect. Pure; time is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::table::Endpoint;

/// An endpoint that failed to connect is passed over for this long, twice as long with each further failure.
const FIRST_EJECTION: Duration = Duration::from_secs(1);
/// Longest time that an endpoint is passed over.
const LONGEST_EJECTION: Duration = Duration::from_secs(30);

/// The index of the endpoint to try: the first from `turn` on that is neither tried nor ejected, else the first that is not tried. `None` when every
/// one was tried.
pub(super) fn choose(count: usize, turn: usize, is_tried: impl Fn(usize) -> bool, is_ejected: impl Fn(usize) -> bool) -> Option<usize> {
    let in_turn = || (0..count).map(|offset| turn.wrapping_add(offset) % count).filter(|at| !is_tried(*at));
    in_turn().find(|at| !is_ejected(*at)).or_else(|| in_turn().next())
}

/// The endpoints of one backend that failed to connect lately.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ejections(BTreeMap<Endpoint, Ejection>);

#[derive(Debug, PartialEq, Eq)]
struct Ejection {
    failures: u32,
    until: Duration,
}

impl Ejections {
    /// Whether nothing failed lately.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the endpoint is to be passed over at `now`.
    pub(super) fn holds(&self, endpoint: &Endpoint, now: Duration) -> bool {
        self.0.get(endpoint).is_some_and(|ejection| now < ejection.until)
    }

    /// Takes note of a failed connection.
    pub(super) fn failed(&mut self, endpoint: &Endpoint, now: Duration) {
        let ejection = self.0.entry(endpoint.clone()).or_insert(Ejection { failures: 0, until: now });
        let length = FIRST_EJECTION.saturating_mul(1 << ejection.failures.min(10)).min(LONGEST_EJECTION);
        ejection.failures = ejection.failures.saturating_add(1);
        ejection.until = now + length;
    }

    /// Takes note of a connection that was made: the endpoint is as good as any again.
    pub(super) fn connected(&mut self, endpoint: &Endpoint) {
        self.0.remove(endpoint);
    }

    /// Forgets endpoints that the backend no longer has.
    pub(super) fn retain(&mut self, endpoints: &[Endpoint]) {
        self.0.retain(|endpoint, _| endpoints.contains(endpoint));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(port: u16) -> Endpoint {
        Endpoint::Address(([192, 0, 2, 1], port).into())
    }

    #[test]
    fn choice_goes_in_turn_past_tried_and_ejected_endpoints() {
        for (count, turn, tried, ejected, expected) in [
            (0, 0, &[][..], &[][..], None),
            (1, 7, &[], &[], Some(0)),
            (3, 0, &[], &[], Some(0)),
            (3, 4, &[], &[], Some(1)),
            (3, usize::MAX, &[], &[], Some(usize::MAX % 3)),
            (3, 0, &[0], &[], Some(1)),
            (3, 0, &[], &[0], Some(1)),
            (3, 0, &[1], &[0], Some(2)),
            (3, 0, &[], &[0, 1, 2], Some(0)),
            (3, 0, &[0], &[0, 1, 2], Some(1)),
            (3, 0, &[0, 1, 2], &[], None),
        ] {
            assert_eq!(choose(count, turn, |at| tried.contains(&at), |at| ejected.contains(&at)), expected, "{count} {turn} {tried:?} {ejected:?}");
        }
    }

    #[test]
    fn ejection_doubles_with_each_failure_up_to_its_longest() {
        let (mut ejections, one) = (Ejections::default(), endpoint(1));
        let mut lengths = vec![];
        for start in (0..8).map(|n| Duration::from_secs(1000 * n)) {
            ejections.failed(&one, start);
            let length = (1..60).map(Duration::from_secs).find(|length| !ejections.holds(&one, start + *length));
            lengths.push(length.map(|length| length.as_secs()));
        }
        assert_eq!(lengths, [1, 2, 4, 8, 16, 30, 30, 30].map(Some));
    }

    #[test]
    fn ejection_ends_with_a_connection_and_concerns_one_endpoint() {
        let (mut ejections, now) = (Ejections::default(), Duration::ZERO);
        ejections.failed(&endpoint(1), now);
        assert!(ejections.holds(&endpoint(1), now) && !ejections.holds(&endpoint(2), now));
        ejections.connected(&endpoint(1));
        assert_eq!(ejections, Ejections::default());
    }

    #[test]
    fn endpoints_that_are_gone_are_forgotten() {
        let mut ejections = Ejections::default();
        ejections.failed(&endpoint(1), Duration::ZERO);
        ejections.failed(&endpoint(2), Duration::ZERO);
        ejections.retain(&[endpoint(2)]);
        assert!(!ejections.holds(&endpoint(1), Duration::ZERO) && ejections.holds(&endpoint(2), Duration::ZERO));
    }
}
