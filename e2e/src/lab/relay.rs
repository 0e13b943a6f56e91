//! The way from the program to the API server through this process, which stops requests on it: before they have arrived, or once they are carried out and
//! nobody has heard of it. What is stopped goes on when it is let go, even if whoever sent it has died since.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::Lab;
use super::install::HERE;
use crate::client::tls;
use crate::eventually;

type Body = BoxBody<Bytes, hyper::Error>;

/// Where a request is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The API server has not got it.
    Before,
    /// The API server has carried it out; its answer is kept back.
    After,
}

/// Which writes are stopped.
#[derive(Debug, Clone)]
pub struct Trap {
    /// Whose.
    pub from: IpAddr,
    /// What their path has in it: `/services/`.
    pub path: &'static str,
    /// Where.
    pub stage: Stage,
    /// How many go through first.
    pub spared: usize,
}

/// A running relay.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    api_server: SocketAddr,
    tls: Arc<ClientConfig>,
    state: Mutex<State>,
    gone_on: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    trap: Option<Trap>,
    /// How many requests are stopped, or were.
    stopped: usize,
    /// What the API server answered to those that went on.
    answers: Vec<u16>,
    /// What was to be written, by everybody.
    writes: Vec<Write>,
}

/// A request that changes something.
#[derive(Debug, Clone)]
pub struct Write {
    /// Whose.
    pub from: IpAddr,
    /// Its path.
    pub path: String,
    /// Its body, as far as that is JSON.
    pub body: Value,
}

impl Relay {
    /// Starts one in front of the lab's API server.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(lab: &Lab) -> Result<Self> {
        let (api_server, certificate) = lab.api_server()?;
        let listener = TcpListener::bind((HERE, 0)).await?;
        let address = listener.local_addr()?;
        let tls = Arc::new(tls(&certificate, false)?);
        let shared = Arc::new(Shared { api_server, tls, state: Mutex::default(), gone_on: watch::Sender::new(false) });
        let accepting = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, from)) = listener.accept().await {
                tokio::spawn(connection(accepting.clone(), stream, from.ip()));
            }
        });
        Ok(Self { address, shared, task })
    }

    /// Where it listens, for plain HTTP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on such requests are stopped.
    pub fn set(&self, trap: Trap) {
        self.shared.gone_on.send_replace(false);
        *self.shared.state() = State { trap: Some(trap), ..State::default() };
    }

    /// Waits until so many requests are stopped.
    ///
    /// # Errors
    /// When they do not come.
    pub async fn stopped(&self, count: usize) -> Result<()> {
        let look = async || Ok(self.shared.state().stopped);
        eventually(&format!("{count} requests are stopped"), look, |stopped| *stopped >= count).await.map(drop)
    }

    /// No more requests are stopped; those that are stay so.
    pub fn spare_all(&self) {
        self.shared.state().trap = None;
    }

    /// Lets those go on that are stopped; gives what the API server answered to each.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn let_go(&self) -> Result<Vec<u16>> {
        self.spare_all();
        self.shared.gone_on.send_replace(true);
        let look = async || {
            let state = self.shared.state();
            Ok((state.stopped, state.answers.clone()))
        };
        Ok(eventually("what was stopped is answered", look, |(stopped, answers)| *stopped == answers.len()).await?.1)
    }

    /// What anybody has asked to write since the last trap was set.
    pub fn writes(&self) -> Vec<Write> {
        self.shared.state().writes.clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a write, and where it is to be stopped.
    fn meet(&self, write: Write) -> Option<Stage> {
        let mut state = self.state();
        let trap = state.trap.as_mut().filter(|trap| trap.from == write.from && write.path.contains(trap.path));
        let stage = trap.and_then(|trap| {
            let is_spared = trap.spared > 0;
            trap.spared -= usize::from(is_spared);
            (!is_spared).then_some(trap.stage)
        });
        state.writes.push(write);
        stage
    }

    /// Stands still until all go on.
    async fn stand_still(&self) -> Result<()> {
        self.state().stopped += 1;
        self.gone_on.subscribe().wait_for(|gone_on| *gone_on).await?;
        Ok(())
    }
}

/// One connection of the program, and one to the API server for it.
async fn connection(shared: Arc<Shared>, stream: TcpStream, from: IpAddr) -> Result<()> {
    let upstream = Arc::new(tokio::sync::Mutex::new(connect(&shared).await?));
    let service = service_fn(|request: Request<Incoming>| {
        // In a task of its own: what is under way goes on when the connection ends.
        let carried = tokio::spawn(carry(shared.clone(), upstream.clone(), from, request));
        async move { carried.await? }
    });
    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await?;
    Ok(())
}

async fn connect(shared: &Shared) -> Result<SendRequest<Body>> {
    let stream = TcpStream::connect(shared.api_server).await?;
    let name = ServerName::from(shared.api_server.ip());
    let stream = TlsConnector::from(shared.tls.clone()).connect(name, stream).await.context("TLS with the API server")?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

type Upstream = Arc<tokio::sync::Mutex<SendRequest<Body>>>;

async fn carry(shared: Arc<Shared>, upstream: Upstream, from: IpAddr, request: Request<Incoming>) -> Result<Response<Body>> {
    let (head, body) = request.into_parts();
    if head.method == Method::GET {
        return Ok(upstream.lock().await.send_request(Request::from_parts(head, body.boxed())).await?.map(BodyExt::boxed));
    }
    // Whole, since its sender may be dead when it goes on.
    let body = body.collect().await?.to_bytes();
    let stage = shared.meet(Write { from, path: head.uri.path().to_owned(), body: serde_json::from_slice(&body).unwrap_or_default() });
    let request = Request::from_parts(head, whole(body));
    let answer = if stage == Some(Stage::Before) {
        shared.stand_still().await?;
        // The API server closes a connection on which nothing is asked for half a minute.
        connect(&shared).await?.send_request(request).await?
    } else {
        upstream.lock().await.send_request(request).await?
    };
    let (head, body) = answer.into_parts();
    let answer = Response::from_parts(head, whole(body.collect().await?.to_bytes()));
    if stage == Some(Stage::After) {
        shared.stand_still().await?;
    }
    if stage.is_some() {
        shared.state().answers.push(answer.status().as_u16());
    }
    Ok(answer)
}

fn whole(body: Bytes) -> Body {
    Full::new(body).map_err(|never| match never {}).boxed()
}
