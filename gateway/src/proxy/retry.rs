//! What an error of Pingora's means for the client, and whether the request may be tried again. Pure.

use pingora_core::{Error, ErrorSource, ErrorType};

use super::answer::Reason;

/// How a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The client went away; there is nobody to answer.
    ClientGone,
    /// To be answered.
    Answer(Reason),
}

/// What an error means, 504 for every timeout of an upstream and 502 for the rest of its faults, as nginx has it.
pub(super) fn failure(error: &Error) -> Failure {
    use ErrorType::{ConnectTimedout, ConnectionClosed, HTTPStatus, ReadError, ReadTimedout, TLSHandshakeTimedout, WriteError, WriteTimedout};
    let answer = match (error.etype(), error.esource()) {
        (HTTPStatus(413), _) => Reason::BodyTooLarge,
        (HTTPStatus(503), _) => Reason::Unavailable,
        (HTTPStatus(504), _) => Reason::GatewayTimeout,
        (ConnectTimedout | ReadTimedout | WriteTimedout | TLSHandshakeTimedout, ErrorSource::Upstream) => Reason::GatewayTimeout,
        (_, ErrorSource::Upstream) => Reason::BadGateway,
        (ReadError | WriteError | ConnectionClosed | ReadTimedout | WriteTimedout, ErrorSource::Downstream) => return Failure::ClientGone,
        (ErrorType::H2Error | ErrorType::ConnectError, ErrorSource::Downstream) => return Failure::ClientGone,
        (_, ErrorSource::Downstream) => Reason::BadRequest,
        (_, ErrorSource::Internal | ErrorSource::Unset) => Reason::BadGateway,
    };
    Failure::Answer(answer)
}

/// What decides about trying again after a request was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    /// RFC 9110 section 9.2.2.
    pub(super) is_idempotent: bool,
    /// Whether the connection had served a request before: only then can the endpoint have closed it before it saw this one.
    pub(super) is_reused: bool,
    /// Whether the whole body read so far can be sent again.
    pub(super) is_body_kept: bool,
    /// Whether the client got a part of an answer.
    pub(super) is_answered: bool,
    /// Tries so far, this one included.
    pub(super) tries: usize,
}

/// Whether a request that was sent may be sent again.
pub(super) const fn may_repeat(sent: Sent, max_tries: usize) -> bool {
    sent.is_idempotent && sent.is_reused && sent.is_body_kept && !sent.is_answered && sent.tries < max_tries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_status_that_nginx_gives_them() {
        use ErrorType::*;
        let answer = Failure::Answer;
        for (error, expected) in [
            (Error::new_up(ConnectRefused), answer(Reason::BadGateway)),
            (Error::new_up(ConnectTimedout), answer(Reason::GatewayTimeout)),
            (Error::new_up(TLSHandshakeTimedout), answer(Reason::GatewayTimeout)),
            (Error::new_up(TLSHandshakeFailure), answer(Reason::BadGateway)),
            (Error::new_up(ReadTimedout), answer(Reason::GatewayTimeout)),
            (Error::new_up(WriteTimedout), answer(Reason::GatewayTimeout)),
            (Error::new_up(ConnectionClosed), answer(Reason::BadGateway)),
            (Error::new_up(InvalidHTTPHeader), answer(Reason::BadGateway)),
            (Error::new_up(InvalidH2), answer(Reason::BadGateway)),
            (Error::new_down(ConnectionClosed), Failure::ClientGone),
            (Error::new_down(ReadError), Failure::ClientGone),
            (Error::new_down(WriteError), Failure::ClientGone),
            (Error::new_down(ReadTimedout), Failure::ClientGone),
            (Error::new_down(H2Error), Failure::ClientGone),
            (Error::new_down(InvalidHTTPHeader), answer(Reason::BadRequest)),
            (Error::new_in(HTTPStatus(413)), answer(Reason::BodyTooLarge)),
            (Error::new_in(HTTPStatus(503)), answer(Reason::Unavailable)),
            (Error::new_in(HTTPStatus(504)), answer(Reason::GatewayTimeout)),
            (Error::new_in(InternalError), answer(Reason::BadGateway)),
        ] {
            assert_eq!(failure(&error), expected, "{error}");
        }
    }

    #[test]
    fn only_an_idempotent_whole_request_on_a_reused_connection_is_repeated() {
        let yes = Sent { is_idempotent: true, is_reused: true, is_body_kept: true, is_answered: false, tries: 1 };
        for (sent, expected) in [
            (yes, true),
            (Sent { tries: 2, ..yes }, true),
            (Sent { tries: 3, ..yes }, false),
            (Sent { is_idempotent: false, ..yes }, false),
            (Sent { is_reused: false, ..yes }, false),
            (Sent { is_body_kept: false, ..yes }, false),
            (Sent { is_answered: true, ..yes }, false),
        ] {
            assert_eq!(may_repeat(sent, 3), expected, "{sent:?}");
        }
    }
}
