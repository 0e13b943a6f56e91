//! Asks our own listeners for the answer to a challenge, as the CA will, before the CA is told. Real queries over real sockets: what is looked at is
//! what will be served.

mod dns;
mod http;
mod tls;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::time::Instant;

use crate::board::Answer;

/// One question and its answer.
const LONGEST_QUESTION: Duration = Duration::from_secs(3);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Where our own listeners are asked whether they answer a challenge, before the CA is told. A kind without an address is not checked.
#[derive(Debug, Clone)]
pub struct SelfCheck {
    /// DNS listeners, asked over UDP and TCP.
    pub dns: Vec<SocketAddr>,
    /// Listeners for plain HTTP.
    pub http: Vec<SocketAddr>,
    /// Listeners for HTTPS.
    pub https: Vec<SocketAddr>,
    /// How long all of them may take until they answer as they should.
    pub deadline: Duration,
}

impl Default for SelfCheck {
    fn default() -> Self {
        Self { dns: Vec::new(), http: Vec::new(), https: Vec::new(), deadline: Duration::from_secs(30) }
    }
}

impl SelfCheck {
    /// When a check that starts now must have succeeded.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.deadline
    }

    /// Waits until every listener gives this answer.
    ///
    /// # Errors
    /// After the deadline: what was asked where, and what came back.
    pub(crate) async fn wait_for(&self, answer: &Answer, deadline: Instant) -> Result<(), String> {
        let listeners = match answer {
            Answer::Http01 { .. } => &self.http,
            Answer::Dns01 { .. } => &self.dns,
            Answer::TlsAlpn01 { .. } => &self.https,
        };
        for listener in listeners {
            let mut pause = FIRST_PAUSE;
            while let Err(why) = ask(reachable(*listener), answer).await {
                if Instant::now() + pause > deadline {
                    return Err(why);
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        Ok(())
    }
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
