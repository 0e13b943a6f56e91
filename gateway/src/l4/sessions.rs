//! The session table of a UDP listener: which client talks to which endpoint, and until when. Pure: time is what the caller says it is.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Signs of life of a session; both directions write them.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    last_millis: AtomicU64,
    broken: AtomicBool,
}

impl Pulse {
    /// A datagram passed at `now`, counted from any fixed start.
    pub(super) fn beat(&self, now: Duration) {
        self.last_millis.store(millis(now), Ordering::Relaxed);
    }

    /// The endpoint refuses datagrams: the next one of this client opens another session.
    pub(super) fn stop(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    fn is_alive(&self, now: Duration, idle: Duration) -> bool {
        let last = Duration::from_millis(self.last_millis.load(Ordering::Relaxed));
        !self.broken.load(Ordering::Relaxed) && now.saturating_sub(last) < idle
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// One client at one endpoint.
#[derive(Debug)]
pub(super) struct Session<U> {
    pub(super) endpoint: SocketAddr,
    pub(super) upstream: U,
    pub(super) pulse: std::sync::Arc<Pulse>,
}

/// All sessions of a listener by client address and port.
#[derive(Debug)]
pub(super) struct Sessions<U> {
    by_client: HashMap<SocketAddr, Session<U>>,
}

impl<U> Sessions<U> {
    pub(super) fn new() -> Self {
        Self { by_client: HashMap::new() }
    }

    /// The session of a client, if it has one that is alive at `now`.
    pub(super) fn find(&self, client: SocketAddr, now: Duration, idle: Duration) -> Option<&Session<U>> {
        self.by_client.get(&client).filter(|session| session.pulse.is_alive(now, idle))
    }

    /// Opens a session at `now`, in place of any that the client had.
    pub(super) fn open(&mut self, client: SocketAddr, session: Session<U>, now: Duration) {
        session.pulse.beat(now);
        self.by_client.insert(client, session);
    }

    pub(super) fn end(&mut self, client: SocketAddr) {
        self.by_client.remove(&client);
    }

    /// Ends the sessions that are not alive at `now`.
    pub(super) fn expire(&mut self, now: Duration, idle: Duration) {
        self.by_client.retain(|_, session| session.pulse.is_alive(now, idle));
        self.give_back();
    }

    /// Ends the sessions for whose client and endpoint `keep` is false.
    pub(super) fn retain(&mut self, keep: impl Fn(SocketAddr, SocketAddr) -> bool) {
        self.by_client.retain(|client, session| keep(*client, session.endpoint));
        self.give_back();
    }

    pub(super) fn clear(&mut self) {
        self.by_client = HashMap::new();
    }

    /// A burst of clients must not hold its memory for ever.
    fn give_back(&mut self) {
        if self.by_client.capacity() > 64 && self.by_client.len() < self.by_client.capacity() / 4 {
            self.by_client.shrink_to(self.by_client.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const IDLE: Duration = Duration::from_secs(30);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn client(n: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], n))
    }

    fn endpoint(n: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, n], 53))
    }

    fn session(n: u8) -> Session<()> {
        Session { endpoint: endpoint(n), upstream: (), pulse: Arc::new(Pulse::default()) }
    }

    fn endpoints_of(sessions: &Sessions<()>, now: Duration) -> Vec<Option<SocketAddr>> {
        (1..=3).map(|n| sessions.find(client(n), now, IDLE).map(|session| session.endpoint)).collect()
    }

    #[test]
    fn a_session_lives_until_nothing_passed_for_the_idle_time() {
        let mut sessions = Sessions::new();
        sessions.open(client(1), session(1), at(100));
        sessions.open(client(2), session(2), at(110));
        assert_eq!(endpoints_of(&sessions, at(129)), [Some(endpoint(1)), Some(endpoint(2)), None]);
        assert_eq!(endpoints_of(&sessions, at(130)), [None, Some(endpoint(2)), None]);
        if let Some(session) = sessions.find(client(2), at(139), IDLE) {
            session.pulse.beat(at(139));
        }
        sessions.expire(at(160), IDLE);
        assert_eq!(sessions.by_client.len(), 1);
        sessions.expire(at(169), IDLE);
        assert_eq!(sessions.by_client.len(), 0);
    }

    #[test]
    fn a_broken_session_is_not_found() {
        let mut sessions = Sessions::new();
        sessions.open(client(1), session(1), at(0));
        if let Some(session) = sessions.find(client(1), at(0), IDLE) {
            session.pulse.stop();
        }
        assert_eq!(endpoints_of(&sessions, at(0)), [None; 3]);
        sessions.open(client(1), session(2), at(1));
        assert_eq!(endpoints_of(&sessions, at(1)), [Some(endpoint(2)), None, None]);
    }

    #[test]
    fn sessions_of_lost_endpoints_end_and_the_others_stay() {
        let mut sessions = Sessions::new();
        (1..=3).for_each(|n| sessions.open(client(u16::from(n)), session(n), at(0)));
        sessions.retain(|_, kept| kept != endpoint(2));
        assert_eq!(endpoints_of(&sessions, at(1)), [Some(endpoint(1)), None, Some(endpoint(3))]);
        sessions.end(client(1));
        assert_eq!(endpoints_of(&sessions, at(1)), [None, None, Some(endpoint(3))]);
        sessions.clear();
        assert_eq!(endpoints_of(&sessions, at(1)), [None; 3]);
    }

    #[test]
    fn time_that_goes_back_ends_nothing() {
        let mut sessions = Sessions::new();
        sessions.open(client(1), session(1), at(100));
        assert_eq!(endpoints_of(&sessions, at(50)), [Some(endpoint(1)), None, None]);
    }

    #[test]
    fn memory_of_a_burst_is_given_back() {
        let mut sessions = Sessions::new();
        (0..10_000).for_each(|n| sessions.open(client(n), session(1), at(0)));
        sessions.open(client(20_000), session(1), at(100));
        sessions.expire(at(101), IDLE);
        assert_eq!(sessions.by_client.len(), 1);
        assert!(sessions.by_client.capacity() < 100);
    }
}
