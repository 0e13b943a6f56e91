//! HTTP/2 on either side, and gRPC.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, StatusCode};
use tokio::net::TcpStream;

use super::client::DEADLINE;
use super::front::{Front, Port, of, snapshot};
use super::upstream::{Upstream, plain, refused, route};
use crate::table::{Policy, Protocol};

async fn connect(front: &Front) -> SendRequest<Bytes> {
    let (client, connection) = h2::client::handshake(TcpStream::connect(front.address).await.unwrap()).await.unwrap();
    tokio::spawn(connection);
    client
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

async fn call(client: &SendRequest<Bytes>, request: Request<()>, body: &'static [u8]) -> Answer {
    let exchange = async {
        let (response, mut stream) = client.clone().ready().await.unwrap().send_request(request, body.is_empty()).unwrap();
        if !body.is_empty() {
            // The gateway may refuse the rest.
            let _ = stream.send_data(Bytes::from_static(body), true);
        }
        let (head, mut content) = response.await.unwrap().into_parts();
        let mut body = Vec::new();
        while let Some(data) = content.data().await {
            let data = data.unwrap();
            content.flow_control().release_capacity(data.len()).unwrap();
            body.extend_from_slice(&data);
        }
        Answer { status: head.status, headers: head.headers, body, trailers: content.trailers().await.unwrap() }
    };
    tokio::time::timeout(DEADLINE, exchange).await.expect("an answer in time")
}

fn post(uri: &str, content_type: &str) -> Request<()> {
    Request::post(uri).header("te", "trailers").header("content-type", content_type).body(()).unwrap()
}

/// Answers calls with what it saw of `te` and the authority, and a status in the trailers.
async fn grpc() -> Upstream {
    Upstream::raw(|tcp| async move {
        let mut connection = h2::server::handshake(tcp).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            tokio::spawn(async move {
                let seen = format!("{} te={:?}", request.uri(), request.headers().get("te"));
                let mut body = request.into_body();
                let mut length = 0;
                while let Some(Ok(data)) = body.data().await {
                    length += data.len();
                    let _ = body.flow_control().release_capacity(data.len());
                }
                let response = http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
                let mut stream = respond.send_response(response, false).unwrap();
                stream.send_data(Bytes::from(format!("{seen} {length}")), false).unwrap();
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", "0".parse().unwrap());
                trailers.insert("x-more", "kept".parse().unwrap());
                stream.send_trailers(trailers).unwrap();
            });
        }
    })
    .await
}

#[tokio::test]
async fn http2_client_reaches_an_http1_upstream() {
    let upstream = Upstream::echo().await;
    let front = Front::start(Port::Https2, snapshot(plain(&upstream))).await;
    let request = Request::post("https://a.test/x?y=1").header("x-request-id", "abc").header("x-forwarded-for", "10.0.0.1").body(()).unwrap();
    let answer = call(&connect(&front).await, request, b"hello").await;
    assert_eq!(answer.status, 200);
    let body = String::from_utf8(answer.body).unwrap();
    for line in
        ["POST /x?y=1", "host: a.test", "x-forwarded-for: 192.0.2.7", "x-forwarded-host: a.test", "x-forwarded-proto: https", "x-request-id: abc"]
    {
        assert!(body.lines().any(|found| found == line), "{line} in {body}");
    }
    assert!(
        body.ends_with("\n\nhello") && !answer.headers.contains_key("server") && answer.headers.contains_key("strict-transport-security"),
        "{body}"
    );
}

#[tokio::test]
async fn grpc_passes_with_its_trailers() {
    let upstream = grpc().await;
    let front = Front::start(Port::Https2, snapshot(route("ns", Protocol::Grpc, Policy::default(), &[upstream.address]))).await;
    let answer = call(&connect(&front).await, post("https://a.test/pkg.Service/Method", "application/grpc"), b"\0\0\0\0\x05hello").await;
    assert_eq!((answer.status.as_u16(), &answer.headers["content-type"]), (200, &http::HeaderValue::from_static("application/grpc")));
    assert_eq!(String::from_utf8(answer.body).unwrap(), "https://a.test/pkg.Service/Method te=Some(\"trailers\") 10");
    let trailers = answer.trailers.unwrap();
    assert_eq!((&trailers["grpc-status"], &trailers["x-more"]), (&"0".parse().unwrap(), &"kept".parse().unwrap()));
}

#[tokio::test]
async fn many_calls_share_one_upstream_connection() {
    let upstream = grpc().await;
    let front = Front::start(Port::Https2, snapshot(route("ns", Protocol::Grpc, Policy::default(), &[upstream.address]))).await;
    let client = connect(&front).await;
    call(&client, post("https://a.test/first", "application/grpc"), b"").await;
    let calls = (0..50).map(|_| call(&client, post("https://a.test/more", "application/grpc"), b"12345"));
    assert!(futures::future::join_all(calls).await.iter().all(|answer| answer.status == 200 && answer.trailers.is_some()));
    assert_eq!(upstream.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn grpc_clients_are_refused_in_their_protocol() {
    let up = grpc().await;
    let limited = Policy { body_limit: Some(3), ..Policy::default() };
    let closed = Policy { allowed_sources: Some(vec![]), ..Policy::default() };
    for (snapshot, code) in [
        (snapshot(route("ns", Protocol::Grpc, Policy::default(), &[refused().await])), "14"),
        (snapshot(route("ns", Protocol::Grpc, Policy::default(), &[])), "14"),
        (snapshot(route("ns", Protocol::Grpc, closed, &[up.address])), "7"),
        (snapshot(route("ns", Protocol::Grpc, limited, &[up.address])), "8"),
        (of(vec![]), "12"),
    ] {
        let front = Front::start(Port::Https2, snapshot).await;
        let answer = call(&connect(&front).await, post("https://a.test/pkg.Service/Method", "application/grpc+proto"), b"12345").await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
        assert_eq!(answer.trailers.unwrap()["grpc-status"], code);
    }
}

#[tokio::test]
async fn refused_stream_leaves_the_connection_to_the_others() {
    let upstream = Upstream::echo().await;
    let policy = Policy { body_limit: Some(3), ..Policy::default() };
    let front = Front::start(Port::Https2, snapshot(route("ns", Protocol::Http, policy, &[upstream.address]))).await;
    let client = connect(&front).await;
    for (body, status) in [(&b"12345"[..], 413), (b"123", 200), (b"1234", 413), (b"12", 200)] {
        assert_eq!(call(&client, post("https://a.test/", "text/plain"), body).await.status.as_u16(), status);
    }
}
