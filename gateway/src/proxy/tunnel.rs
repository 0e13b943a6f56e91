//! Connections for requests that ask for an upgrade.
//!
//! Pingora takes up the answer and the end of the request's (empty) body in random order. Where it sees a 101 first, it takes that end for the end of the
//! tunnel and resets it (pingora#946). A connection of this kind lets no answer be seen in the moment after something was sent, so that the end of the
//! request always comes first. Such connections are never pooled.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::connectors::l4::Connect;
use pingora_core::protocols::l4::socket::SocketAddr as PeerAddress;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora_core::{Error, ErrorType, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Turns of the scheduler that an answer waits after something was sent: one lets Pingora's other half run, the rest are to spare.
const TURNS: u8 = 3;

/// Connects for a tunnel.
#[derive(Debug)]
pub(super) struct TunnelConnector {
    /// Longest wait for the connection.
    pub(super) timeout: Duration,
}

#[async_trait]
impl Connect for TunnelConnector {
    async fn connect(&self, address: &PeerAddress) -> Result<Stream> {
        let Some(address) = address.as_inet() else {
            return Err(Error::explain(ErrorType::InternalError, "a tunnel to something else than an IP address"));
        };
        let stream = match tokio::time::timeout(self.timeout, connect(*address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(Error::because(kind(&error), "tunnel", error)),
            Err(_) => return Err(Error::explain(ErrorType::ConnectTimedout, "tunnel")),
        };
        Ok(Stream::from(VirtualSocketStream::new(Box::new(Held { stream, turns: 0 }))))
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn kind(error: &io::Error) -> ErrorType {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => ErrorType::ConnectNoRoute,
        io::ErrorKind::TimedOut => ErrorType::ConnectTimedout,
        _ => ErrorType::ConnectError,
    }
}

/// A stream whose reads wait some turns after each write.
#[derive(Debug)]
struct Held<S> {
    stream: S,
    turns: u8,
}

impl<S: AsyncRead + Unpin> AsyncRead for Held<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(left) = self.turns.checked_sub(1) {
            self.turns = left;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Held<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.turns = TURNS;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync + std::fmt::Debug> VirtualSocket for Held<S> {
    /// What a tunnel needs is set when it is made.
    fn set_socket_option(&self, _option: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::task::Waker;

    use super::*;

    #[test]
    fn an_answer_that_is_there_already_waits_its_turns_after_a_write() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut held = Held { stream: near, turns: 0 };
        let mut cx = Context::from_waker(Waker::noop());
        let read = |held: &mut Held<_>| {
            let mut bytes = [0; 8];
            let mut buffer = ReadBuf::new(&mut bytes);
            Pin::new(held).poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer).map(|read| read.map(|()| buffer.filled().len()).unwrap())
        };
        assert!(Pin::new(&mut far).poll_write(&mut cx, b"101").is_ready());
        assert!(Pin::new(&mut held).poll_write(&mut cx, b"GET").is_ready());
        for _ in 0..TURNS {
            assert_eq!(read(&mut held), Poll::Pending);
        }
        assert_eq!(read(&mut held), Poll::Ready(3));
        assert!(Pin::new(&mut far).poll_write(&mut cx, b"more").is_ready());
        assert_eq!(read(&mut held), Poll::Ready(4));
    }
}
