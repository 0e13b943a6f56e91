//! The filters: they ask the pure siblings what to do with a request and carry it out.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use pingora_core::modules::http::HttpModules;
use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorSource, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};

use super::access::Asked;
use super::access_log::Log;
use super::answer::{self, Reason};
use super::authenticate::Authenticator;
use super::backend::{MAX_TRIES, Tried};
use super::ctx::{Ctx, Current};
use super::decide::{self, Decision};
use super::external_auth::ExternalAuthenticator;
use super::external_name::{ExternalNames, ResolveError};
use super::forwarded::Client;
use super::metrics::{InFlight, Metrics};
use super::refuse::Refuser;
use super::retry::{self, Failure, Sent};
use super::runtime::{self, Runtime};
use super::{finish, headers, peer, request, request_id, respond};
use crate::listen::{conn_info, request_body};
use crate::server::BindError;
use crate::table::{Backend, Endpoint};
use crate::{Limits, Options, Snapshot};

/// The filters of the gateway.
pub(crate) struct App {
    snapshots: Arc<ArcSwap<Snapshot>>,
    public_https_port: u16,
    https_port: HeaderValue,
    limits: Limits,
    epoch: Instant,
    pub(super) authenticator: Authenticator,
    pub(super) external_authenticator: ExternalAuthenticator,
    external_names: Arc<ExternalNames>,
    pub(super) runtime: Arc<Runtime>,
    pub(super) access_log: Option<Arc<Log>>,
}

impl App {
    /// The filters over the snapshot that is current when a request begins; the access log goes to standard output.
    ///
    /// # Errors
    /// The registry has these metrics already, or the thread of the access log cannot be started.
    pub(crate) fn new(options: &Options, snapshots: Arc<ArcSwap<Snapshot>>, registry: &prometheus::Registry) -> Result<Self, BindError> {
        Self::with_log(options, snapshots, registry, Box::new(io::stdout()))
    }

    /// Like [`Self::new`], with the access log written to `log`.
    ///
    /// # Errors
    /// The registry has these metrics already, or the thread of the access log cannot be started.
    pub(crate) fn with_log(
        options: &Options,
        snapshots: Arc<ArcSwap<Snapshot>>,
        registry: &prometheus::Registry,
        log: Box<dyn io::Write + Send>,
    ) -> Result<Self, BindError> {
        let metrics = Metrics::new(registry, Arc::clone(&snapshots))?;
        let log = Log::start(options.access_log, log, metrics.dropped_lines.clone());
        let turns = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (external_names, runtime) = (ExternalNames::new(options.allow_loopback_external_names), Arc::new(Runtime::new(metrics)));
        Ok(Self {
            snapshots,
            public_https_port: options.public_https_port,
            https_port: HeaderValue::from(options.public_https_port),
            limits: options.limits,
            epoch: Instant::now(),
            authenticator: Authenticator::new(rand::random(), turns),
            external_authenticator: ExternalAuthenticator::new(Arc::clone(&external_names), Arc::clone(&runtime), options.public_https_port),
            external_names,
            runtime,
            access_log: log.map_err(BindError::AccessLog)?.map(Arc::new),
        })
    }

    /// Answers what never comes to the filters, in the same way as they do.
    pub(crate) fn refuser(&self) -> Arc<Refuser> {
        Arc::new(Refuser { runtime: Arc::clone(&self.runtime), access_log: self.access_log.clone() })
    }

    /// Forgets in each period what no route needs any more; never ends.
    pub(crate) fn prune_always(&self, period: Duration) -> impl Future<Output = ()> + Send + Sync + use<> {
        runtime::prune_always(Arc::clone(&self.runtime), Arc::clone(&self.snapshots), period)
    }

    pub(super) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// Bounds how long a client may stop sending or taking within this request. Over HTTP/1.1 the connection's own deadlines bound what it takes.
    fn set_deadlines(&self, session: &mut Session) {
        if session.as_downstream().is_http2() {
            session.set_write_timeout(Some(self.limits.stalled_write));
        } else {
            session.set_read_timeout(Some(self.limits.body));
        }
    }

    /// Until when the next piece of an HTTP/2 request's body has to come: the upstream may take its time to accept the last one.
    fn await_body(&self, session: &mut Session, ctx: &Ctx) {
        if session.as_downstream().is_http2() && session.response_written().is_none() {
            let send = ctx.route().map_or(Duration::ZERO, |route| route.policy.send_timeout);
            request_body::awaited(self.limits.body + send);
        }
    }

    /// Answers a request here.
    async fn answer(&self, session: &mut Session, ctx: &mut Ctx, reason: &Reason) -> Result<()> {
        if matches!(reason, Reason::BadRequest | Reason::MethodNotAllowed) {
            // What follows it on the connection could be anything.
            session.set_keepalive(None);
        }
        let request = session.req_header();
        let mut answer = answer::answer(reason, request.method == Method::HEAD, &request.headers, &ctx.request_id);
        if let Some(granted) = &ctx.granted {
            answer.headers.extend(granted.cookies(answer.status).iter().map(|cookie| (http::header::SET_COOKIE, cookie.clone())));
        }
        // Boxed, so that requests that are passed on do not carry room for it.
        ctx.close = Box::pin(respond::write(session, answer, is_tls(session))).await?;
        Ok(())
    }

    /// What has to be asked of a user and a body before the route may serve the request.
    async fn admit(&self, session: &Session, ctx: &mut Ctx, snapshot: &Snapshot) -> Result<(), Reason> {
        let Some(route) = &ctx.route else { return Err(Reason::NotFound) };
        let body_limit = route.policy.body_limit;
        if route.policy.basic_auth.is_some() || route.policy.external_auth.is_some() {
            let route = Arc::clone(route);
            // On the heap, so that requests to routes that ask for nothing do not carry the room for it.
            Box::pin(self.let_in(session, ctx, Asked { snapshot, route: &route })).await?;
        }
        let declared = respond::content_length(session.req_header()).unwrap_or_default();
        if body_limit.is_some_and(|limit| declared > limit) {
            return Err(Reason::BodyTooLarge);
        }
        match ctx.backend() {
            Some((backend, _)) if !backend.endpoints.is_empty() => Ok(()),
            _ => Err(Reason::Unavailable),
        }
    }

    async fn address(&self, backend: &Backend, endpoint: usize) -> Result<std::net::SocketAddr> {
        let outcome = match backend.endpoints.get(endpoint) {
            Some(Endpoint::Address(address)) => Ok(*address),
            Some(Endpoint::Name(name, port)) => Box::pin(self.external_names.resolve(name, *port, self.now())).await,
            None => Err(ResolveError::NotFound),
        };
        outcome.map_err(|error| {
            let status = match error {
                ResolveError::NotFound => 502,
                ResolveError::TimedOut => 504,
                ResolveError::Forbidden => 503,
            };
            Error::because(ErrorType::HTTPStatus(status), "external name", error)
        })
    }
}

/// Whether the client spoke HTTPS.
pub(super) fn is_tls(session: &Session) -> bool {
    conn_info(session).is_some_and(|connection| connection.tls.is_some())
}

/// The client's address.
pub(super) fn client_address(session: &Session) -> IpAddr {
    conn_info(session).map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |connection| connection.peer.ip())
}

#[async_trait]
impl ProxyHttp for App {
    type CTX = Ctx;

    fn new_ctx(&self) -> Ctx {
        Ctx {
            started: Instant::now(),
            request_id: HeaderValue::from_static("-"),
            route: None,
            user: None,
            granted: None,
            body_bytes: 0,
            tried: Tried::default(),
            tries: Vec::new(),
            current: None,
            close: false,
            _in_flight: InFlight::begin(&self.runtime.metrics),
        }
    }

    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, ctx: &mut Ctx) -> Result<bool> {
        // Before anything can be answered: see `GwStream`.
        if let Some(connection) = conn_info(session) {
            connection.under_way.set(true);
        }
        if let Some(target) = request::origin_form(session.req_header().raw_path()).filter(|_| !session.as_downstream().is_http2()) {
            session.req_header_mut().set_raw_path(&target)?;
        }
        headers::forget_case(session.req_header_mut())?;
        self.set_deadlines(session);
        let snapshot = self.snapshots.load_full();
        let header = session.req_header();
        ctx.request_id = request_id::choose(header.headers.get(super::forwarded::X_REQUEST_ID), rand::random);
        let target = header.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
        let tls = conn_info(session).and_then(|connection| connection.tls.as_ref());
        let facts = decide::Request {
            method: &header.method,
            authority: request::authority(&header.uri, &header.headers),
            target,
            path: header.uri.path(),
            headers: &header.headers,
            tls: tls.is_some(),
            server_name: tls.and_then(|tls| tls.server_name.as_deref()),
            client: client_address(session),
        };
        let (route, refusal) = match decide::decide(&snapshot, self.public_https_port, &facts) {
            Decision::Challenge(authorization) => {
                let answer = answer::key_authorization(authorization, header.method == Method::HEAD);
                let tls = facts.tls;
                ctx.close = Box::pin(respond::write(session, answer, tls)).await?;
                return Ok(true);
            }
            Decision::Answer(reason, route) => (route, Some(reason)),
            Decision::Serve(route) => (Some(route), None),
        };
        ctx.route = route.map(|route| self.runtime.resolved(route));
        let refusal = match refusal {
            Some(reason) => Some(reason),
            None => self.admit(session, ctx, &snapshot).await.err(),
        };
        match refusal {
            Some(reason) => self.answer(session, ctx, &reason).await.map(|()| true),
            None => Ok(false),
        }
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
        let now = Instant::now();
        ctx.body_bytes = 0;
        let (Some(route), Some((backend, state))) = (ctx.route(), ctx.backend()) else { return Err(Error::new(ErrorType::HTTPStatus(503))) };
        let Some(endpoint) = state.next(backend, &ctx.tried, now.duration_since(self.epoch)) else {
            return Err(Error::new(ErrorType::HTTPStatus(503)));
        };
        let address = self.address(backend, endpoint).await;
        let peer_for = if session.is_upgrade_req() { peer::tunnel_peer_for } else { peer::peer_for };
        let peer = address.map(|address| Box::new(peer_for(backend, &route.policy, state.group_key, address)));
        ctx.current = Some(Current { endpoint, address: peer.as_ref().ok().and_then(|peer| peer._address.as_inet().copied()), started: now });
        peer
    }

    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        _reused: bool,
        _peer: &HttpPeer,
        _fd: std::os::fd::RawFd,
        _digest: Option<&Digest>,
        ctx: &mut Ctx,
    ) -> Result<()> {
        if let (Some((backend, state)), Some(current)) = (ctx.backend(), ctx.current)
            && let Some(endpoint) = backend.endpoints.get(current.endpoint)
        {
            state.connected(endpoint);
        }
        if !session.as_downstream_mut().is_body_done() {
            self.await_body(session, ctx);
        }
        Ok(())
    }

    fn fail_to_connect(&self, _session: &mut Session, _peer: &HttpPeer, ctx: &mut Ctx, mut error: Box<Error>) -> Box<Error> {
        let Some(current) = ctx.current else { return error };
        let mut others = false;
        if let Some((backend, state)) = ctx.backend() {
            if let Some(endpoint) = backend.endpoints.get(current.endpoint) {
                state.failed(backend, endpoint, self.now());
            }
            others = ctx.tried.count() + 1 < backend.endpoints.len();
        }
        let more = ctx.tried.push(current.endpoint);
        error.set_retry(more && others);
        ctx.end_try(status_of(&error), 0, Instant::now());
        error
    }

    fn error_while_proxy(&self, _peer: &HttpPeer, session: &mut Session, mut error: Box<Error>, ctx: &mut Ctx, client_reused: bool) -> Box<Error> {
        error.retry.decide_reuse(client_reused);
        let sent = Sent {
            is_idempotent: session.req_header().method.is_idempotent(),
            is_reused: client_reused,
            is_body_kept: !session.as_ref().retry_buffer_truncated(),
            is_answered: session.response_written().is_some_and(|response| !response.status.is_informational()),
            tries: ctx.tries.len() + 1,
        };
        let again = error.retry() && retry::may_repeat(sent, MAX_TRIES);
        error.set_retry(again);
        if *error.esource() == ErrorSource::Upstream && !sent.is_answered {
            ctx.end_try(status_of(&error), 0, Instant::now());
        }
        error
    }

    async fn upstream_request_filter(&self, session: &mut Session, request: &mut RequestHeader, ctx: &mut Ctx) -> Result<()> {
        let header = session.req_header();
        let tls = is_tls(session);
        let http_port = HeaderValue::from_static("80");
        let client = Client {
            address: client_address(session),
            authority: request::authority(&header.uri, &header.headers).unwrap_or_default(),
            tls,
            port: if tls { &self.https_port } else { &http_port },
            request_id: &ctx.request_id,
        };
        let is_http2 = ctx.backend().is_some_and(|(backend, _)| backend.protocol.is_http2());
        let consumed_authorization = ctx.route().is_some_and(|route| route.policy.basic_auth.is_some());
        headers::prepare_request(request, &client, is_http2, consumed_authorization)?;
        if let Some(auth) = ctx.route().and_then(|route| route.policy.external_auth.as_ref()) {
            headers::hand_on(request, &auth.response_headers, ctx.granted.as_ref().map(|granted| &granted.headers))?;
        }
        // What is ready is read first, then all of it is sent on: an upstream on the same machine that sleeps is woken once for several requests.
        tokio::task::yield_now().await;
        Ok(())
    }

    /// Never waits: on an upgraded connection that would end the tunnel (pingora#946).
    async fn request_body_filter(&self, session: &mut Session, body: &mut Option<Bytes>, end: bool, ctx: &mut Ctx) -> Result<()> {
        if end {
            request_body::ended();
        } else {
            self.await_body(session, ctx);
        }
        let Some(bytes) = body.as_ref().filter(|_| !session.was_upgraded()) else { return Ok(()) };
        ctx.body_bytes += bytes.len() as u64;
        let limit = ctx.route().and_then(|route| route.policy.body_limit);
        if limit.is_some_and(|limit| ctx.body_bytes > limit) {
            return Err(Error::new_down(ErrorType::HTTPStatus(413)));
        }
        Ok(())
    }

    async fn response_filter(&self, session: &mut Session, response: &mut ResponseHeader, ctx: &mut Ctx) -> Result<()> {
        if !response.status.is_informational() || response.status == StatusCode::SWITCHING_PROTOCOLS {
            // From here on either side may be silent as long as the upstream's read timeout lets it: calls that stream both ways, tunnels.
            request_body::ended();
            session.set_read_timeout(None);
        }
        if let Some(granted) = &ctx.granted {
            headers::set_cookies(response, granted.cookies(response.status))?;
        }
        headers::prepare_response(response, is_tls(session))
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Ctx) -> FailToProxy {
        let is_answered = session.response_written().is_some_and(|response| !response.status.is_informational() || response.status == 101);
        let error_code = match retry::failure(error) {
            Failure::ClientGone => 499,
            Failure::Answer(reason) => {
                session.as_downstream_mut().set_keepalive(None);
                if !is_answered && self.answer(session, ctx, &reason).await.is_ok() {
                    ctx.close = true;
                }
                reason.status().as_u16()
            }
        };
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    /// The access log and metrics say it, per request and without flooding.
    fn suppress_error_log(&self, _session: &Session, _ctx: &Ctx, error: &Error) -> bool {
        tracing::debug!(%error, "request failed");
        true
    }

    fn suppress_proxy_warn_log(&self, _session: &Session, _ctx: &Ctx, error: &Error, _context: ProxyWarnLogContext) -> bool {
        tracing::debug!(%error, "try failed");
        true
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Ctx) {
        finish::request(self, session, error, ctx, Instant::now(), SystemTime::now());
        // So that the client reads the answer before it sees a reset.
        match (session.as_downstream().is_http2(), ctx.close) {
            (true, true) => Box::pin(respond::linger(session)).await,
            (false, true) if error.is_some() => Box::pin(session.as_downstream_mut().shutdown()).await,
            _ => {}
        }
    }
}

/// The status that stands for a failed try in the log.
fn status_of(error: &Error) -> u16 {
    match retry::failure(error) {
        Failure::ClientGone => 499,
        Failure::Answer(reason) => reason.status().as_u16(),
    }
}
