//! What a client is told whose request no filter sees. What the answer looks like is for the filters' side to say.

use super::ConnInfo;

/// What is wrong with what the client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It cannot be parsed, or could be understood in two ways.
    Malformed,
    /// HTTP in the clear on a port for HTTPS.
    PlainHttp,
}

/// Refuses requests over HTTP/1.1.
pub(crate) trait Refuse: std::fmt::Debug + Send + Sync {
    /// The whole answer, after which the connection is closed.
    fn refuse(&self, connection: &ConnInfo, refusal: Refusal) -> Vec<u8>;
}
