//! The watching as a whole, against a scripted API server.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus::proto::MetricType;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::*;
use crate::config::{Config, Kubernetes, Source};
use crate::objects::ObjectKey;

mod once;
mod server;

use server::{Server, status};

const SPACES: &str = "/api/v1/namespaces";
const SECRETS: &str = "/api/v1/secrets";
const INGRESSES: &str = "/apis/networking.k8s.io/v1/ingresses";
const CERTIFICATES: &str = "/apis/cert-manager.io/v1/certificates";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// Everything is there long before.
const DEADLINE: Duration = Duration::from_secs(20);

/// A program that reads from the server.
struct Reader {
    watched: Watched,
    registry: Registry,
}

impl Reader {
    async fn start(server: &Server, directory: &Path) -> Self {
        let (client, kubernetes) = connected(server, directory).await;
        let config = Config { source: Source { manifests: vec![], kubernetes: Some(kubernetes) }, ..Config::default() };
        let settings = Settings::from_config(&config, &BTreeMap::new()).unwrap();
        let registry = Registry::new();
        let state = StateDir::open(&directory.join("state")).unwrap();
        let watched = timeout(DEADLINE, watch(client, settings, state, &registry)).await.unwrap().unwrap();
        Self { watched, registry }
    }

    fn read(&self) -> Arc<Read> {
        self.watched.reads.borrow().clone()
    }

    /// Waits until what was read is as it should be.
    async fn until(&mut self, what: &str, is: impl Fn(&Read) -> bool) {
        if timeout(DEADLINE, self.watched.reads.wait_for(|read| is(read))).await.is_err() {
            panic!("{what}: not in {:?}", self.read());
        }
    }

    async fn until_spaces(&mut self, what: &str, expected: &[&str]) {
        self.until(what, |read| spaces(read) == expected).await;
    }

    /// The sum of a metric over the series that have the label.
    fn metric(&self, name: &str, label: &str) -> f64 {
        let families = self.registry.gather();
        let series = families.iter().filter(|family| family.name() == name).flat_map(|family| family.get_metric().iter().map(move |m| (family, m)));
        let labelled = series.filter(|(_, metric)| label.is_empty() || metric.get_label().iter().any(|pair| pair.value() == label));
        let value = |family: &prometheus::proto::MetricFamily, metric: &prometheus::proto::Metric| match family.get_field_type() {
            MetricType::COUNTER => metric.get_counter().get_value(),
            _ => metric.get_gauge().get_value(),
        };
        labelled.map(|(family, metric)| value(family, metric)).sum()
    }
}

/// A client of the server.
async fn connected(server: &Server, directory: &Path) -> (Client, Kubernetes) {
    let kubeconfig = directory.join("kubeconfig");
    let cluster = json!({"server": format!("http://{}", server.address)});
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [{"name": "u", "user": {}}],
        "clusters": [{"name": "c", "cluster": cluster}], "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    });
    std::fs::write(&kubeconfig, text.to_string()).unwrap();
    let kubernetes = Kubernetes { kubeconfig: Some(kubeconfig), ..Kubernetes::default() };
    (connect(&kubernetes).await.unwrap(), kubernetes)
}

/// Waits for something that the server or a metric shows.
async fn eventually(what: &str, is: impl Fn() -> bool) {
    let waited = timeout(DEADLINE, async {
        while !is() {
            tokio::task::yield_now().await;
        }
    });
    assert!(waited.await.is_ok(), "{what}");
}

fn spaces(read: &Read) -> Vec<String> {
    read.objects
        .namespaces
        .values()
        .map(|space| format!("{}={}", space.reference.name, space.object.metadata.annotations.as_ref().unwrap()["v"]))
        .collect()
}

fn space(name: &str, value: &str) -> Value {
    json!({"metadata": {"name": name, "annotations": {"v": value}}})
}

fn secret(name: &str, value: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "ns"}, "stringData": {"v": value}})
}

fn ingress(name: &str, secret: Option<&str>) -> Value {
    let tls: Vec<_> = secret.iter().map(|secret| json!({"secretName": secret})).collect();
    json!({
        "metadata": {"name": name, "namespace": "ns", "annotations": {"kubernetes.io/ingress.class": "nginx"}},
        "spec": {"tls": tls, "defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}},
    })
}

fn secrets(read: &Read) -> Vec<(&str, &[u8])> {
    read.objects.secrets.values().map(|stored| (&*stored.reference.name, stored.object.data.as_ref().unwrap()["v"].0.as_slice())).collect()
}

#[tokio::test]
async fn objects_come_change_and_go() {
    let (server, directory) = (Server::start().await, tempfile::tempdir().unwrap());
    ["a", "b", "c", "d", "e"].iter().for_each(|name| server.put(SPACES, space(name, "1")));
    let mut reader = Reader::start(&server, directory.path()).await;
    assert_eq!(spaces(&reader.read()), ["a=1", "b=1", "c=1", "d=1", "e=1"]);
    ["b", "c", "d", "e"].iter().for_each(|name| server.delete(SPACES, name));
    server.put(SPACES, space("a", "2"));
    server.put(SPACES, space("f", "1"));
    reader.until_spaces("changes", &["a=2", "f=1"]).await;
    assert_eq!(reader.read().problems, []);
}

#[tokio::test]
async fn the_first_read_is_there_when_every_kind_has_listed() {
    let (server, directory) = (Server::start().await, tempfile::tempdir().unwrap());
    server.put(SPACES, space("a", "1"));
    server.put(INGRESSES, ingress("i", None));
    server.instead(INGRESSES, 3, 503, "starting");
    server.define(CERTIFICATES, false);
    let reader = Reader::start(&server, directory.path()).await;
    assert_eq!((spaces(&reader.read()), reader.read().objects.ingresses.len()), (vec!["a=1".to_owned()], 1));
    assert_eq!(reader.metric("vrata_source_errors_total", "server_error"), 3.0);
}

type Disturbance = (&'static str, fn(&Server));

/// An event that a watch ends with.
fn error(code: u16, reason: &str) -> String {
    json!({"type": "ERROR", "object": status(code, reason)}).to_string()
}

/// What servers and networks do to a watch.
fn disturbances() -> [Disturbance; 10] {
    [
        ("the connection breaks", |server| server.cut()),
        ("the past is gone, with a change in it", |server| {
            server.down(true);
            server.delete(SPACES, "x");
            server.put(SPACES, space("y", "0"));
            server.compact();
            server.down(false);
        }),
        ("410 as an answer", |server| {
            server.instead("/api/v1/namespaces?&watch", 1, 410, &status(410, "Expired").to_string());
            server.cut();
        }),
        ("too many requests", |server| {
            server.instead("/api/v1/namespaces", 3, 429, &status(429, "TooManyRequests").to_string());
            server.cut();
        }),
        ("errors as answers", |server| {
            server.instead("/api/v1/namespaces", 3, 500, "<html>a proxy</html>");
            server.cut();
        }),
        ("an error in the watch", |server| server.say(SPACES, &error(500, "InternalError"))),
        ("410 in the watch", |server| server.say(SPACES, &error(410, "Expired"))),
        ("no JSON in the watch", |server| server.say(SPACES, "<html>")),
        ("no JSON as a list", |server| {
            server.instead("/api/v1/namespaces?&limit", 2, 200, "{\"items\": [{]");
            server.say(SPACES, &error(410, "Expired"));
        }),
        ("a list without a version", |server| {
            server.instead("/api/v1/namespaces?&limit", 1, 200, "{\"metadata\": {}, \"items\": []}");
            server.say(SPACES, &error(410, "Expired"));
        }),
    ]
}

#[tokio::test]
async fn whatever_the_server_does_nothing_is_lost_and_reading_goes_on() {
    let (server, directory) = (Server::start().await, tempfile::tempdir().unwrap());
    server.put(SPACES, space("stays", "1"));
    server.put(SPACES, space("x", "0"));
    let mut reader = Reader::start(&server, directory.path()).await;
    let (lost, mut reads) = (Arc::new(AtomicBool::new(false)), reader.watched.reads.clone());
    let noted = lost.clone();
    tokio::spawn(async move {
        while reads.changed().await.is_ok() {
            noted.fetch_or(!spaces(&reads.borrow_and_update()).contains(&"stays=1".to_owned()), Ordering::SeqCst);
        }
    });
    for (round, (what, disturb)) in disturbances().into_iter().enumerate() {
        disturb(&server);
        server.put(SPACES, space("z", &round.to_string()));
        reader.until(what, |read| spaces(read).contains(&format!("z={round}"))).await;
        assert!(server.has_said_all(), "{what}");
        // Told by the watch that follows, which is a good one then.
        server.put(SPACES, space("w", &round.to_string()));
        reader.until(what, |read| spaces(read).contains(&format!("w={round}"))).await;
    }
    reader.until_spaces("all", &["stays=1", "w=9", "y=0", "z=9"]).await;
    assert!(!lost.load(Ordering::SeqCst));
    for class in ["cut", "gone", "busy", "server_error", "bad_data"] {
        assert!(reader.metric("vrata_source_errors_total", class) > 0.0, "{class}");
    }
}

#[tokio::test]
async fn one_object_that_cannot_be_read_keeps_no_other_away() {
    let (server, directory) = (Server::start().await, tempfile::tempdir().unwrap());
    server.put(SPACES, json!({"metadata": {"name": "bad", "labels": 5}}));
    server.put(SPACES, space("good", "1"));
    let mut reader = Reader::start(&server, directory.path()).await;
    assert_eq!((spaces(&reader.read()), reader.read().problems.len()), (vec!["good=1".to_owned()], 1));
    server.put(SPACES, space("bad", "1"));
    reader.until_spaces("mended", &["bad=1", "good=1"]).await;
    server.put(SPACES, json!({"metadata": {"name": "bad", "annotations": {"v": {}}}}));
    reader.until("a problem", |read| read.problems.len() == 1).await;
    assert_eq!(spaces(&reader.read()), ["bad=1", "good=1"]);
}

#[tokio::test]
async fn kinds_come_and_go_with_their_definitions() {
    let (server, directory) = (Server::start().await, tempfile::tempdir().unwrap());
    let certificate = json!({
        "metadata": {"name": "c", "namespace": "ns"}, "spec": {"secretName": "s", "issuerRef": {"name": "i"}, "dnsNames": ["a.example"]},
    });
    server.put(CERTIFICATES, certificate);
    server.define(CERTIFICATES, false);
    let mut reader = Reader::start(&server, directory.path()).await;
    assert_eq!(reader.read().objects.certificates.len(), 0);
    for _ in 0..2 {
        server.put(DEFINITIONS, json!({"metadata": {"name": "certificates.cert-manager.io"}}));
        server.define(CERTIFICATES, true);
        reader.until("the kind comes", |read| read.objects.certificates.len() == 1).await;
        server.define(CERTIFICATES, false);
        server.delete(DEFINITIONS, "certificates.cert-manager.io");
        server.cut();
        reader.until("the kind goes", |read| read.objects.certificates.is_empty()).await;
    }
}

#[tokio::test]
async fn only_secrets_that_are_named_are_asked_for() {
    let (server, directory) = (Server::start().await, tempfile::tempdir().unwrap());
    server.put(SECRETS, secret("named", "1"));
    server.put(SECRETS, secret("unnamed", "1"));
    server.put(INGRESSES, ingress("i", Some("named")));
    server.instead("/secrets/named", 2, 500, "no");
    let mut reader = Reader::start(&server, directory.path()).await;
    assert_eq!(secrets(&reader.read()), [("named", b"1".as_slice())], "the first read waits for what it names");
    server.put(SECRETS, secret("named", "2"));
    server.put(SECRETS, secret("unnamed", "2"));
    reader.until("a new content", |read| secrets(read) == [("named", b"2".as_slice())]).await;
    server.put(INGRESSES, ingress("j", Some("later")));
    reader.until("another name", |read| read.objects.ingresses.len() == 2).await;
    server.put(SECRETS, secret("later", "1"));
    reader.until("another Secret", |read| secrets(read).len() == 2).await;
    server.delete(INGRESSES, "ns/i");
    server.delete(SECRETS, "ns/later");
    reader.until("no Secret any more", |read| read.objects.ingresses.len() == 1 && secrets(read) == [("named", b"2".as_slice())]).await;
    assert_eq!((server.asked("/secrets/unnamed"), server.asked("/secrets/later")), (0, 1));
    assert_eq!(reader.metric("vrata_source_requests_total", "get"), 5.0);
}

#[tokio::test]
async fn a_change_does_not_wait_for_ever_for_a_secret_that_cannot_be_read() {
    let (server, directory) = (Server::start().await, tempfile::tempdir().unwrap());
    let mut reader = Reader::start(&server, directory.path()).await;
    server.put(SECRETS, secret("named", "1"));
    server.instead("/secrets/named", 1000, 500, "no");
    server.put(INGRESSES, ingress("i", Some("named")));
    reader.until("the Ingress", |read| read.objects.ingresses.len() == 1).await;
    assert_eq!(secrets(&reader.read()), []);
    server.put(SPACES, space("a", "1"));
    reader.until_spaces("something else", &["a=1"]).await;
}

#[tokio::test]
async fn what_was_read_last_serves_while_the_server_is_away() {
    let (server, directory) = (Server::start().await, tempfile::tempdir().unwrap());
    server.put(SPACES, space("a", "1"));
    server.put(SECRETS, secret("named", "1"));
    server.put(INGRESSES, ingress("i", Some("named")));
    let reader = Reader::start(&server, directory.path()).await;
    let file = directory.path().join("state/cluster/last.json");
    eventually("it is kept", || file.exists()).await;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    drop(reader);

    server.down(true);
    // The lock of the state directory goes with the last task of the first run.
    eventually("the first run ends", || StateDir::open(&directory.path().join("state")).is_ok()).await;
    let mut reader = Reader::start(&server, directory.path()).await;
    let read = reader.read();
    assert_eq!((read.stale, spaces(&read), secrets(&read)), (true, vec!["a=1".to_owned()], vec![("named", b"1".as_slice())]));
    assert_eq!(read.objects.ingresses[&ObjectKey::new("ns", "i")].meta.resource_version, "3");
    assert_eq!(reader.metric("vrata_source_stale", ""), 1.0);
    server.put(SPACES, space("a", "2"));
    server.down(false);
    reader.until("the server is back", |read| !read.stale && spaces(read) == ["a=2"]).await;
    assert_eq!(secrets(&reader.read()).len(), 1, "the first read of this run waits for Secrets too");
    assert_eq!(reader.metric("vrata_source_stale", ""), 0.0);
}

#[tokio::test]
async fn a_bookmark_is_a_sign_of_life() {
    let (server, directory) = (Server::start().await, tempfile::tempdir().unwrap());
    let reader = Reader::start(&server, directory.path()).await;
    let contact = || reader.metric("vrata_source_last_contact_timestamp_seconds", "Namespace");
    eventually("the watch begins", || server.asked("/api/v1/namespaces?&watch") == 1).await;
    let before = contact();
    assert!(before > 0.0);
    eventually("a bookmark", || {
        server.bookmark(SPACES);
        contact() > before
    })
    .await;
    server.compact();
    server.bookmark(SPACES);
    server.cut();
    eventually("the watch goes on", || server.asked("/api/v1/namespaces?&watch") >= 2).await;
}
