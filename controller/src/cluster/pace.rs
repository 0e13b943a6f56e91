//! How fast writes are sent: a bucket of tokens, and how long nobody is asked after the API server could not be. Pure: the time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// A bucket that fills at a rate and lets a burst through.
#[derive(Debug)]
pub(super) struct Pace {
    every: Duration,
    burst: u32,
    /// When the bucket would be full.
    full_at: Instant,
}

impl Pace {
    pub(super) fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        Self { every: Duration::from_secs(1) / per_second, burst, full_at: now }
    }

    /// Takes a token, or says when there will be one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let full_at = self.full_at.max(now) + self.every;
        let room_at = full_at.checked_sub(self.every * self.burst).unwrap_or(now);
        if room_at > now {
            return Err(room_at);
        }
        self.full_at = full_at;
        Ok(())
    }
}

/// Waits longer each time the API server could not be asked.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    failures: u32,
    until: Option<Instant>,
}

impl Trouble {
    const FIRST: Duration = Duration::from_millis(250);
    const LONGEST: Duration = Duration::from_secs(30);

    /// It could not be asked. Requests that were under way together count once.
    pub(super) fn met(&mut self, now: Instant) {
        if self.until.is_none_or(|until| until <= now) {
            self.until = Some(now + (Self::FIRST * 2_u32.pow(self.failures.min(10))).min(Self::LONGEST));
            self.failures += 1;
        }
    }

    /// It answered.
    pub(super) fn over(&mut self) {
        *self = Self::default();
    }

    /// Until when nobody is asked.
    pub(super) fn until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_the_rest_at_the_rate() {
        let start = Instant::now();
        let mut pace = Pace::new(10, 3, start);
        assert_eq!([0; 3].map(|_| pace.take(start)), [Ok(()); 3]);
        let next = start + Duration::from_millis(100);
        assert_eq!(pace.take(start), Err(next));
        assert_eq!((pace.take(next), pace.take(next)), (Ok(()), Err(next + Duration::from_millis(100))));
        let later = start + Duration::from_secs(60);
        assert_eq!([0; 3].map(|_| pace.take(later)), [Ok(()); 3]);
        assert!(pace.take(later).is_err());
    }

    #[test]
    fn trouble_doubles_and_ends_with_an_answer() {
        let mut now = Instant::now();
        let mut trouble = Trouble::default();
        let mut waits = Vec::new();
        for _ in 0..9 {
            trouble.met(now);
            trouble.met(now);
            let until = trouble.until(now).unwrap_or(now);
            waits.push((until - now).as_millis());
            now = until;
        }
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
        trouble.over();
        assert_eq!(trouble.until(now), None);
    }
}
