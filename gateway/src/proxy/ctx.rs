//! What a request carries from its first filter to its log line.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;

use super::access_log::Try;
use super::backend::{BackendState, Tried};
use super::external_auth::Granted;
use super::kept::RouteState;
use super::metrics::InFlight;
use crate::table::{Action, Backend, Route};

/// State of one request.
#[derive(Debug)]
pub(crate) struct Ctx {
    /// When its header was read.
    pub(super) started: Instant,
    /// Its id.
    pub(super) request_id: HeaderValue,
    /// Its route, resolved. Not the configuration that it is of: that would stay in memory for as long as a tunnel lasts.
    pub(super) route: Option<Arc<Route>>,
    /// The user that passed Basic authentication.
    pub(super) user: Option<String>,
    /// What an authentication server gave along when it let the request pass.
    pub(super) granted: Option<Box<Granted>>,
    /// Bytes of the body that went through in the current try.
    pub(super) body_bytes: u64,
    /// Endpoints that it could not connect to.
    pub(super) tried: Tried,
    /// Tries that are over.
    pub(super) tries: Vec<Try>,
    /// The try under way.
    pub(super) current: Option<Current>,
    /// Set where the connection is to be closed in an orderly way after an answer of ours.
    pub(super) close: bool,
    /// Counts it as being served.
    pub(super) _in_flight: InFlight,
}

/// A try under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Current {
    /// Index of its endpoint.
    pub(super) endpoint: usize,
    /// Address of the endpoint, once known.
    pub(super) address: Option<std::net::SocketAddr>,
    /// When it began.
    pub(super) started: Instant,
}

impl Ctx {
    /// The policy's route, where one was found.
    pub(super) fn route(&self) -> Option<&Route> {
        self.route.as_deref()
    }

    /// What is remembered of its route.
    pub(super) fn state(&self) -> Option<&RouteState> {
        self.route()?.kept.get()
    }

    /// The backend and its state, where the route has one.
    pub(super) fn backend(&self) -> Option<(&Backend, &BackendState)> {
        match (&self.route()?.action, &self.state()?.backend) {
            (Action::Forward(backend), Some(state)) => Some((backend, state)),
            _ => None,
        }
    }

    /// Ends the try under way with a status.
    pub(super) fn end_try(&mut self, status: u16, length: u64, now: Instant) {
        if let Some(current) = self.current.take() {
            let duration = now.saturating_duration_since(current.started);
            self.tries.push(Try { address: current.address, status, length, duration });
        }
    }

    /// Since its header was read.
    pub(super) fn duration(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started)
    }
}
