//! How long a client may take for what.

use std::time::Duration;

/// Time limits of downstream connections, below the limits that a route has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From accepting a connection to the end of its TLS handshake.
    pub handshake: Duration,
    /// From the start of a connection (after TLS) to the first byte of its first request.
    pub first_byte: Duration,
    /// From the first byte of a request's head to its end.
    pub head: Duration,
    /// Between two requests of an HTTP/1.1 connection, and with no stream open on an HTTP/2 connection.
    pub idle: Duration,
    /// Between two pieces of a request body.
    pub body: Duration,
    /// While the client does not take what is sent to it, for a connection and for each HTTP/2 stream.
    pub stalled_write: Duration,
    /// Without a byte in either direction, whatever the state of the connection. Clients that vanished are found earlier, by TCP keepalive.
    pub silence: Duration,
    /// How long what a client still sends is discarded after the answer, so that it can read the answer rather than see a reset.
    pub linger: Duration,
    /// Longest gap between two reads of what is discarded.
    pub linger_gap: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            first_byte: Duration::from_secs(60),
            head: Duration::from_secs(30),
            idle: Duration::from_secs(75),
            body: Duration::from_secs(60),
            stalled_write: Duration::from_secs(60),
            silence: Duration::from_secs(24 * 60 * 60),
            linger: Duration::from_secs(30),
            linger_gap: Duration::from_secs(5),
        }
    }
}
