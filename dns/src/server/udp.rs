//! One thread's loop: a batch of datagrams in, a batch of replies out, without allocation.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use nix::errno::Errno;
use nix::libc::{in_pktinfo, in6_pktinfo};
use nix::sys::socket::sockopt::{Ipv4PacketInfo, Ipv6RecvPacketInfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrLike, SockaddrStorage, recvmmsg, sendmmsg, setsockopt,
};
use socket2::Socket;

use super::metrics::Counters;
use crate::answer::UDP_PAYLOAD;
use crate::{Transport, ZoneSet, answer};

/// Datagrams for each system call.
const BATCH: usize = 32;
/// Longest query; longer ones are dropped.
const QUERY: usize = 2048;
const REPLY: usize = UDP_PAYLOAD as usize;

/// The address a query was sent to, for the reply to leave from.
#[derive(Debug, Clone, Copy)]
enum Destination {
    V4(in_pktinfo),
    V6(in6_pktinfo),
}

/// A query that was received, by its place in the batch.
#[derive(Clone, Copy)]
struct Received {
    length: usize,
    from: Option<SockaddrStorage>,
    to: Option<Destination>,
}

/// A reply that waits to be sent.
#[derive(Clone, Copy)]
struct Reply {
    length: usize,
    destination: Option<Destination>,
}

/// What a thread keeps from batch to batch.
struct Buffers {
    queries: Vec<[u8; QUERY]>,
    received: Vec<Received>,
    replies: Vec<[u8; REPLY]>,
    ready: Vec<Reply>,
    /// Peers of the replies that are ready.
    peers: Vec<Option<SockaddrStorage>>,
}

/// Asks the kernel to tell the address each datagram was sent to.
pub(super) fn report_destination(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    let set = if address.is_ipv4() { setsockopt(socket, Ipv4PacketInfo, &true) } else { setsockopt(socket, Ipv6RecvPacketInfo, &true) };
    set.map_err(Into::into)
}

/// Answers until `stopping`, which is looked at whenever the socket wakes up.
pub(super) fn serve(socket: &Socket, address: SocketAddr, zones: &ArcSwap<ZoneSet>, counters: &Counters, stopping: &AtomicBool) {
    let space = || nix::cmsg_space!(in6_pktinfo);
    let mut incoming = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, Some(space()));
    let destination = address.ip().is_unspecified();
    let mut outgoing = Outgoing {
        plain: MultiHeaders::preallocate(BATCH, None),
        v4: MultiHeaders::preallocate(BATCH, Some(nix::cmsg_space!(in_pktinfo))),
        v6: MultiHeaders::preallocate(BATCH, Some(space())),
    };
    let mut buffers = Buffers::new();
    while !stopping.load(Ordering::Relaxed) {
        match buffers.receive(socket, &mut incoming, destination) {
            Ok(()) => {}
            Err(Errno::EINTR | Errno::EAGAIN | Errno::ECONNREFUSED) => continue,
            Err(error) => {
                tracing::error!(%address, %error, "DNS over UDP: cannot receive");
                std::thread::sleep(std::time::Duration::from_millis(10));
                continue;
            }
        }
        let current = zones.load();
        buffers.answer(&current, counters);
        let lost = buffers.send(socket, &mut outgoing);
        counters.lost(lost);
    }
}

/// Headers for sending, by what goes with each datagram.
struct Outgoing {
    plain: MultiHeaders<SockaddrStorage>,
    v4: MultiHeaders<SockaddrStorage>,
    v6: MultiHeaders<SockaddrStorage>,
}

impl Buffers {
    fn new() -> Self {
        Self {
            queries: vec![[0; QUERY]; BATCH],
            received: Vec::with_capacity(BATCH),
            replies: vec![[0; REPLY]; BATCH],
            ready: Vec::with_capacity(BATCH),
            peers: Vec::with_capacity(BATCH),
        }
    }

    /// Waits for a datagram, and takes what else is there.
    fn receive(&mut self, socket: &Socket, headers: &mut MultiHeaders<SockaddrStorage>, destination: bool) -> Result<(), Errno> {
        self.received.clear();
        let mut queries = self.queries.iter_mut();
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
            std::array::from_fn(|_| [IoSliceMut::new(queries.next().map_or(&mut [][..], |query| &mut query[..]))]);
        let messages = recvmmsg(socket.as_raw_fd(), headers, slices.iter_mut(), MsgFlags::MSG_WAITFORONE, None)?;
        self.received.extend(messages.map(|message| read(&message, destination)));
        Ok(())
    }

    fn answer(&mut self, zones: &ZoneSet, counters: &Counters) {
        self.ready.clear();
        self.peers.clear();
        for (received, query) in self.received.iter().zip(&self.queries) {
            let Some(from) = received.from.filter(|from| port(from) != 0) else { continue };
            let reply = &mut self.replies[self.ready.len()];
            let answered = answer(zones, &query[..received.length], Transport::Udp, reply);
            counters.count(answered.as_ref());
            if let Some(answered) = answered {
                self.ready.push(Reply { length: answered.length, destination: received.to });
                self.peers.push(Some(from));
            }
        }
    }

    /// Sends all replies; how many were lost.
    fn send(&self, socket: &Socket, outgoing: &mut Outgoing) -> usize {
        let (mut sent, mut lost) = (0, 0);
        while sent < self.ready.len() {
            // One call serves all that leave from the same address.
            let first = self.ready[sent].destination;
            let run = self.ready[sent..].iter().take_while(|reply| same(reply.destination, first)).count();
            match self.send_run(socket, outgoing, sent, run, first) {
                Ok(count) if count > 0 => sent += count,
                Err(Errno::EINTR) => {}
                // The first of the run cannot be sent; the others perhaps can.
                Ok(_) | Err(_) => {
                    sent += 1;
                    lost += 1;
                }
            }
        }
        lost
    }

    fn send_run(&self, socket: &Socket, outgoing: &mut Outgoing, start: usize, run: usize, from: Option<Destination>) -> Result<usize, Errno> {
        let slices: [[IoSlice<'_>; 1]; BATCH] = std::array::from_fn(|index| {
            let at = start + index;
            [IoSlice::new(if index < run { &self.replies[at][..self.ready[at].length] } else { &[] })]
        });
        let peers = &self.peers[start..start + run];
        let descriptor = socket.as_raw_fd();
        let flags = MsgFlags::empty();
        match from {
            None => sendmmsg(descriptor, &mut outgoing.plain, &slices, peers, [], flags).map(Iterator::count),
            Some(Destination::V4(from)) => {
                sendmmsg(descriptor, &mut outgoing.v4, &slices, peers, [ControlMessage::Ipv4PacketInfo(&from)], flags).map(Iterator::count)
            }
            Some(Destination::V6(from)) => {
                sendmmsg(descriptor, &mut outgoing.v6, &slices, peers, [ControlMessage::Ipv6PacketInfo(&from)], flags).map(Iterator::count)
            }
        }
    }
}

fn read(message: &RecvMsg<'_, '_, SockaddrStorage>, destination: bool) -> Received {
    let whole = !message.flags.contains(MsgFlags::MSG_TRUNC);
    let to = if destination { message.cmsgs().ok().and_then(|mut messages| messages.find_map(|message| source(&message))) } else { None };
    Received { length: if whole { message.bytes.min(QUERY) } else { 0 }, from: message.address.filter(|from| from.family().is_some()), to }
}

/// What sends the reply from where the query went to: the interface is the routing table's choice.
fn source(message: &ControlMessageOwned) -> Option<Destination> {
    match message {
        ControlMessageOwned::Ipv4PacketInfo(to) => {
            Some(Destination::V4(in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: to.ipi_addr, ipi_addr: to.ipi_addr }))
        }
        ControlMessageOwned::Ipv6PacketInfo(to) => {
            // A link-local address means nothing without its interface.
            let link_local = to.ipi6_addr.s6_addr[..2] == [0xFE, 0x80];
            Some(Destination::V6(in6_pktinfo { ipi6_addr: to.ipi6_addr, ipi6_ifindex: if link_local { to.ipi6_ifindex } else { 0 } }))
        }
        _ => None,
    }
}

fn same(a: Option<Destination>, b: Option<Destination>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(Destination::V4(a)), Some(Destination::V4(b))) => a.ipi_spec_dst.s_addr == b.ipi_spec_dst.s_addr,
        (Some(Destination::V6(a)), Some(Destination::V6(b))) => (a.ipi6_addr.s6_addr, a.ipi6_ifindex) == (b.ipi6_addr.s6_addr, b.ipi6_ifindex),
        _ => false,
    }
}

fn port(address: &SockaddrStorage) -> u16 {
    let v4 = address.as_sockaddr_in().map(nix::sys::socket::SockaddrIn::port);
    v4.or_else(|| address.as_sockaddr_in6().map(nix::sys::socket::SockaddrIn6::port)).unwrap_or(0)
}
