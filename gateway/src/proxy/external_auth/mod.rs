//! Authentication by subrequest: before a request is served, another server is asked about it. Whatever is not a clear yes or no is no.
//!
//! [`way`] says where the server is, [`subrequest`] what it is asked, [`verdict`] what its answer means; all three are pure. [`exchange`] sends and receives.

mod exchange;
mod subrequest;
mod verdict;
mod way;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use pingora_http::{RequestHeader, ResponseHeader};

use super::backend::{BackendState, MAX_TRIES, Tried};
use super::external_name::{ExternalNames, ResolveError};
use super::forwarded::Client;
use super::peer::peer_for;
use super::runtime::Runtime;
use super::{headers, request};
use crate::Snapshot;
use crate::table::{Backend, Destination, Endpoint, ExternalAuth, Original, Policy, Route};
use exchange::{Exchange, Failed};
pub(super) use verdict::{Granted, Refused, Verdict};
use way::Way;

/// Why a server gave no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// It answered with something else than 2xx, 401 or 403.
    #[error("the authentication server answered {0}")]
    Status(u16),
    /// It has no address, or one that a tenant must not reach.
    #[error("the authentication server's name leads nowhere")]
    Name,
    /// No connection, or one that broke.
    #[error("the authentication server cannot be reached")]
    Unreachable,
    /// No answer in time.
    #[error("the authentication server did not answer in time")]
    TimedOut,
    /// To ask it, it would have to be asked.
    #[error("auth-url leads to a route that asks for authentication itself")]
    Loop,
    /// The URL leads to a path of this gateway that nothing serves.
    #[error("auth-url leads to a path that no rule serves")]
    NoRoute,
    /// The client may not reach the path that the URL leads to.
    #[error("auth-url leads to a route that this client may not use")]
    Forbidden,
    /// The backend speaks HTTP/2.
    #[error("auth-url leads to a backend that speaks gRPC")]
    Protocol,
    /// What it answered is too large to hand on.
    #[error("the header of the authentication server's answer is too large")]
    TooLarge,
    /// A client of a route for many hosts could name a server of its own.
    #[error("auth-url has the request's host, which the client of a route for many hosts can choose")]
    ChosenByClient,
    /// The request makes no URL.
    #[error("the request's host makes no URL")]
    Url,
}

/// A request that a server is to be asked about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    /// The configuration that it is served under.
    pub(super) snapshot: &'a Snapshot,
    /// The route that it is for.
    pub(super) route: &'a Route,
    /// Its header.
    pub(super) header: &'a RequestHeader,
    /// The client.
    pub(super) client: IpAddr,
    /// Whether it came over HTTPS.
    pub(super) tls: bool,
    /// Its id.
    pub(super) request_id: &'a HeaderValue,
    /// When it is asked.
    pub(super) now: Duration,
}

impl Question<'_> {
    /// The request as templates see it.
    fn original(&self) -> Option<Original<'_>> {
        let authority = request::authority(&self.header.uri, &self.header.headers).ok()?;
        Some(Original {
            tls: self.tls,
            method: self.header.method.as_str(),
            host: request::host(authority).ok()?,
            authority,
            target: self.header.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str),
            client: self.client,
        })
    }
}

/// Asks.
pub(super) struct ExternalAuthenticator {
    exchange: Exchange,
    external_names: Arc<ExternalNames>,
    runtime: Arc<Runtime>,
    public_https_port: u16,
}

impl ExternalAuthenticator {
    /// Connections are pooled here, apart from those that serve requests.
    pub(super) fn new(external_names: Arc<ExternalNames>, runtime: Arc<Runtime>, public_https_port: u16) -> Self {
        Self { exchange: Exchange::new(), external_names, runtime, public_https_port }
    }

    /// What the server says of a request.
    pub(super) async fn ask(&self, auth: &ExternalAuth, question: &Question<'_>) -> Result<Verdict, Fault> {
        let header = question.header;
        if subrequest::is_one(&header.headers) {
            return Err(Fault::Loop);
        }
        let original = question.original().ok_or(Fault::Url)?;
        let destination = auth.url.fill(&original).ok_or(Fault::Url)?;
        let asked = subrequest::header(auth, &original, &destination, header, question.request_id).map_err(|_| Fault::Url)?;
        let way = way::way(question, &original, &destination, self.public_https_port)?;
        // A server behind a route of ours has that route's time, any other the time of the route that is protected.
        let policy = if let Way::Own(route, _) = &way { &route.policy } else { &question.route.policy };
        let answer = async {
            match way {
                Way::Own(route, backend) => self.ask_own(route, backend, &destination, asked, question).await,
                Way::Network => self.ask_network(&destination, asked, question).await,
            }
        };
        let limit = policy.connect_timeout * 2 + policy.send_timeout + policy.read_timeout;
        let answer = tokio::time::timeout(limit, answer).await.unwrap_or(Err(Fault::TimedOut))?;
        verdict::verdict(auth, answer.status, &answer.headers)
    }

    /// Asks a server that a route of this very gateway leads to, without leaving the process: as if the subrequest had come in from the client.
    async fn ask_own(
        &self,
        route: &Arc<Route>,
        backend: &Backend,
        destination: &Destination,
        mut asked: RequestHeader,
        question: &Question<'_>,
    ) -> Result<ResponseHeader, Fault> {
        let port = HeaderValue::from(if destination.tls { self.public_https_port } else { 80 });
        let client =
            Client { address: question.client, authority: &destination.host, tls: destination.tls, port: &port, request_id: question.request_id };
        headers::prepare_request(&mut asked, &client, false, false).map_err(|_| Fault::Url)?;
        let state = self.runtime.of(route);
        let state = state.backend.as_deref().ok_or(Fault::NoRoute)?;
        self.first_answer(backend, state, &route.policy, &asked, question.now).await
    }

    /// Asks a server anywhere else.
    async fn ask_network(&self, destination: &Destination, asked: RequestHeader, question: &Question<'_>) -> Result<ResponseHeader, Fault> {
        let backend = way::network_backend(question.route, destination);
        let state = BackendState::new(&backend);
        self.first_answer(&backend, &state, &question.route.policy, &asked, question.now).await
    }

    /// The answer of the first endpoint that a connection can be made to.
    async fn first_answer(
        &self,
        backend: &Backend,
        state: &BackendState,
        policy: &Policy,
        asked: &RequestHeader,
        now: Duration,
    ) -> Result<ResponseHeader, Fault> {
        let (mut tried, mut stale) = (Tried::default(), 0);
        while let Some((at, endpoint)) = state.next(backend, &tried, now).and_then(|at| Some((at, backend.endpoints.get(at)?))) {
            let address = self.address(endpoint, now).await?;
            match self.exchange.send(&peer_for(backend, policy, state.group_key, address), asked).await {
                Ok(answer) => {
                    state.connected(endpoint);
                    return Ok(answer);
                }
                Err(Failed::Stale) if stale < MAX_TRIES => stale += 1,
                Err(Failed::Stale | Failed::Broken) => return Err(Fault::Unreachable),
                Err(Failed::TimedOut) => return Err(Fault::TimedOut),
                Err(Failed::NotConnected) => {
                    state.failed(backend, endpoint, now);
                    if !tried.push(at) {
                        return Err(Fault::Unreachable);
                    }
                }
            }
        }
        Err(Fault::Unreachable)
    }

    async fn address(&self, endpoint: &Endpoint, now: Duration) -> Result<SocketAddr, Fault> {
        match endpoint {
            Endpoint::Address(address) => Ok(*address),
            Endpoint::Name(name, port) => self.external_names.resolve(name, *port, now).await.map_err(|error| match error {
                ResolveError::TimedOut => Fault::TimedOut,
                ResolveError::NotFound | ResolveError::Forbidden => Fault::Name,
            }),
        }
    }
}

impl ExternalAuth {
    /// Where a client that the server does not know is sent.
    pub(super) fn sign_in_location(&self, question: &Question<'_>) -> Option<HeaderValue> {
        HeaderValue::try_from(self.sign_in.as_ref()?.fill(&question.original()?)).ok()
    }
}
