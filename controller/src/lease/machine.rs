//! Who leads, decided from what is seen of the Lease. Pure: time is an argument, and what is to be read or written is an answer.
//!
//! ```text
//!            no Lease, or nobody holds it ──────────────► write ourselves ─┐ accepted
//!   read ──► ours (an answer was lost, or it is too old) ► renew ──────────┼─────────► leading until SENT + fenced_after ─┐
//!            another's, changed lately ─► wait             take it over ◄──┘                renew every renew_every ◄──────┘
//!            another's, unchanged for its duration ──────────────► ▲
//! ```
//! The clocks of others are never trusted: a Lease has run out when *we* have seen it unchanged for its duration. Ours counts from before the request
//! that renewed it was sent, and ends earlier than for everybody else ([`Timing::fenced_after`]); every write is conditional on the version that was
//! seen. So two never lead at one time, however long a process is stopped and whichever answers are lost.

use std::time::Duration;

use super::moment::Moment;

/// How long things last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long others wait for a renewal before they take over.
    pub duration: Duration,
    /// How long after a renewal was sent this process may still act. Less than `duration`: what is sent last has to arrive.
    pub fenced_after: Duration,
    /// How often it is renewed.
    pub renew_every: Duration,
    /// Pause after a request that failed.
    pub retry_after: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(10),
            fenced_after: Duration::from_secs(8),
            renew_every: Duration::from_secs(2),
            retry_after: Duration::from_millis(500),
        }
    }
}

/// What a Lease says. Two that are equal count as unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Who holds it; `None` when it was released.
    pub holder: Option<String>,
    /// How long it lasts after each change, if it says so.
    pub duration: Option<Duration>,
    /// How often it went from one holder to another.
    pub transitions: i32,
    /// When its holder says that it was renewed: only whether it changes matters.
    pub renewed: Option<String>,
}

/// A Lease as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its resourceVersion.
    pub version: String,
    /// What it says.
    pub record: Record,
}

/// A write, to be accepted only when the Lease is still as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// The version that it has to have; `None` when it must not be there.
    pub version: Option<String>,
    /// Who holds it from now on; `None` to release it.
    pub holder: Option<String>,
    /// See [`Record::transitions`].
    pub transitions: i32,
    /// Whether the holder changes, and so the time since when it holds.
    pub acquires: bool,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Read the Lease.
    Read,
    /// Write it.
    Put(Put),
    /// Nothing until then, unless the Lease is seen to change.
    Wait(Moment),
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// The Lease is now this.
    Accepted(Seen),
    /// It was not as it had been seen.
    Conflict,
    /// Nobody knows: an error, or no answer in time.
    Unknown,
}

/// One candidate.
#[derive(Debug)]
pub struct Elector {
    identity: String,
    timing: Timing,
    /// What was seen last, and since when it is unchanged.
    seen: Option<(Option<Seen>, Moment)>,
    /// What was seen may be out of date: it is to be read before anything is written.
    stale: bool,
    leads_until: Option<Moment>,
    not_before: Moment,
}

impl Elector {
    /// A candidate that has seen nothing yet. `identity` must be this process's own, and never used again.
    #[must_use]
    pub const fn new(identity: String, timing: Timing, now: Moment) -> Self {
        Self { identity, timing, seen: None, stale: true, leads_until: None, not_before: now }
    }

    /// Until when this process may act as the leader; `None` when it does not lead.
    #[must_use]
    pub fn leads_until(&self, now: Moment) -> Option<Moment> {
        self.leads_until.filter(|until| now < *until)
    }

    /// Who leads, as far as was seen.
    #[must_use]
    pub fn leader(&self) -> Option<&str> {
        self.seen.as_ref()?.0.as_ref()?.record.holder.as_deref()
    }

    /// What is to be done now.
    #[must_use]
    pub fn next(&self, now: Moment) -> Step {
        if now < self.not_before {
            return Step::Wait(self.leads_until(now).map_or(self.not_before, |until| until.min(self.not_before)));
        }
        let Some((seen, since)) = self.seen.as_ref().filter(|_| !self.stale) else { return Step::Read };
        let Some(Seen { version, record }) = seen else {
            return Step::Put(Put { version: None, holder: Some(self.identity.clone()), transitions: 0, acquires: true });
        };
        let put =
            |transitions, acquires| Step::Put(Put { version: Some(version.clone()), holder: Some(self.identity.clone()), transitions, acquires });
        match &record.holder {
            Some(holder) if *holder == self.identity => put(record.transitions, false),
            Some(_) if now < *since + record.duration.unwrap_or(self.timing.duration) => {
                Step::Wait(*since + record.duration.unwrap_or(self.timing.duration))
            }
            Some(_) | None => put(record.transitions.saturating_add(1), true),
        }
    }

    /// The Lease was read, or seen to change.
    pub fn saw(&mut self, lease: Option<Seen>, now: Moment) {
        let ours = lease.as_ref().is_some_and(|seen| seen.record.holder.as_ref() == Some(&self.identity));
        if !ours {
            self.leads_until = None;
        }
        let unchanged = |(before, _): &&(Option<Seen>, Moment)| before.as_ref().map(|seen| &seen.record) == lease.as_ref().map(|seen| &seen.record);
        let since = self.seen.as_ref().filter(unchanged).map_or(now, |(_, since)| *since);
        self.seen = Some((lease, since));
        self.stale = false;
    }

    /// The Lease could not be read.
    pub fn unreadable(&mut self, now: Moment) {
        self.not_before = now + self.timing.retry_after;
    }

    /// What became of a write that was sent at `sent`.
    pub fn wrote(&mut self, written: Written, sent: Moment, now: Moment) {
        match written {
            Written::Accepted(seen) => {
                let leads = seen.record.holder.as_ref() == Some(&self.identity);
                self.saw(Some(seen), now);
                self.leads_until = leads.then(|| sent + self.timing.fenced_after);
                self.not_before = if leads { sent + self.timing.renew_every } else { now };
            }
            // Somebody was faster, or an earlier write of ours arrived whose answer did not.
            Written::Conflict => self.stale = true,
            Written::Unknown => {
                self.stale = true;
                self.not_before = now + self.timing.retry_after;
            }
        }
    }

    /// Gives the Lease up: from now on nothing may be done as the leader. What is to be written so that others need not wait.
    pub fn release(&mut self) -> Option<Put> {
        self.leads_until = None;
        let seen = self.seen.as_ref()?.0.as_ref().filter(|seen| seen.record.holder.as_ref() == Some(&self.identity))?;
        Some(Put { version: Some(seen.version.clone()), holder: None, transitions: seen.record.transitions, acquires: false })
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
