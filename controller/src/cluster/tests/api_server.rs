//! An API server on loopback that notes what it is asked and answers what a test says.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// A request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    /// Method and path.
    pub(super) what: String,
    pub(super) query: String,
    pub(super) content_type: String,
    pub(super) body: Value,
}

type Answer = Box<dyn Fn(&Asked) -> (u16, Value) + Send>;

pub(super) struct ApiServer {
    asked: watch::Sender<Vec<Asked>>,
    answer: Mutex<Answer>,
    /// Requests are answered only as there are permits.
    pub(super) permits: Semaphore,
    /// Requests that wait for an answer, and the most of them at a time.
    waiting: Mutex<(usize, usize)>,
}

impl ApiServer {
    pub(super) async fn start() -> (Arc<Self>, Client) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let server = Arc::new(Self {
            asked: watch::Sender::default(),
            answer: Mutex::new(Box::new(usual)),
            permits: Semaphore::new(Semaphore::MAX_PERMITS),
            waiting: Mutex::default(),
        });
        tokio::spawn(server.clone().serve(listener));
        let mut config = Config::new(uri);
        config.default_retry = false;
        (server, Client::try_from(config).unwrap())
    }

    async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let server = self.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| async { Ok::<_, std::convert::Infallible>(server.respond(request).await) });
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    }

    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let asked = Asked {
            what: format!("{} {}", parts.method, parts.uri.path()),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            content_type: parts.headers.get("content-type").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default(),
            body: serde_json::from_slice(&body).unwrap_or_default(),
        };
        let (code, answer) = (self.answer.lock().unwrap())(&asked);
        self.asked.send_modify(|all| all.push(asked));
        {
            let mut waiting = self.waiting.lock().unwrap();
            *waiting = (waiting.0 + 1, waiting.1.max(waiting.0 + 1));
        }
        self.permits.acquire().await.unwrap().forget();
        self.waiting.lock().unwrap().0 -= 1;
        Response::builder().status(code).header("content-type", "application/json").body(Full::from(answer.to_string())).unwrap()
    }

    /// From now on.
    pub(super) fn answers(&self, answer: impl Fn(&Asked) -> (u16, Value) + Send + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }

    /// What was asked so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.borrow().clone()
    }

    /// What was asked once this is so.
    pub(super) async fn once(&self, condition: impl FnMut(&Vec<Asked>) -> bool) -> Vec<Asked> {
        let mut asked = self.asked.subscribe();
        let enough = asked.wait_for(condition);
        tokio::time::timeout(std::time::Duration::from_secs(10), enough).await.expect("within ten seconds").unwrap().clone()
    }

    pub(super) fn most_at_once(&self) -> usize {
        self.waiting.lock().unwrap().1
    }
}

/// No Service is there, and everything can be written.
pub(super) fn usual(asked: &Asked) -> (u16, Value) {
    match asked.what.as_str() {
        "GET /api/v1/services" => (200, json!({"apiVersion": "v1", "kind": "ServiceList", "metadata": {}, "items": []})),
        _ => (200, asked.body.clone()),
    }
}

/// A failure.
pub(super) fn failure(code: u16, reason: &str, causes: &Value) -> (u16, Value) {
    let body = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason,
        "details": {"causes": causes}});
    (code, body)
}
