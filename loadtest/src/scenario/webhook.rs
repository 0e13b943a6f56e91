//! How long the ValidatingWebhook takes to judge an object with ten thousand Ingresses in the snapshot, at rest and while hosts change without a pause.

use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::{Value, json};

use super::issue::trusting;
use super::scale::{self, Backends, host};
use crate::client::{Client, tcp};
use crate::peers::vrata::Vrata;
use crate::setting::{Setting, ZONE};
use crate::table::{Table, quantile};

/// The name that an API server would call.
const NAME: &str = "vrata-admission.vrata-system.svc";

/// Changes of a host while reviews go on.
const CHANGES: u32 = 50;

type Connection = Client<StreamOwned<ClientConnection, TcpStream>>;

/// What is asked, and whether it is to be admitted.
struct Review {
    what: &'static str,
    body: String,
    admitted: bool,
}

/// Measures so many reviews of each sort.
pub(crate) fn run(setting: &Setting, size: u32, reviews: u32) -> Result<Vec<Table>> {
    let listen = ports::free();
    let vrata =
        scale::start(setting, "vrata-webhook", size, Backends::EachNamespace, &format!("admission: {{listen: \"{listen}\", names: [{NAME}]}}\n"))?;
    let stream = StreamOwned::new(ClientConnection::new(trust(&vrata)?, ServerName::try_from(NAME)?)?, tcp(listen)?);
    let mut client = Client::over(stream);
    let title = format!("The webhook, with {size} Ingresses");
    let note = format!(
        "From an AdmissionReview sent to its answer, one after the other over one TLS connection, as an API server keeps it. The last row is while one of {CHANGES} \
         hosts after the other is added, each as soon as the one before is served: the one core of the server compiles all the time."
    );
    let mut table = Table::new(&title, &note, &["object", "reviews", "p50", "p99"]);
    let sorts = sorts();
    for sort in &sorts {
        let quiet = (0..reviews).map(|_| ask(&mut client, sort)).collect::<Result<Vec<f64>>>()?;
        row(&mut table, sort.what, &quiet);
    }
    row(&mut table, "each of them in turn, during changes", &busy(&vrata, &mut client, &sorts)?);
    Ok(vec![table])
}

fn row(table: &mut Table, what: &str, values: &[f64]) {
    let milliseconds = |share| format!("{:.2} ms", quantile(values, share));
    table.row([what.to_owned(), values.len().to_string(), milliseconds(0.5), milliseconds(0.99)]);
}

/// Milliseconds of reviews for as long as hosts change.
fn busy(vrata: &Vrata, client: &mut Connection, sorts: &[Review]) -> Result<Vec<f64>> {
    thread::scope(|scope| {
        let changes = scope.spawn(|| scale::latencies(vrata, CHANGES));
        let mut values = Vec::new();
        while !changes.is_finished() {
            for sort in sorts {
                values.push(ask(client, sort)?);
            }
        }
        changes.join().map_err(|_| anyhow::anyhow!("the thread of changes panicked"))??;
        Ok(values)
    })
}

/// Milliseconds of one review, which is answered as it should be.
fn ask(client: &mut Connection, review: &Review) -> Result<f64> {
    let sent = Instant::now();
    let (status, body) = client.post(NAME, "/validate", &review.body)?;
    let took = sent.elapsed();
    ensure!(status == 200, "{}: {status}: {}", review.what, String::from_utf8_lossy(body));
    let answer: Value = serde_json::from_slice(body)?;
    ensure!(answer["response"]["allowed"] == review.admitted, "{}: {answer}", review.what);
    Ok(took.as_secs_f64() * 1e3)
}

/// Trusts whom the API server would be told to trust.
fn trust(vrata: &Vrata) -> Result<Arc<ClientConfig>> {
    let kept: Value = serde_json::from_slice(&std::fs::read(vrata.state.join("admission/certificates.json"))?)?;
    let authority = kept["authority"]["certificate"].as_str().context("no certificate of the CA")?;
    trusting([CertificateDer::from_pem_slice(authority.as_bytes())?])
}

fn sorts() -> Vec<Review> {
    let (own, new) = (ingress("ns-0", "app-1", &host(1), "/"), ingress("ns-0", "new", &format!("admitted.{ZONE}"), "/"));
    let moved = ingress("ns-0", "app-1", &host(1), "/moved");
    let taken = ingress("elsewhere", "squat", &host(1), "/");
    vec![
        Review { what: "a new host", body: review("CREATE", &new, &Value::Null), admitted: true },
        Review { what: "a host of another tenant, refused", body: review("CREATE", &taken, &Value::Null), admitted: false },
        Review { what: "an update of an Ingress", body: review("UPDATE", &moved, &own), admitted: true },
    ]
}

fn ingress(namespace: &str, name: &str, host: &str, path: &str) -> Value {
    let backend = json!({"service": {"name": "app", "port": {"number": 80}}});
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, "namespace": namespace, "annotations": {"kubernetes.io/ingress.class": "nginx"}},
        "spec": {"rules": [{"host": host, "http": {"paths": [{"path": path, "pathType": "Prefix", "backend": backend}]}}]},
    })
}

fn review(operation: &str, object: &Value, old: &Value) -> String {
    let request = json!({"uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "operation": operation, "object": object, "oldObject": old});
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).to_string()
}
