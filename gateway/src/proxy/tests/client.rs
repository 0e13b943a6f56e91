//! HTTP/1.1 as bytes, so that tests see what is on the wire.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// No test waits longer for anything.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Response {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).filter_map(|line| line.split_once(": ")).find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection.
pub(super) struct Client {
    pub(super) tcp: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        Self { tcp: TcpStream::connect(address).await.unwrap(), buffer: Vec::new() }
    }

    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.tcp.write_all(bytes.as_ref()).await.unwrap();
    }

    /// More bytes; false at the end.
    async fn fill(&mut self) -> bool {
        let mut chunk = [0; 16 << 10];
        let read = tokio::time::timeout(DEADLINE, self.tcp.read(&mut chunk)).await.expect("an answer in time").unwrap_or_default();
        self.buffer.extend_from_slice(&chunk[..read]);
        read > 0
    }

    pub(super) async fn head(&mut self) -> (u16, String) {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = String::from_utf8(self.buffer.drain(..end + 4).collect()).unwrap();
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                return (status, head.trim_end().to_owned());
            }
            assert!(self.fill().await, "connection ended within a header: {:?}", String::from_utf8_lossy(&self.buffer));
        }
    }

    pub(super) async fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length {
            assert!(self.fill().await, "connection ended within a body: {:?}", String::from_utf8_lossy(&self.buffer));
        }
        self.buffer.drain(..length).collect()
    }

    /// All that comes until the connection ends.
    pub(super) async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.buffer)
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|w| w == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return String::from_utf8(line).unwrap().trim_end().to_owned();
            }
            assert!(self.fill().await, "connection ended within a line");
        }
    }

    pub(super) async fn response(&mut self, is_head: bool) -> Response {
        let (status, head) = self.head().await;
        let mut response = Response { status, head, body: Vec::new() };
        response.body = match (response.header("content-length"), response.header("transfer-encoding")) {
            _ if is_head || status == 204 || status == 304 => Vec::new(),
            (Some(length), _) => self.exactly(length.parse().unwrap()).await,
            (None, Some("chunked")) => self.chunked().await,
            _ => self.rest().await,
        };
        response
    }

    async fn chunked(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let length = usize::from_str_radix(&self.line().await, 16).unwrap();
            body.extend(self.exactly(length).await);
            assert_eq!(self.line().await, "");
            if length == 0 {
                return body;
            }
        }
    }

    pub(super) async fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && !self.fill().await
    }
}

/// One request on a connection of its own. `head` is the request line and header without the last empty line.
pub(super) async fn fetch(address: SocketAddr, head: &str) -> Response {
    fetch_with(address, head, b"").await
}

/// The same, with a body whose length the header does not name yet.
pub(super) async fn fetch_with(address: SocketAddr, head: &str, body: &[u8]) -> Response {
    let mut client = Client::connect(address).await;
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    client.send(format!("{}\r\n{length}\r\n", head.trim_end().replace('\n', "\r\n"))).await;
    client.send(body).await;
    client.response(head.starts_with("HEAD ")).await
}

/// Polls until the condition holds.
pub(super) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let polled = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, polled).await.is_ok(), "in time: {what}");
}
