//! How long a failed certificate waits before its next attempt. Pure: the time and the chance are arguments.

use std::time::{Duration, SystemTime};

use crate::failure::FailureKind;

const SECOND: u64 = 1;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A server that asks for a longer wait than this is not believed: the longest limit that public CAs have refills within a week.
const LONGEST: Duration = Duration::from_secs(7 * DAY);

/// The waits after the first, second, … failure in a row, in seconds; the last one repeats.
fn ladder(kind: FailureKind) -> &'static [u64] {
    match kind {
        FailureKind::RateLimited => &[HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY],
        FailureKind::Unavailable => &[5, 10, 20, 40, 80, 160, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE],
        // What Let's Encrypt asks of its clients.
        FailureKind::Validation => &[MINUTE, 10 * MINUTE, 100 * MINUTE, DAY],
        FailureKind::Rejected => &[6 * HOUR, 12 * HOUR, DAY],
        FailureKind::Account => &[30, 10 * MINUTE, HOUR, 6 * HOUR],
        FailureKind::SelfCheck => &[5, 10, 20, 40, 80, 160, 5 * MINUTE],
        FailureKind::Local => &[10, MINUTE, 10 * MINUTE, HOUR],
    }
}

/// When the next attempt starts after `attempts` (≥ 1) failures in a row. What the server said (`Retry-After`) is obeyed, within a week; otherwise the
/// wait for this kind is used, and `chance` (0 to 1) spreads it over −10 % to +10 %, so that what failed together does not return together.
#[must_use]
pub fn retry_at(kind: FailureKind, attempts: u32, now: SystemTime, server_says: Option<SystemTime>, chance: f64) -> SystemTime {
    let steps = ladder(kind);
    let step = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX).min(steps.len() - 1);
    if let Some(when) = server_says {
        return when.clamp(now + Duration::from_secs(SECOND), now + LONGEST);
    }
    now + Duration::from_secs(steps[step]).mul_f64(0.9 + 0.2 * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::{DAY, HOUR, LONGEST, MINUTE, retry_at};
    use crate::failure::FailureKind;
    use proptest::prelude::{any, proptest};
    use std::time::{Duration, SystemTime};

    #[test]
    fn each_kind_has_its_own_pace() {
        let now = SystemTime::UNIX_EPOCH;
        let rows = [
            (FailureKind::Unavailable, 1, 5),
            (FailureKind::Unavailable, 2, 10),
            (FailureKind::Unavailable, 99, 15 * MINUTE),
            (FailureKind::Validation, 1, MINUTE),
            (FailureKind::Validation, 4, DAY),
            (FailureKind::Rejected, 1, 6 * HOUR),
            (FailureKind::SelfCheck, 1, 5),
            (FailureKind::RateLimited, 1, HOUR),
            (FailureKind::Account, 0, 30),
            (FailureKind::Local, 2, MINUTE),
        ];
        for (kind, attempts, seconds) in rows {
            assert_eq!(retry_at(kind, attempts, now, None, 0.5), now + Duration::from_secs(seconds), "{kind:?} after {attempts}");
        }
    }

    #[test]
    fn retry_after_is_obeyed_within_a_week_and_never_in_the_past() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(DAY);
        let says = |when| retry_at(FailureKind::RateLimited, 3, now, Some(when), 0.5);
        assert_eq!(says(now + Duration::from_secs(77)), now + Duration::from_secs(77));
        assert_eq!(says(SystemTime::UNIX_EPOCH), now + Duration::from_secs(1));
        assert_eq!(says(now + 9 * LONGEST), now + LONGEST);
    }

    proptest! {
        #[test]
        fn the_next_attempt_is_later_and_not_forgotten(attempts in any::<u32>(), chance in any::<f64>()) {
            let now = SystemTime::UNIX_EPOCH;
            for kind in FailureKind::ALL {
                let at = retry_at(kind, attempts, now, None, if chance.is_nan() { 0.0 } else { chance });
                assert!(at > now && at <= now + Duration::from_secs(2 * DAY));
            }
        }
    }
}
