//! Moments on a clock that nobody sets and that goes on while the machine sleeps: a lease that ran out during a suspend has run out.

use std::ops::Add;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Time since the machine was booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// The moment this long after boot.
    #[must_use]
    pub const fn after_boot(since: Duration) -> Self {
        Self(since)
    }

    /// Now. A clock that cannot be read counts as one on which every lease has run out.
    #[must_use]
    pub fn now() -> Self {
        clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Self(Duration::MAX), |time| Self(time.into()))
    }

    /// How long after `earlier`; nothing when it is before.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Milliseconds since boot.
    pub(super) fn millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }
}
