//! Copies bytes between two TCP connections, each direction on its own, until both have ended, one breaks, or nothing moves for too long.

use std::future::{Future, poll_fn};
use std::io;
use std::net::Shutdown;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use prometheus::IntCounter;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::scratch;

/// Reads of one direction before other connections get their turn: 1 MiB.
const ROUNDS: usize = 16;

/// How a relay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Both sides closed and everything was delivered.
    Finished,
    /// Nothing moved for the idle timeout.
    Idle,
    /// A side was reset.
    Broken,
}

/// Copies until the end. `received` counts bytes from `downstream`, `sent` bytes to it.
pub(super) async fn relay(downstream: &TcpStream, upstream: &TcpStream, idle: Duration, received: &IntCounter, sent: &IntCounter) -> End {
    let mut directions = [Direction::new(downstream, upstream, received), Direction::new(upstream, downstream, sent)];
    let mut last_move = Instant::now();
    let mut timer = pin!(sleep_until(last_move + idle));
    poll_fn(|cx| {
        let mut moved = false;
        let mut finished = true;
        for direction in &mut directions {
            match direction.poll(cx, &mut moved) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(End::Broken),
                Poll::Pending => finished = false,
            }
        }
        if finished {
            return Poll::Ready(End::Finished);
        }
        if moved {
            last_move = Instant::now();
        }
        poll_idle(timer.as_mut(), last_move + idle, cx)
    })
    .await
}

/// The timer is moved when it fires and not with each byte.
fn poll_idle(mut timer: Pin<&mut Sleep>, deadline: Instant, cx: &mut Context<'_>) -> Poll<End> {
    loop {
        ready!(timer.as_mut().poll(cx));
        if Instant::now() >= deadline {
            return Poll::Ready(End::Idle);
        }
        timer.as_mut().reset(deadline);
    }
}

/// One way of a relay.
struct Direction<'a> {
    from: &'a TcpStream,
    to: &'a TcpStream,
    bytes: &'a IntCounter,
    /// What `to` has not taken yet: at most [`scratch::SIZE`] bytes, and no memory while it keeps up.
    pending: Vec<u8>,
    written: usize,
    state: State,
}

enum State {
    Open,
    /// `from` has closed; what is pending is still to be delivered.
    Closing,
    /// `to` was told.
    Closed,
}

impl<'a> Direction<'a> {
    const fn new(from: &'a TcpStream, to: &'a TcpStream, bytes: &'a IntCounter) -> Self {
        Self { from, to, bytes, pending: Vec::new(), written: 0, state: State::Open }
    }

    /// Ready once the end of `from` was passed on to `to`.
    fn poll(&mut self, cx: &mut Context<'_>, moved: &mut bool) -> Poll<io::Result<()>> {
        for _ in 0..ROUNDS {
            if !self.pending.is_empty() {
                ready!(self.to.poll_write_ready(cx))?;
                *moved |= self.flush()?;
                continue;
            }
            match self.state {
                State::Open => {
                    ready!(self.from.poll_read_ready(cx))?;
                    *moved |= self.copy()?;
                }
                State::Closing => {
                    shutdown_write(self.to)?;
                    self.state = State::Closed;
                }
                State::Closed => return Poll::Ready(Ok(())),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Moves what there is, as far as `to` takes it; whether anything moved.
    fn copy(&mut self) -> io::Result<bool> {
        scratch::with(|buffer| {
            let Some(read) = unless_blocked(self.from.try_read(buffer))? else { return Ok(false) };
            if read == 0 {
                self.state = State::Closing;
                return Ok(true);
            }
            let written = unless_blocked(self.to.try_write(&buffer[..read]))?.unwrap_or(0);
            self.bytes.inc_by(written as u64);
            self.pending.extend_from_slice(&buffer[written..read]);
            Ok(true)
        })
    }

    fn flush(&mut self) -> io::Result<bool> {
        let Some(written) = unless_blocked(self.to.try_write(&self.pending[self.written..]))? else { return Ok(false) };
        self.bytes.inc_by(written as u64);
        self.written += written;
        if self.written == self.pending.len() {
            self.pending = Vec::new();
            self.written = 0;
        }
        Ok(written > 0)
    }
}

/// The value, or `None` where the socket was not ready after all.
fn unless_blocked<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// A peer that has closed both ways already is no failure.
fn shutdown_write(stream: &TcpStream) -> io::Result<()> {
    match SockRef::from(stream).shutdown(Shutdown::Write) {
        Err(error) if error.kind() != io::ErrorKind::NotConnected => Err(error),
        _ => Ok(()),
    }
}
