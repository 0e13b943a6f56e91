//! What happens to connections when the gateway stops.

use super::*;

#[tokio::test]
async fn streams_under_way_end_and_the_client_is_told_to_go_away() {
    let mut gateway = start(&options(), Snapshot::default());
    let (requests, connection) = http2(gateway.https()).await;
    let mut requests = within(requests.ready()).await.unwrap();
    let (response, _) = requests.send_request(request("/slow"), true).unwrap();
    gateway.wait_for_metric("vrata_gateway_connections", &["https"], 1.0).await;
    // The ping tells that the request before it has arrived.
    assert_eq!(body(within(requests.send_request(request("/"), true).unwrap().0).await.unwrap()).await, "hello");
    gateway.stop.cancel();
    let refused = async {
        while let Ok(ready) = requests.clone().ready().await {
            let mut ready = ready;
            if ready.send_request(request("/"), true).is_err() {
                break;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    within(refused).await;
    gateway.release.add_permits(1);
    assert_eq!(body(within(response).await.unwrap()).await, "released");
    drop(requests);
    assert!(within(connection).await.unwrap().is_ok());
    within(&mut gateway.task).await.unwrap();
}

#[tokio::test]
async fn a_request_under_way_ends_and_idle_connections_are_closed() {
    let mut gateway = start(&options(), Snapshot::default());
    let (mut idle, mut idle_tls) =
        (TcpStream::connect(gateway.http()).await.unwrap(), connect(gateway.https(), "a.test", &["http/1.1"]).await.unwrap());
    get(&mut idle, "/").await;
    get(&mut idle_tls, "/").await;
    let mut busy = TcpStream::connect(gateway.http()).await.unwrap();
    get(&mut busy, "/").await;
    gateway.release.add_permits(1);
    assert!(get(&mut busy, "/slow").await.ends_with("released"));
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    let mut witness = TcpStream::connect(gateway.http()).await.unwrap();
    get(&mut witness, "/").await;
    gateway.stop.cancel();
    for stream in [&mut idle, &mut witness] {
        assert_eq!(until_closed(stream).await, "");
    }
    let mut rest = Vec::new();
    assert_eq!(within(idle_tls.read_to_end(&mut rest)).await.unwrap(), 0, "closed with close_notify");
    assert!(TcpStream::connect(gateway.http()).await.is_err());
    gateway.release.add_permits(1);
    assert!(until_closed(&mut busy).await.ends_with("released"));
    within(&mut gateway.task).await.unwrap();
}

#[tokio::test]
async fn what_outlives_the_drain_timeout_is_cut() {
    let mut gateway = start(&Options { drain_timeout: SHORT, ..options() }, Snapshot::default());
    let mut stuck = TcpStream::connect(gateway.http()).await.unwrap();
    get(&mut stuck, "/").await;
    stuck.write_all(b"GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    gateway.stop.cancel();
    within(&mut gateway.task).await.unwrap();
    assert!(!until_closed(&mut stuck).await.contains("released"));
}
