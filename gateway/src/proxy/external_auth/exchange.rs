//! One request without a body and the header of its answer, over pooled connections.

use std::time::Duration;

use pingora_core::connectors::ConnectorOptions;
use pingora_core::connectors::http::Connector;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType};
use pingora_http::{RequestHeader, ResponseHeader};

/// Idle connections to all servers together.
const POOL_SIZE: usize = 512;
/// An answer's body up to this size is read and thrown away, so that the connection can be used again.
const MAX_DISCARDED: usize = 64 << 10;
/// Longest time for that.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

/// How it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    /// There is no connection.
    NotConnected,
    /// A connection that had served before ended without an answer: the server may not have seen the request.
    Stale,
    /// It broke, or what came is not HTTP.
    Broken,
    /// Nothing came in time.
    TimedOut,
}

/// Sends and receives.
pub(super) struct Exchange {
    connector: Connector,
}

impl Exchange {
    /// With a pool of its own.
    pub(super) fn new() -> Self {
        Self { connector: Connector::new(Some(ConnectorOptions::new(POOL_SIZE))) }
    }

    /// Sends a request to a peer and waits for the header of the answer, under the limits of the peer.
    pub(super) async fn send(&self, peer: &HttpPeer, asked: &RequestHeader) -> Result<ResponseHeader, Failed> {
        let (mut session, is_reused) = self.connector.get_http_session(peer).await.map_err(|error| not_connected(&error))?;
        session.set_read_timeout(peer.options.read_timeout);
        session.set_write_timeout(peer.options.write_timeout);
        let answer = match exchange(&mut session, asked).await {
            Ok(answer) => answer,
            Err(error) => {
                session.shutdown().await;
                return Err(broken(&error, is_reused));
            }
        };
        if tokio::time::timeout(DISCARD_TIMEOUT, discard(&mut session)).await.unwrap_or(false) {
            self.connector.release_http_session(session, peer, peer.options.idle_timeout).await;
        } else {
            session.shutdown().await;
        }
        Ok(answer)
    }
}

async fn exchange(session: &mut HttpSession, asked: &RequestHeader) -> Result<ResponseHeader, Box<Error>> {
    session.write_request_header(Box::new(asked.clone())).await?;
    session.finish_request_body().await?;
    loop {
        session.read_response_header().await?;
        match session.response_header() {
            Some(header) if header.status.is_informational() && header.status != 101 => {}
            Some(header) => return Ok(header.clone()),
            None => return Err(Error::new(ErrorType::InvalidHTTPHeader)),
        }
    }
}

/// Reads the body; false when there is too much of it.
async fn discard(session: &mut HttpSession) -> bool {
    let mut left = MAX_DISCARDED;
    loop {
        match session.read_response_body().await {
            Ok(None) => return true,
            Ok(Some(bytes)) if bytes.len() <= left => left -= bytes.len(),
            Ok(Some(_)) | Err(_) => return false,
        }
    }
}

fn not_connected(error: &Error) -> Failed {
    tracing::debug!(%error, "cannot connect to an authentication server");
    Failed::NotConnected
}

fn broken(error: &Error, is_reused: bool) -> Failed {
    use ErrorType::{ConnectionClosed, ReadError, ReadTimedout, WriteError, WriteTimedout};
    tracing::debug!(%error, is_reused, "an authentication server gave no answer");
    match error.etype() {
        ReadTimedout | WriteTimedout => Failed::TimedOut,
        ConnectionClosed | ReadError | WriteError if is_reused => Failed::Stale,
        _ => Failed::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_used_connection_can_be_stale() {
        for (error, is_reused, expected) in [
            (ErrorType::ConnectionClosed, true, Failed::Stale),
            (ErrorType::ReadError, true, Failed::Stale),
            (ErrorType::WriteError, true, Failed::Stale),
            (ErrorType::ConnectionClosed, false, Failed::Broken),
            (ErrorType::InvalidHTTPHeader, true, Failed::Broken),
            (ErrorType::ReadTimedout, true, Failed::TimedOut),
            (ErrorType::WriteTimedout, false, Failed::TimedOut),
        ] {
            assert_eq!(broken(&Error::new(error.clone()), is_reused), expected, "{error:?} {is_reused}");
        }
    }
}
