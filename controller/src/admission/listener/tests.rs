//! The webhook's listener over real connections.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio_rustls::TlsConnector;

use super::super::Certificates;
use super::*;
use crate::state::StateDir;

/// Posts a body as an API server would that trusts the bundle.
async fn post(address: SocketAddr, bundle: &str, path: &str, body: &Value) -> (StatusCode, Value) {
    let mut roots = RootCertStore::empty();
    CertificateDer::pem_slice_iter(bundle.as_bytes()).for_each(|root| roots.add(root.unwrap()).unwrap());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let connector = TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
    let stream = TcpStream::connect(address).await.unwrap();
    let stream = connector.connect(ServerName::try_from("vrata.test.svc").unwrap(), stream).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post(path).header(header::HOST, "vrata.test.svc").body(Full::new(Bytes::from(body.to_string()))).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn reviews_are_answered_over_https_that_the_bundle_vouches_for() {
    let directory = tempfile::tempdir().unwrap();
    let published = watch::Sender::new(Arc::<Published>::default());
    let state = Arc::new(StateDir::open(directory.path()).unwrap());
    let certificates = Certificates::open(state, vec!["vrata.test.svc".into()], SystemTime::now()).unwrap();
    let bundle = certificates.kept().bundle();
    let kept = watch::Sender::new(Some(Arc::new(certificates.kept().clone())));
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), kept.subscribe(), published.subscribe()).await.unwrap();
    let address = listener.local_address().unwrap();
    let stop = CancellationToken::new();
    let task = tokio::spawn(listener.run(stop.clone()));

    let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "b"}, "spec": {"ports": [{"port": 80}]}});
    let body =
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "7", "operation": "CREATE", "object": object}});
    assert_eq!(post(address, &bundle, PATH, &body).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(post(address, &bundle, "/", &body).await.0, StatusCode::NOT_FOUND);
    assert_eq!(post(address, &bundle, PATH, &json!({})).await.0, StatusCode::BAD_REQUEST);

    let basis = crate::status::Basis { settings: Arc::default(), read: Arc::default(), rules: Arc::default(), standing: Arc::default() };
    let view = crate::status::View { basis: Some(basis), ..Default::default() };
    published.send_replace(Arc::new(Published { generation: 1, view: Arc::new(view), ..Published::default() }));
    let expected = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {"uid": "7", "allowed": true}});
    assert_eq!(post(address, &bundle, PATH, &body).await, (StatusCode::OK, expected));

    stop.cancel();
    task.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "nothing listens after the stop");
}
