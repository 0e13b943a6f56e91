//! The server over real sockets: UDP, TCP, addresses, dig's view of EDNS, counters, stopping.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use dns::{EmptyNonTerminals, Name, RecordSet, Server, Soa, Zone, ZoneSet, record};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(10);

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn zones(serial: u32) -> ZoneSet {
    let soa = Soa { mname: name("ns1.test."), rname: name("admin.test."), refresh: 7200, retry: 900, expire: 1_209_600, minimum: 60, ttl: 300 };
    let mut records: Vec<RecordSet> =
        record::address_sets(&name("host.test."), 60, &[IpAddr::from([192, 0, 2, 1]), IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1])]);
    records.push(record::ns(name("test."), 300, [name("ns1.test.")]));
    records.extend(record::address_sets(&name("ns1.test."), 300, &[IpAddr::from([192, 0, 2, 53])]));
    let texts: Vec<String> = (0..40).map(|number| format!("{number:0>60}")).collect();
    records.push(record::txt(name("large.test."), 60, texts.iter().map(String::as_str)));
    ZoneSet::new(vec![Arc::new(Zone::build(name("test."), &soa, serial, &records, EmptyNonTerminals::Empty).unwrap())]).unwrap()
}

struct Running {
    addresses: Vec<SocketAddr>,
    zones: Arc<ArcSwap<ZoneSet>>,
    registry: prometheus::Registry,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn start(addresses: &[&str]) -> Self {
        let addresses: Vec<SocketAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let zones = Arc::new(ArcSwap::from_pointee(zones(1)));
        let registry = prometheus::Registry::new();
        let server = Server::bind(&addresses, Arc::clone(&zones), &registry).unwrap();
        let addresses = server.local_addresses().to_vec();
        let stop = CancellationToken::new();
        let task = tokio::spawn(server.run(stop.clone()));
        Self { addresses, zones, registry, stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("stops promptly").unwrap();
    }

    fn metric(&self, family: &str, labels: &[&str]) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|candidate| candidate.name() == family);
        let metrics = family.map(|family| family.get_metric().to_vec()).unwrap_or_default();
        let matches = |metric: &&prometheus::proto::Metric| labels.iter().all(|label| metric.get_label().iter().any(|pair| pair.value() == *label));
        metrics.iter().filter(matches).map(|metric| metric.get_counter().get_value()).sum()
    }
}

fn query(id: u16, name: &str, record_type: u16) -> Vec<u8> {
    let mut query = [id.to_be_bytes().as_slice(), &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    for label in name.split('.') {
        query.push(label.len() as u8);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, (record_type >> 8) as u8, record_type as u8, 0, 1]);
    query
}

/// The reply to `query`, from nobody but `to`.
fn ask(to: SocketAddr, query: &[u8]) -> Vec<u8> {
    let local: IpAddr = if to.is_ipv4() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { "::1".parse().unwrap() };
    let socket = UdpSocket::bind((local, 0)).unwrap();
    // A connected socket takes replies only from the address that it asked.
    socket.connect(to).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send(query).unwrap();
    let mut reply = [0; 65535];
    let length = socket.recv(&mut reply).unwrap();
    reply[..length].to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_families_answer_over_udp() {
    let server = Running::start(&["127.0.0.1:0", "[::1]:0"]);
    for &address in &server.addresses {
        let reply = ask(address, &query(7, "host.test", 1));
        assert_eq!((&reply[..2], reply[3] & 0xF, &reply[reply.len() - 4..]), (&[0, 7][..], 0, &[192, 0, 2, 1][..]));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_leaves_from_the_address_that_was_asked() {
    let server = Running::start(&["0.0.0.0:0", "[::]:0"]);
    for host in ["127.0.0.1", "127.0.0.2", "127.9.8.7"] {
        let to = SocketAddr::new(host.parse().unwrap(), server.addresses[0].port());
        assert_eq!(ask(to, &query(1, "host.test", 1))[3] & 0xF, 0, "{host}");
    }
    let to = SocketAddr::new("::1".parse().unwrap(), server.addresses[1].port());
    assert_eq!(ask(to, &query(1, "host.test", 28))[3] & 0xF, 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_at_once_each_get_their_own_reply() {
    let server = Running::start(&["127.0.0.1:0"]);
    let sockets: Vec<UdpSocket> = (0..200).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    for (id, socket) in sockets.iter().enumerate() {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send_to(&query(id as u16, "host.test", 1), server.addresses[0]).unwrap();
    }
    for (id, socket) in sockets.iter().enumerate() {
        let mut reply = [0; 512];
        socket.recv(&mut reply).unwrap();
        assert_eq!(u16::from_be_bytes([reply[0], reply[1]]), id as u16);
    }
    assert_eq!(server.metric("vrata_dns_queries_total", &["udp", "A", "NOERROR"]), 200.0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_answers_pipelined_queries_in_order_and_in_full() {
    let server = Running::start(&["127.0.0.1:0"]);
    let mut stream = TcpStream::connect(server.addresses[0]).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let queries = [query(1, "large.test", 16), query(2, "host.test", 1), query(3, "none.test", 1)];
    let framed: Vec<u8> = queries.iter().flat_map(|query| [&(query.len() as u16).to_be_bytes(), query.as_slice()].concat()).collect();
    stream.write_all(&framed).unwrap();
    let replies: Vec<(u16, bool, bool)> = queries
        .iter()
        .map(|_| {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut reply = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut reply).unwrap();
            (u16::from_be_bytes([reply[0], reply[1]]), reply[2] & 2 != 0, reply.len() > 2400)
        })
        .collect();
    assert_eq!(replies, [(1, false, true), (2, false, false), (3, false, false)]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swapped_zone_answers_the_next_query() {
    let server = Running::start(&["127.0.0.1:0"]);
    let serial = |reply: &[u8]| u32::from_be_bytes(reply[reply.len() - 20..reply.len() - 16].try_into().unwrap());
    assert_eq!(serial(&ask(server.addresses[0], &query(1, "test", 6))), 1);
    server.zones.store(Arc::new(zones(2)));
    assert_eq!(serial(&ask(server.addresses[0], &query(1, "test", 6))), 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn truncated_and_dropped_messages_are_counted() {
    let server = Running::start(&["127.0.0.1:0"]);
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"short", server.addresses[0]).unwrap();
    let reply = ask(server.addresses[0], &query(1, "large.test", 16));
    assert_eq!((reply[2] & 2, reply.len()), (2, query(1, "large.test", 16).len()));
    let deadline = std::time::Instant::now() + PATIENCE;
    while (server.metric("vrata_dns_truncated_total", &[]), server.metric("vrata_dns_dropped_total", &[])) != (1.0, 1.0) {
        assert!(std::time::Instant::now() < deadline, "not counted");
        tokio::task::yield_now().await;
    }
    server.stop().await;
}

#[test]
fn an_address_in_use_is_named() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = Server::bind(&[address], Arc::default(), &prometheus::Registry::new()).unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot serve DNS on {address}: ")), "{error}");
}

/// The status, the flags and the EDNS line that dig shows.
fn dig(server: SocketAddr, arguments: &str) -> String {
    let output = Command::new("dig")
        .args([&format!("@{}", server.ip()), "-p", &server.port().to_string(), "+nocookie", "+norec", "+tries=2"])
        .args(arguments.split(' '))
        .output()
        .expect("dig is there: apt-get install bind9-dnsutils");
    let text = String::from_utf8(output.stdout).unwrap();
    let after = |start: &str, end: char| {
        let line = text.split_once(start).map(|(_, rest)| rest);
        line.and_then(|rest| rest.split(['\n', end]).next()).unwrap_or("-").trim().to_owned()
    };
    format!("{} [{}] {} | {}", after("status: ", ','), after(";; flags: ", ';'), after("QUERY: 1, ", '\n'), after("; EDNS: ", '\n'))
}

/// The checks of ISC's EDNS compliance tester and a few more, as dig shows them.
#[tokio::test(flavor = "multi_thread")]
async fn dig_sees_compliant_edns() {
    let server = Running::start(&["127.0.0.1:0"]);
    let soa = "NOERROR [qr aa] ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 0";
    let soa_edns = "NOERROR [qr aa] ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 1";
    let version_0 = "version: 0, flags:; udp: 1232";
    let table = [
        ("+noedns SOA test", format!("{soa} | -")),
        ("+edns=0 SOA test", format!("{soa_edns} | {version_0}")),
        ("+edns=1 +noednsneg SOA test", format!("BADVERS [qr] ANSWER: 0, AUTHORITY: 0, ADDITIONAL: 1 | {version_0}")),
        ("+edns=0 +ednsopt=100 SOA test", format!("{soa_edns} | {version_0}")),
        ("+edns=1 +noednsneg +ednsopt=100 SOA test", format!("BADVERS [qr] ANSWER: 0, AUTHORITY: 0, ADDITIONAL: 1 | {version_0}")),
        ("+edns=0 +ednsflags=0x80 SOA test", format!("{soa_edns} | {version_0}")),
        ("+dnssec SOA test", format!("{soa_edns} | version: 0, flags: do; udp: 1232")),
        ("+bufsize=512 +ignore TXT large.test", format!("NOERROR [qr aa tc] ANSWER: 0, AUTHORITY: 0, ADDITIONAL: 1 | {version_0}")),
        ("+tcp TXT large.test", format!("NOERROR [qr aa] ANSWER: 40, AUTHORITY: 0, ADDITIONAL: 1 | {version_0}")),
        ("TXT large.test", format!("NOERROR [qr aa] ANSWER: 40, AUTHORITY: 0, ADDITIONAL: 1 | {version_0}")),
        ("+nsid SOA test", format!("{soa_edns} | {version_0}")),
        ("+subnet=0/0 SOA test", format!("{soa_edns} | {version_0}")),
        ("+cookie SOA test", format!("{soa_edns} | {version_0}")),
        ("+zflag +noedns SOA test", format!("{soa} | -")),
        ("+noedns TYPE1000 test", "NOERROR [qr aa] ANSWER: 0, AUTHORITY: 1, ADDITIONAL: 0 | -".to_owned()),
        ("+noedns ANY host.test", "NOERROR [qr aa] ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 0 | -".to_owned()),
        ("+noedns A HoSt.TeSt", soa.to_owned() + " | -"),
        ("+noedns +rec A host.test", "NOERROR [qr aa rd] ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 0 | -".to_owned()),
        ("+noedns A none.test", "NXDOMAIN [qr aa] ANSWER: 0, AUTHORITY: 1, ADDITIONAL: 0 | -".to_owned()),
        ("+noedns A outside.example", "REFUSED [qr] ANSWER: 0, AUTHORITY: 0, ADDITIONAL: 0 | -".to_owned()),
        ("+noedns CH TXT version.bind", "REFUSED [qr] ANSWER: 0, AUTHORITY: 0, ADDITIONAL: 0 | -".to_owned()),
    ];
    let seen: Vec<(&str, String)> = table.iter().map(|(arguments, _)| (*arguments, dig(server.addresses[0], arguments))).collect();
    assert_eq!(seen, table);
    assert!(dig(server.addresses[0], "+noedns +opcode=15 SOA test").starts_with("NOTIMP [qr]"));
    assert!(dig(server.addresses[0], "+noedns AXFR test").contains('-'));
    server.stop().await;
}
