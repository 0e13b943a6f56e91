//! When to publish what has changed: soon, and once for a burst of changes. Pure; time is an argument.

use std::time::Duration;

use tokio::time::Instant;

use super::mirror::Effect;

/// Silence after which a burst is taken as over.
const QUIET: Duration = Duration::from_millis(4);

/// Longest wait, however long the burst.
const LONGEST: Duration = Duration::from_millis(50);

/// The same where there are only newer versions of the same content: whoever writes needs them, nothing else.
const VERSIONS: Duration = Duration::from_secs(1);

/// Changes that wait to be published.
#[derive(Debug, Default)]
pub(super) struct Burst {
    content: Option<(Instant, Instant)>,
    version: Option<Instant>,
}

impl Burst {
    /// Something changed.
    pub(super) fn note(&mut self, effect: Effect, now: Instant) {
        match effect {
            Effect::None => {}
            Effect::Version => drop(self.version.get_or_insert(now)),
            Effect::Content => self.content = Some((self.content.map_or(now, |(first, _)| first), now)),
        }
    }

    /// When to publish; `None` when there is nothing.
    pub(super) fn due(&self) -> Option<Instant> {
        let content = self.content.map(|(first, last)| (last + QUIET).min(first + LONGEST));
        let version = self.version.map(|first| first + VERSIONS);
        content.into_iter().chain(version).min()
    }

    /// When it began.
    pub(super) fn began(&self) -> Option<Instant> {
        self.content.map(|(first, _)| first).into_iter().chain(self.version).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_over_when_it_is_quiet_and_versions_wait_for_longer() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut burst = Burst::default();
        burst.note(Effect::None, start);
        assert_eq!(burst.due(), None);
        burst.note(Effect::Version, start);
        assert_eq!(burst.due(), Some(after(1000)));
        burst.note(Effect::Content, after(10));
        burst.note(Effect::Content, after(12));
        assert_eq!(burst.due(), Some(after(16)));
        (13..100).for_each(|millis| burst.note(Effect::Content, after(millis)));
        assert_eq!((burst.due(), burst.began()), (Some(after(60)), Some(start)));
    }
}
