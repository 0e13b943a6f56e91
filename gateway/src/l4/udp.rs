//! Forwards datagrams of one listener. One task receives and owns the session table; each session has a task for its answers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::metrics::{Open, Refused};
use super::serving::{Serving, Shared, Slot, Slots};
use super::sessions::{Pulse, Session, Sessions};
use super::{Transport, bind, scratch};

/// Datagrams that are moved before others get their turn.
const BATCH: usize = 64;

/// Sessions are looked through four times in an idle timeout, but no more and no less often than this.
const SWEEP: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(5));

/// The pause after an error of the bound socket, which could otherwise repeat at once.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

/// The way to an endpoint and, by a task that ends with it, back.
#[derive(Debug)]
struct Upstream {
    socket: Arc<UdpSocket>,
    _answers: AbortOnDropHandle<()>,
    _slot: Slot,
    _open: Open,
}

/// A bound socket and its sessions.
pub(super) struct Forwarding {
    socket: Arc<UdpSocket>,
    updates: watch::Receiver<Arc<Serving>>,
    serving: Arc<Serving>,
    slots: Slots,
    sessions: Sessions<Upstream>,
    turn: usize,
    start: Instant,
}

/// Forwards until it is dropped.
pub(super) async fn serve(socket: UdpSocket, mut updates: watch::Receiver<Arc<Serving>>, shared: Arc<Shared>) {
    let serving = Arc::clone(&updates.borrow_and_update());
    let (slots, start) = (shared.slots(Transport::Udp), Instant::now());
    Forwarding { socket: Arc::new(socket), updates, serving, slots, sessions: Sessions::new(), turn: 0, start }.run().await;
}

impl Forwarding {
    async fn run(mut self) {
        let mut next_sweep = self.start + self.sweep_interval();
        loop {
            tokio::select! {
                // Changes and sweeps come first, so that a flood cannot put them off.
                biased;
                changed = self.updates.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.update();
                    next_sweep = next_sweep.min(Instant::now() + self.sweep_interval());
                }
                () = sleep_until(next_sweep) => {
                    self.sessions.expire(self.start.elapsed(), self.serving.listener.idle_timeout);
                    next_sweep = Instant::now() + self.sweep_interval();
                }
                ready = self.socket.readable() => {
                    if ready.and_then(|()| self.receive()).is_err() {
                        sleep(ERROR_PAUSE).await;
                    }
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    fn sweep_interval(&self) -> Duration {
        (self.serving.listener.idle_timeout / 4).clamp(SWEEP.0, SWEEP.1)
    }

    /// Goes over to the next table. Sessions of another Service, of lost endpoints and of clients that are not allowed any more end here.
    fn update(&mut self) {
        let next = Arc::clone(&self.updates.borrow_and_update());
        if Arc::ptr_eq(&next.tenure, &self.serving.tenure) {
            self.sessions.retain(|client, endpoint| next.endpoints.contains(endpoint) && next.admits(client.ip()));
        } else {
            self.sessions.clear();
        }
        self.serving = next;
    }

    fn receive(&mut self) -> io::Result<()> {
        let now = self.start.elapsed();
        scratch::with(|buffer| {
            for _ in 0..BATCH {
                match self.socket.try_recv_from(buffer) {
                    Ok((length, client)) => self.forward(client, &buffer[..length], now),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })
    }

    fn forward(&mut self, client: SocketAddr, datagram: &[u8], now: Duration) {
        if let Err(reason) = self.try_forward(client, datagram, now) {
            self.serving.tenure.metrics.refuse(reason);
        }
    }

    fn try_forward(&mut self, client: SocketAddr, datagram: &[u8], now: Duration) -> Result<(), Refused> {
        if !self.serving.admits(client.ip()) {
            return Err(Refused::Source);
        }
        if let Some(session) = self.sessions.find(client, now, self.serving.listener.idle_timeout) {
            match session.upstream.socket.try_send(datagram) {
                Ok(sent) => {
                    session.pulse.beat(now);
                    self.serving.tenure.metrics.received.inc_by(sent as u64);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Refused::Congested),
                // The endpoint refused an earlier datagram: this one goes to another.
                Err(_) => {}
            }
        }
        self.open(client, datagram, now)
    }

    fn open(&mut self, client: SocketAddr, datagram: &[u8], now: Duration) -> Result<(), Refused> {
        self.sessions.end(client);
        let turn = self.turn;
        self.turn = turn.wrapping_add(1);
        let endpoint = self.serving.endpoints.order(client.ip(), turn, 1).pop().ok_or(Refused::NoEndpoint)?;
        let slot = self.slots.take().ok_or(Refused::Limit)?;
        let socket = Arc::new(bind::udp_to(endpoint).map_err(|_| Refused::ConnectFailed)?);
        // The first datagram goes out before the socket is polled: try_send() would not know yet that it is writable.
        SockRef::from(&*socket).send(datagram).map_err(|_| Refused::ConnectFailed)?;
        let metrics = &self.serving.tenure.metrics;
        metrics.received.inc_by(datagram.len() as u64);
        let pulse = Arc::new(Pulse::default());
        let answers = Answers {
            from: Arc::clone(&socket),
            to: Arc::clone(&self.socket),
            client,
            serving: Arc::clone(&self.serving),
            pulse: Arc::clone(&pulse),
            start: self.start,
        };
        let upstream = Upstream { socket, _answers: AbortOnDropHandle::new(tokio::spawn(answers.run())), _slot: slot, _open: metrics.open() };
        self.sessions.open(client, Session { endpoint, upstream, pulse }, now);
        Ok(())
    }
}

/// The answers of one session. They leave by the bound socket, so from the address that the client sent to.
struct Answers {
    from: Arc<UdpSocket>,
    to: Arc<UdpSocket>,
    client: SocketAddr,
    serving: Arc<Serving>,
    pulse: Arc<Pulse>,
    start: Instant,
}

impl Answers {
    async fn run(self) {
        loop {
            if self.from.readable().await.and_then(|()| self.pass_on()).is_err() {
                return self.pulse.stop();
            }
            tokio::task::yield_now().await;
        }
    }

    fn pass_on(&self) -> io::Result<()> {
        let metrics = &self.serving.tenure.metrics;
        scratch::with(|buffer| {
            for _ in 0..BATCH {
                let length = match self.from.try_recv(buffer) {
                    Ok(length) => length,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    Err(error) => return Err(error),
                };
                self.pulse.beat(self.start.elapsed());
                match self.to.try_send_to(&buffer[..length], self.client) {
                    Ok(sent) => metrics.sent.inc_by(sent as u64),
                    Err(_) => metrics.refuse(Refused::Congested),
                }
            }
            Ok(())
        })
    }
}
