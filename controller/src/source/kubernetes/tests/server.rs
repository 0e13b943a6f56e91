//! A scripted API server: lists and watches in JSON over loopback HTTP, with the failures that real ones have.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// The server; it ends with the test's runtime.
#[derive(Clone)]
pub(super) struct Server {
    shared: Arc<Shared>,
    pub(super) address: SocketAddr,
}

struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    version: u64,
    /// By collection (`/api/v1/services`), then `namespace/name`.
    objects: BTreeMap<String, BTreeMap<String, Value>>,
    /// Lines of watches.
    lines: Vec<Line>,
    /// Older versions are gone.
    oldest: u64,
    /// Collections that are not served.
    undefined: BTreeSet<String>,
    /// Answers that come instead, once each, by a part of the path and query.
    instead: Vec<(String, u16, String)>,
    down: bool,
    /// Streams that began before break off.
    cuts: u64,
    asked: Vec<String>,
}

struct Line {
    collection: String,
    version: u64,
    text: String,
    /// Whether it is no event that a later watch is told again.
    once: bool,
}

impl Server {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { state: Mutex::default(), changed: watch::Sender::new(0) });
        let server = Self { shared, address };
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if serving.lock().down {
                    continue;
                }
                let server = serving.clone();
                let service = service_fn(move |request| {
                    let answer = server.answer(&request);
                    async { Ok::<_, Infallible>(answer) }
                });
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        server
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.shared.changed.send_modify(|n| *n += 1);
        result
    }

    /// Creates or changes an object.
    pub(super) fn put(&self, collection: &str, mut object: Value) {
        self.change(|state| {
            state.version += 1;
            object["metadata"]["resourceVersion"] = state.version.to_string().into();
            let known = state.objects.entry(collection.into()).or_default().insert(name(&object), object.clone());
            let text = json!({"type": if known.is_some() { "MODIFIED" } else { "ADDED" }, "object": object}).to_string();
            state.lines.push(Line { collection: collection.into(), version: state.version, text, once: false });
        });
    }

    /// Deletes an object.
    pub(super) fn delete(&self, collection: &str, key: &str) {
        self.change(|state| {
            state.version += 1;
            let mut object = state.objects.get_mut(collection).unwrap().remove(key).unwrap();
            object["metadata"]["resourceVersion"] = state.version.to_string().into();
            let text = json!({"type": "DELETED", "object": object}).to_string();
            state.lines.push(Line { collection: collection.into(), version: state.version, text, once: false });
        });
    }

    /// Sends a line to whoever watches the collection.
    pub(super) fn say(&self, collection: &str, line: &str) {
        self.change(|state| {
            state.version += 1;
            state.lines.push(Line { collection: collection.into(), version: state.version, text: line.into(), once: true });
        });
    }

    /// A bookmark for whoever watches the collection.
    pub(super) fn bookmark(&self, collection: &str) {
        let version = self.lock().version + 1;
        self.say(collection, &json!({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version.to_string()}}}).to_string());
    }

    /// Breaks off every answer that is under way.
    pub(super) fn cut(&self) {
        self.change(|state| state.cuts += 1);
    }

    /// Forgets the past: watches from there are answered with 410.
    pub(super) fn compact(&self) {
        self.change(|state| state.oldest = state.version + 1);
    }

    /// Takes no connection, or does so again.
    pub(super) fn down(&self, down: bool) {
        self.change(|state| (state.down, state.cuts) = (down, state.cuts + 1));
    }

    /// The next requests whose path and query contain this are answered so.
    pub(super) fn instead(&self, part: &str, times: usize, status: u16, body: &str) {
        self.change(|state| (0..times).for_each(|_| state.instead.push((part.into(), status, body.into()))));
    }

    /// Whether the next answers that were scripted have all been given.
    pub(super) fn has_said_all(&self) -> bool {
        self.lock().instead.is_empty()
    }

    /// The collection is not served, or is.
    pub(super) fn define(&self, collection: &str, defined: bool) {
        self.change(|state| if defined { state.undefined.remove(collection) } else { state.undefined.insert(collection.into()) });
    }

    /// How often something was asked for whose path and query contain this.
    pub(super) fn asked(&self, part: &str) -> usize {
        self.lock().asked.iter().filter(|asked| asked.contains(part)).count()
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        let asked = request.uri().path_and_query().unwrap().as_str().to_owned();
        let (collection, key) = split(request.uri().path());
        let query: BTreeMap<_, _> = form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()).into_owned().collect();
        let partial = request.headers().get(http::header::ACCEPT).is_some_and(|accept| accept.to_str().unwrap().contains("PartialObjectMetadata"));
        let mut state = self.lock();
        state.asked.push(asked.clone());
        if let Some(at) = state.instead.iter().position(|(part, ..)| asked.contains(part)) {
            let (_, status, body) = state.instead.remove(at);
            return whole(status, body);
        }
        if state.undefined.contains(&collection) {
            return whole(404, "404 page not found".into());
        }
        if let Some(key) = key {
            return match state.objects.get(&collection).and_then(|objects| objects.get(&key)) {
                Some(object) => whole(200, object.to_string()),
                None => whole(404, status(404, "NotFound").to_string()),
            };
        }
        if !query.contains_key("watch") {
            let items: Vec<_> = state.objects.get(&collection).into_iter().flat_map(BTreeMap::values).map(|object| shape(object, partial)).collect();
            return page(&query, &items, state.version);
        }
        let from: u64 = query["resourceVersion"].parse().unwrap();
        if from + 1 < state.oldest {
            return whole(200, json!({"type": "ERROR", "object": status(410, "Expired")}).to_string() + "\n");
        }
        let stream = Stream { server: self.clone(), collection, from, begun: state.version, cuts: state.cuts, partial };
        Response::new(StreamBody::new(stream.frames()).boxed_unsync())
    }
}

/// A watch.
struct Stream {
    server: Server,
    collection: String,
    from: u64,
    begun: u64,
    cuts: u64,
    partial: bool,
}

impl Stream {
    fn frames(self) -> impl futures::Stream<Item = io::Result<Frame<Bytes>>> + Send {
        let changes = self.server.shared.changed.subscribe();
        futures::stream::unfold((self, changes), |(mut stream, mut changes)| async {
            loop {
                changes.borrow_and_update();
                match stream.next() {
                    Some(frame) => return Some((frame, (stream, changes))),
                    None => changes.changed().await.ok()?,
                }
            }
        })
    }

    fn next(&mut self) -> Option<io::Result<Frame<Bytes>>> {
        let state = self.server.lock();
        if state.cuts != self.cuts {
            return Some(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let is_news = |line: &&Line| line.version > if line.once { self.begun.max(self.from) } else { self.from };
        let line = state.lines.iter().find(|line| line.collection == self.collection && is_news(line))?;
        self.from = line.version;
        let text = match serde_json::from_str::<Value>(&line.text) {
            Ok(mut event) if self.partial && event["type"] != "BOOKMARK" => {
                event["object"] = shape(&event["object"], true);
                event.to_string()
            }
            _ => line.text.clone(),
        };
        Some(Ok(Frame::data(Bytes::from(text + "\n"))))
    }
}

fn name(object: &Value) -> String {
    let meta = &object["metadata"];
    meta["namespace"].as_str().map_or_else(String::new, |namespace| format!("{namespace}/")) + meta["name"].as_str().unwrap_or_default()
}

fn shape(object: &Value, partial: bool) -> Value {
    if partial { json!({"metadata": object["metadata"]}) } else { object.clone() }
}

/// Pages of two, so that lists have several.
fn page(query: &BTreeMap<String, String>, items: &[Value], version: u64) -> Response<Body> {
    let from: usize = query.get("continue").map_or(0, |token| token.parse().unwrap());
    let (rest, left) = (&items[from.min(items.len())..], items.len().saturating_sub(from + 2));
    let token = if left > 0 { (from + 2).to_string() } else { String::new() };
    let meta = json!({"resourceVersion": version.to_string(), "continue": token});
    whole(200, json!({"kind": "List", "metadata": meta, "items": rest[..rest.len().min(2)]}).to_string())
}

/// `/api/v1/namespaces/ns/secrets/name` is `ns/name` of `/api/v1/secrets`.
fn split(path: &str) -> (String, Option<String>) {
    match path.split_once("/namespaces/") {
        None => (path.to_owned(), None),
        Some((group, rest)) => {
            let parts: Vec<_> = rest.split('/').collect();
            (format!("{group}/{}", parts[1]), parts.get(2).map(|name| format!("{}/{name}", parts[0])))
        }
    }
}

pub(super) fn status(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason, "reason": reason, "code": code})
}

fn whole(code: u16, body: String) -> Response<Body> {
    let body = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync();
    Response::builder().status(code).header("content-type", "application/json").body(body).unwrap()
}
