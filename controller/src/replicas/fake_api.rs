//! An API server in memory, for tests: it keeps objects by path with their versions, and can be told to do something before a request or to lose an answer.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// What happens to a write.
pub(crate) enum Fault {
    /// Something else comes first.
    After(Box<dyn FnOnce(&FakeApi) + Send>),
    /// It is done, and nobody is told.
    LosesAnswer,
    /// It is not done.
    Unavailable,
}

/// The server.
#[derive(Default)]
pub(crate) struct FakeApi {
    objects: Mutex<BTreeMap<String, Value>>,
    version: Mutex<u64>,
    /// For the writes to come.
    faults: Mutex<VecDeque<Fault>>,
}

impl FakeApi {
    pub(crate) fn client(self: &Arc<Self>) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        Client::new(service, "default")
    }

    pub(crate) fn fail_next(&self, fault: Fault) {
        self.faults.lock().unwrap().push_back(fault);
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.objects.lock().unwrap().get(path).cloned()
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.objects.lock().unwrap().keys().cloned().collect()
    }

    /// Stores an object as somebody else would.
    pub(crate) fn set(&self, path: &str, mut object: Value) -> Value {
        let mut version = self.version.lock().unwrap();
        *version += 1;
        object["metadata"]["resourceVersion"] = version.to_string().into();
        object["metadata"]["uid"] = path.into();
        self.objects.lock().unwrap().insert(path.to_owned(), object.clone());
        object
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let query = head.uri.query().unwrap_or_default().to_owned();
        let path = head.uri.path().to_owned();
        let fault = if head.method == Method::GET { None } else { self.faults.lock().unwrap().pop_front() };
        let loses = match fault {
            Some(Fault::Unavailable) => return status(503, "away"),
            Some(Fault::After(first)) => {
                first(self);
                false
            }
            Some(Fault::LosesAnswer) => true,
            None => false,
        };
        let answer = match head.method {
            Method::GET => self.read(&path, &query),
            Method::POST => self.create(&format!("{path}/{}", body["metadata"]["name"].as_str().unwrap()), body),
            Method::PUT => self.replace(&path, body),
            Method::PATCH => self.apply(&path, &query, body),
            _ => self.delete(&path, &body["preconditions"]["resourceVersion"]),
        };
        if loses { status(504, "the answer was lost") } else { answer }
    }

    fn read(&self, path: &str, query: &str) -> Response<Body> {
        let last = path.rsplit('/').next().unwrap();
        if let Some(found) = self.get(path) {
            return ok(&found);
        }
        if !last.ends_with('s') || path.rsplit('/').nth(1).is_some_and(|before| before.ends_with("maps") || before == "secrets") {
            return status(404, "not found");
        }
        let namespace = path.split("/namespaces/").nth(1).and_then(|rest| rest.split('/').next());
        let selector: String =
            form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "labelSelector").map(|(_, value)| value.into()).unwrap_or_default();
        let matches = |object: &Value| {
            let wanted = selector.split(',').filter_map(|term| term.split_once('='));
            wanted.into_iter().all(|(key, value)| object["metadata"]["labels"][key] == value)
                && namespace.is_none_or(|namespace| object["metadata"]["namespace"] == namespace)
        };
        let objects = self.objects.lock().unwrap();
        let items: Vec<&Value> =
            objects.iter().filter(|(path, object)| path.contains(&format!("/{last}/")) && matches(object)).map(|(_, object)| object).collect();
        ok(&json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}))
    }

    fn create(&self, path: &str, body: Value) -> Response<Body> {
        if self.get(path).is_some() { status(409, "exists") } else { ok(&self.stored(path, body)) }
    }

    fn replace(&self, path: &str, body: Value) -> Response<Body> {
        match self.get(path) {
            None => status(404, "not found"),
            Some(found) if found["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] => status(409, "changed"),
            Some(_) => ok(&self.stored(path, body)),
        }
    }

    /// Server-side apply where all fields belong to somebody else until they are forced.
    fn apply(&self, path: &str, query: &str, body: Value) -> Response<Body> {
        let found = self.get(path);
        let expected = &body["metadata"]["resourceVersion"];
        let changed = !expected.is_null() && found.as_ref().is_none_or(|found| found["metadata"]["resourceVersion"] != *expected);
        if changed || (found.is_some() && !query.contains("force=true")) {
            return status(409, "conflict");
        }
        ok(&self.stored(path, body))
    }

    fn delete(&self, path: &str, version: &Value) -> Response<Body> {
        match self.get(path) {
            None => status(404, "not found"),
            Some(found) if !version.is_null() && found["metadata"]["resourceVersion"] != *version => status(409, "changed"),
            Some(found) => {
                self.objects.lock().unwrap().remove(path);
                ok(&found)
            }
        }
    }

    fn stored(&self, path: &str, mut body: Value) -> Value {
        let namespace = path.split("/namespaces/").nth(1).and_then(|rest| rest.split('/').next()).unwrap();
        body["metadata"]["namespace"] = namespace.into();
        self.set(path, body)
    }
}

fn ok(value: &Value) -> Response<Body> {
    Response::new(Body::from(serde_json::to_vec(value).unwrap()))
}

fn status(code: u16, message: &str) -> Response<Body> {
    let reason = if code == 404 { "NotFound" } else { "Conflict" };
    let status =
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code});
    let mut response = ok(&status);
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
    response
}
