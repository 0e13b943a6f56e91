//! Asks a running program's admin listener, for `vrata status` and `vrata explain`. Blocking.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer that is read: the status of some hundred thousand hosts.
const MAX_ANSWER: u64 = 256 << 20;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Its body.
    pub body: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody answers.
    #[error("nothing answers on {0}: {1}; is vrata running, and is that its admin address (--admin)?")]
    Unreachable(SocketAddr, std::io::Error),
    /// What answers is not HTTP.
    #[error("what answers on {0} is not vrata")]
    NotHttp(SocketAddr),
}

/// Asks for a path.
///
/// # Errors
/// When nobody answers, or not with HTTP.
pub fn get(admin: SocketAddr, path: &str) -> Result<Answer, AskError> {
    let text = ask(admin, path).map_err(|e| AskError::Unreachable(admin, e))?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or(AskError::NotHttp(admin))?;
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).ok_or(AskError::NotHttp(admin))?;
    Ok(Answer { status, body: body.to_owned() })
}

/// The path that explains a target.
#[must_use]
pub fn explain_path(target: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("target", target).finish();
    format!("/api/v1/explain?{query}")
}

fn ask(admin: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&admin, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
