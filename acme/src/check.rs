//! Asks our own listeners for the answer to a challenge, as the CA will, before the CA is told. Real queries over real sockets: what is looked at is
//! what will be served.

mod dns;
mod http;
mod tls;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::board::Answer;

/// One question and its answer.
const LONGEST_QUESTION: Duration = Duration::from_secs(3);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The listeners that answer challenges. A kind without an address is not checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listeners {
    /// DNS listeners, asked over UDP and TCP.
    pub dns: Vec<SocketAddr>,
    /// Listeners for plain HTTP.
    pub http: Vec<SocketAddr>,
    /// Listeners for HTTPS.
    pub https: Vec<SocketAddr>,
}

/// Where all our listeners, those of every replica, are asked whether they answer a challenge, before the CA is told.
#[derive(Debug, Clone)]
pub struct SelfCheck {
    /// The listeners there are now; `None` as long as that is not known, which no check passes.
    pub listeners: watch::Receiver<Option<Listeners>>,
    /// How long all of them may take until they answer as they should.
    pub deadline: Duration,
}

impl Default for SelfCheck {
    fn default() -> Self {
        Self::of(Listeners::default())
    }
}

impl SelfCheck {
    /// A check of listeners that stay the same.
    #[must_use]
    pub fn of(listeners: Listeners) -> Self {
        Self { listeners: watch::channel(Some(listeners)).1, deadline: Duration::from_secs(30) }
    }

    /// When a check that starts now must have succeeded.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.deadline
    }

    /// Waits until every listener gives this answer: those that come while it waits, too, and not those that went.
    ///
    /// # Errors
    /// After the deadline: what was asked where, and what came back.
    pub(crate) async fn wait_for(&self, answer: &Answer, deadline: Instant) -> Result<(), String> {
        let mut answered = BTreeSet::new();
        let mut pause = FIRST_PAUSE;
        loop {
            let why = match self.next(answer, &answered) {
                Some(Next::Done) => return Ok(()),
                Some(Next::Ask(listener)) => match ask(reachable(listener), answer).await {
                    Ok(()) => {
                        answered.insert(listener);
                        pause = FIRST_PAUSE;
                        continue;
                    }
                    Err(why) => why,
                },
                None => "the other replicas are not known yet".to_owned(),
            };
            if Instant::now() + pause > deadline {
                return Err(why);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The next listener that has to be asked; `None` when they are not known.
    fn next(&self, answer: &Answer, answered: &BTreeSet<SocketAddr>) -> Option<Next> {
        let listeners = self.listeners.borrow();
        let listeners = listeners.as_ref()?;
        let of_kind = match answer {
            Answer::Http01 { .. } => &listeners.http,
            Answer::Dns01 { .. } => &listeners.dns,
            Answer::TlsAlpn01 { .. } => &listeners.https,
        };
        Some(of_kind.iter().find(|listener| !answered.contains(listener)).map_or(Next::Done, |listener| Next::Ask(*listener)))
    }
}

enum Next {
    Ask(SocketAddr),
    Done,
}

/// A listener on every address is asked on the loopback one.
fn reachable(listener: SocketAddr) -> SocketAddr {
    let ip = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listener.port())
}

async fn ask(listener: SocketAddr, answer: &Answer) -> Result<(), String> {
    match answer {
        Answer::Http01 { host, token, key_authorization } => {
            in_time(format!("GET /.well-known/acme-challenge/{token} of {host} from {listener}"), http::ask(listener, host, token, key_authorization))
                .await
        }
        Answer::Dns01 { owner, value } => {
            in_time(format!("TXT {owner} from {listener} over UDP"), dns::ask_udp(listener, owner, value)).await?;
            in_time(format!("TXT {owner} from {listener} over TCP"), dns::ask_tcp(listener, owner, value)).await
        }
        Answer::TlsAlpn01 { host, digest } => {
            in_time(format!("TLS with ALPN acme-tls/1 for {host} from {listener}"), tls::ask(listener, host, digest)).await
        }
    }
}

async fn in_time(question: String, answer: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let answer = tokio::time::timeout(LONGEST_QUESTION, answer).await;
    let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {} s", LONGEST_QUESTION.as_secs())));
    answer.map_err(|got| format!("asked for {question}: {got}"))
}
