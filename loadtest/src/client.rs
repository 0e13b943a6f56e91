//! A plain HTTP/1.1 client on one kept-alive connection, for measuring when something is served.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

/// One connection to a gateway.
#[derive(Debug)]
pub(crate) struct Client<S> {
    stream: S,
    buffer: Vec<u8>,
    /// Whether the server said that it closes the connection after its last answer.
    pub(crate) closing: bool,
}

impl Client<TcpStream> {
    /// Connects in the clear.
    pub(crate) fn connect(address: SocketAddr) -> Result<Self> {
        Ok(Self::over(tcp(address)?))
    }
}

/// A TCP connection with short timeouts.
pub(crate) fn tcp(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    Ok(stream)
}

impl<S: Read + Write> Client<S> {
    /// Uses a connection.
    pub(crate) const fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), closing: false }
    }

    /// Asks for `/` of a host and reads the whole answer; returns its status.
    pub(crate) fn get(&mut self, host: &str) -> Result<u16> {
        Ok(self.exchange(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())?.0)
    }

    /// Posts JSON and reads the whole answer; returns its status and its body.
    pub(crate) fn post(&mut self, host: &str, path: &str, json: &str) -> Result<(u16, &[u8])> {
        let length = json.len();
        let request = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{json}");
        self.exchange(request.as_bytes())
    }

    fn exchange(&mut self, request: &[u8]) -> Result<(u16, &[u8])> {
        self.stream.write_all(request)?;
        self.stream.flush()?;
        self.buffer.clear();
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            self.read()?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no status line")?;
        self.closing = head.lines().any(|line| line.trim_end() == "connection: close");
        let length: usize = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .and_then(|value| value.trim().parse().ok())
            .context("an answer without Content-Length")?;
        while self.buffer.len() < end + length {
            self.read()?;
        }
        Ok((status, &self.buffer[end..end + length]))
    }

    fn read(&mut self) -> Result<()> {
        let mut chunk = [0; 16 * 1024];
        let read = self.stream.read(&mut chunk)?;
        anyhow::ensure!(read > 0, "the connection was closed");
        self.buffer.extend_from_slice(&chunk[..read]);
        Ok(())
    }
}
