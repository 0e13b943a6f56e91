//! Other authoritative servers as child processes, and replies in a form that can be compared.

use std::collections::BTreeSet;
use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hickory_proto::op::Message;

/// A running server, killed when dropped.
pub(crate) struct Oracle {
    pub(crate) name: &'static str,
    child: Child,
    socket: UdpSocket,
    _directory: tempfile::TempDir,
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Oracle {
    /// NSD with the zones of `tests/zones`.
    pub(crate) fn nsd(zones: &[&str]) -> Self {
        Self::start("nsd", "nsd", zones, |directory, port| {
            let mut config = format!(
                "server:\n ip-address: 127.0.0.1@{port}\n username: \"\"\n chroot: \"\"\n zonesdir: \"{directory}\"\n database: \"\"\n \
                 pidfile: \"\"\n xfrdfile: \"{directory}/xfrd\"\n zonelistfile: \"{directory}/list\"\n server-count: 1\n minimal-responses: yes\n \
                 refuse-any: no\n rrl-ratelimit: 0\n rrl-whitelist-ratelimit: 0\nremote-control:\n control-enable: no\n"
            );
            for zone in zones {
                config += &format!("zone:\n name: \"{zone}\"\n zonefile: \"{zone}.zone\"\n");
            }
            let file = format!("{directory}/nsd.conf");
            fs::write(&file, config).unwrap();
            vec!["-d".to_owned(), "-c".to_owned(), file]
        })
    }

    /// Knot DNS with the zones of `tests/zones`.
    pub(crate) fn knot(zones: &[&str]) -> Self {
        Self::start("Knot", "knotd", zones, |directory, port| {
            let mut config = format!(
                "server:\n  listen: 127.0.0.1@{port}\n  rundir: {directory}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n  \
                 udp-max-payload: 1232\ncontrol:\n  listen: {directory}/control\nlog:\n  - target: stderr\n    any: error\ndatabase:\n  storage: {directory}\n\
                 template:\n  - id: default\n    storage: {directory}\n    zonefile-sync: -1\n    journal-content: none\nzone:\n"
            );
            for zone in zones {
                config += &format!("  - domain: {zone}\n    file: {zone}.zone\n");
            }
            let file = format!("{directory}/knot.conf");
            fs::write(&file, config).unwrap();
            vec!["-c".to_owned(), file]
        })
    }

    fn start(name: &'static str, program: &str, zones: &[&str], configure: impl Fn(&str, u16) -> Vec<String>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for zone in zones {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/zones/{zone}.zone"));
            fs::write(directory.path().join(format!("{zone}.zone")), fs::read_to_string(source).unwrap()).unwrap();
        }
        let address = ports::free();
        let arguments = configure(directory.path().to_str().unwrap(), address.port());
        let path = ["/usr/sbin", "/usr/bin", "/usr/local/sbin"].iter().map(|folder| Path::new(folder).join(program)).find(|path| path.exists());
        let path = path.unwrap_or_else(|| panic!("{program} is missing: apt-get install nsd knot"));
        let child = Command::new(path).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let oracle = Self { name, child, socket, _directory: directory };
        oracle.wait(zones[0]);
        oracle
    }

    /// Until it answers for a zone.
    fn wait(&self, zone: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let query = super::query(&format!("{zone}."), 6);
        let ready = || self.try_ask(&query).is_some_and(|reply| reply[3] & 0xF == 0 && reply[7] > 0);
        while !ready() {
            assert!(Instant::now() < deadline, "{} does not answer for {zone}", self.name);
            std::thread::yield_now();
        }
    }

    /// The reply, or `None` if there is none in time.
    fn try_ask(&self, query: &[u8]) -> Option<Vec<u8>> {
        let mut buffer = [0; 65535];
        self.socket.send(query).ok()?;
        loop {
            let length = self.socket.recv(&mut buffer).ok()?;
            if buffer[..2] == query[..2] {
                return Some(buffer[..length].to_vec());
            }
        }
    }

    /// The reply; a lost datagram is asked for again.
    pub(crate) fn ask(&self, query: &[u8]) -> Seen {
        let reply = (0..3).find_map(|_| self.try_ask(query));
        Seen::read(&reply.unwrap_or_else(|| panic!("{} does not answer {query:02x?}", self.name)))
    }
}

/// What a client sees of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) code: u16,
    pub(crate) authoritative: bool,
    pub(crate) truncated: bool,
    /// Opcode, RD, RA, AD, CD.
    pub(crate) flags: (u8, bool, bool, bool, bool),
    pub(crate) question: Vec<u8>,
    pub(crate) answer: BTreeSet<String>,
    pub(crate) authority: BTreeSet<String>,
    pub(crate) additional: BTreeSet<String>,
    /// Version and DO.
    pub(crate) edns: Option<(u8, bool)>,
}

impl Seen {
    /// Reads a reply that has to be well formed. Sections of a truncated reply are left out: nothing may be concluded from them.
    pub(crate) fn read(reply: &[u8]) -> Self {
        let message = Message::from_vec(reply).unwrap_or_else(|error| panic!("{error}: {reply:02x?}"));
        let truncated = reply[2] & 2 != 0;
        let lines = |records: &[hickory_proto::rr::Record]| {
            let line = |record: &hickory_proto::rr::Record| {
                format!("{} {} {} {:?}", record.name, record.ttl, record.record_type(), record.data).to_ascii_lowercase()
            };
            if truncated { BTreeSet::new() } else { records.iter().map(line).collect() }
        };
        let edns = message.edns.as_ref();
        let mut question = 12;
        while reply[5] == 1 && reply[question] != 0 {
            question += 1 + usize::from(reply[question]);
        }
        Self {
            code: u16::from(reply[3] & 0xF) | edns.map_or(0, |edns| u16::from(edns.rcode_high()) << 4),
            authoritative: reply[2] & 4 != 0,
            truncated,
            flags: (reply[2] >> 3 & 0xF, reply[2] & 1 != 0, reply[3] & 0x80 != 0, reply[3] & 0x20 != 0, reply[3] & 0x10 != 0),
            question: if reply[5] == 1 { reply[12..question + 5].to_vec() } else { Vec::new() },
            answer: lines(&message.answers),
            authority: lines(&message.authorities),
            additional: lines(&message.additionals),
            edns: edns.map(|edns| (edns.version(), edns.flags().dnssec_ok)),
        }
    }
}
