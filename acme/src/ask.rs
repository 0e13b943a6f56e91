//! Calls to a CA: the patience that the library lacks, and errors told apart.

use instant_acme::Error;

use crate::failure::{AttemptFailure, FailureKind, kind_of_problem, words};
use crate::transport::{LastAnswer, causes};

/// How often a call is repeated when the CA refuses its nonce (RFC 8555 section 6.5). The library itself repeats twice.
const MOST_NONCES: usize = 60;

const BAD_NONCE: &str = "urn:ietf:params:acme:error:badNonce";

/// How often nonces were refused in one call.
#[derive(Default)]
pub(crate) struct Patience {
    refused: usize,
}

impl Patience {
    /// Whether the call is to be made again: another try with a fresh nonce is what a CA that refuses one asks for.
    pub(crate) fn again(&mut self, error: &Error) -> bool {
        let bad_nonce = matches!(error, Error::Api(problem) if problem.r#type.as_deref() == Some(BAD_NONCE));
        self.refused += usize::from(bad_nonce);
        bad_nonce && self.refused < MOST_NONCES
    }
}

/// Makes a call, again while the CA refuses its nonces. A macro, because a function that takes the call as an async closure gives a future that the
/// compiler cannot show to be `Send` (rust-lang/rust#64552).
macro_rules! patiently {
    ($call:expr) => {{
        let mut patience = crate::ask::Patience::default();
        loop {
            match $call.await {
                Err(error) if patience.again(&error) => {}
                other => break other,
            }
        }
    }};
}
pub(crate) use patiently;

/// The failure of a step, in the CA's words where it spoke.
pub(crate) fn failure(step: &str, error: &Error, last: &LastAnswer) -> AttemptFailure {
    let status = last.status.map(|status| status.as_u16());
    let (kind, said) = match error {
        Error::Api(problem) => (kind_of_problem(problem.r#type.as_deref(), problem.status.or(status)), words(problem)),
        Error::Json(_) => (unreadable(status), format!("status {} with an answer that is not ACME's", status.unwrap_or_default())),
        Error::Other(cause) => (FailureKind::Unavailable, causes(cause.as_ref())),
        other if status == Some(429) => (FailureKind::RateLimited, other.to_string()),
        other => (FailureKind::Unavailable, other.to_string()),
    };
    let retry_after = last.retry_after.filter(|_| matches!(kind, FailureKind::RateLimited | FailureKind::Unavailable));
    AttemptFailure { retry_after, ..AttemptFailure::new(kind, format!("{step}: {said}")) }
}

fn unreadable(status: Option<u16>) -> FailureKind {
    if status == Some(429) { FailureKind::RateLimited } else { FailureKind::Unavailable }
}

/// Whether the CA does not know the account (any more).
pub(crate) fn account_is_gone(error: &Error) -> bool {
    matches!(error, Error::Api(problem) if problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:accountDoesNotExist"))
}
