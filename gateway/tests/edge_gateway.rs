//! The gateway as its owner uses it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use gateway::{BindError, Gateway, Options, Snapshot};
use prometheus::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(20);

fn options() -> Options {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    Options { http: vec![loopback], https: vec![loopback, loopback], ..Options::default() }
}

#[test]
fn it_binds_without_a_runtime_and_a_registry_serves_one_gateway() {
    let registry = Registry::new();
    let first = Gateway::bind(options(), Arc::default(), &registry).unwrap();
    assert_eq!((first.local_addresses().http.len(), first.local_addresses().https.len()), (1, 2));
    assert!(matches!(Gateway::bind(options(), Arc::default(), &registry), Err(BindError::Metrics(_))));
}

#[tokio::test]
async fn it_answers_404_where_nothing_is_routed_and_stops_when_it_is_told_to() {
    let snapshots = Arc::new(ArcSwap::from_pointee(Snapshot::default()));
    let gateway = Gateway::bind(options(), snapshots, &Registry::new()).unwrap();
    let address = gateway.local_addresses().http[0];
    let stop = CancellationToken::new();
    let running = tokio::spawn(gateway.run(stop.clone()));
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(DEADLINE, client.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    drop(client);
    stop.cancel();
    timeout(DEADLINE, running).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "{address}");
}
