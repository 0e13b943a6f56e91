//! Pebble, the ACME test server, resolving every name to loopback and validating on the ports of the gateway under test.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::thread;

use anyhow::{Context, Result};
use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record, RecordType};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::process::{CLIENT_CORE, Server};
use crate::setting::Setting;

/// A running Pebble.
#[derive(Debug)]
pub(crate) struct Pebble {
    /// URL of its directory.
    pub(crate) directory: String,
    /// PEM file that its own certificate is verified with.
    pub(crate) ca: PathBuf,
    management: SocketAddr,
    _server: Server,
}

/// Starts it, validating on these ports, with a resolver of its own.
pub(crate) fn start(setting: &Setting, http_port: u16, tls_port: u16) -> Result<Pebble> {
    let directory = setting.directory.join("pebble");
    fs::create_dir_all(&directory)?;
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    let (certificate, key) = (directory.join("tls.crt"), directory.join("tls.key"));
    fs::write(&certificate, made.cert.pem())?;
    fs::write(&key, made.signing_key.serialize_pem())?;
    let (listen, management, resolver) = (ports::free(), ports::free(), resolve()?);
    let configuration = serde_json::json!({"pebble": {
        "listenAddress": listen, "managementListenAddress": management, "certificate": certificate, "privateKey": key,
        "httpPort": http_port, "tlsPort": tls_port, "ocspResponderURL": "", "externalAccountBindingRequired": false,
    }});
    let file = directory.join("config.json");
    fs::write(&file, configuration.to_string())?;
    let log = directory.join("log");
    let mut pebble = Server::start_with(
        CLIENT_CORE,
        &tool("pebble")?,
        &["-config", &file.to_string_lossy(), "-dnsserver", &resolver.to_string()],
        &[("PEBBLE_VA_NOSLEEP", "1")],
        &log,
    )?;
    pebble.wait_for(listen)?;
    Ok(Pebble { directory: format!("https://{listen}/dir"), ca: certificate, management, _server: pebble })
}

/// Answers every question for an address with this machine's, over UDP and TCP; its threads end with the process.
fn resolve() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let socket = UdpSocket::bind(address).with_context(|| format!("{address} is free for TCP and not for UDP; run it again"))?;
    thread::spawn(move || answer_datagrams(&socket));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away needs no answer.
            thread::spawn(move || drop(answer_stream(stream)));
        }
    });
    Ok(address)
}

fn answer_datagrams(socket: &UdpSocket) {
    let mut query = [0; 4096];
    while let Ok((length, client)) = socket.recv_from(&mut query) {
        if let Ok(reply) = reply(&query[..length]) {
            // Pebble asks again where a reply is lost.
            let _ = socket.send_to(&reply, client);
        }
    }
}

/// Messages with their length before them (RFC 1035 section 4.2.2).
fn answer_stream(mut stream: TcpStream) -> Result<()> {
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut query = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut query)?;
        let reply = reply(&query)?;
        stream.write_all(&[&u16::try_from(reply.len())?.to_be_bytes(), reply.as_slice()].concat())?;
    }
}

fn reply(query: &[u8]) -> Result<Vec<u8>> {
    let query = Message::from_vec(query)?;
    let question = query.queries.first().context("no question")?;
    let mut reply = Message::new(query.metadata.id, MessageType::Response, query.metadata.op_code);
    reply.add_query(question.clone());
    if question.query_type() == RecordType::A {
        reply.add_answer(Record::from_rdata(question.name().clone(), 1, RData::A(A(Ipv4Addr::LOCALHOST))));
    }
    Ok(reply.to_vec()?)
}

/// Where the set-up keeps the pinned tools.
fn tool(name: &str) -> Result<String> {
    let cache = std::env::var("VRATA_TOOLS").or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cache/vrata-tools")))?;
    let path = format!("{cache}/pebble-2.10.1/{name}");
    anyhow::ensure!(fs::exists(&path)?, "{path} is not there; run `cargo xtask bench`, which sets it up");
    Ok(path)
}

impl Pebble {
    /// The root that signs what Pebble issues.
    pub(crate) fn root(&self) -> Result<CertificateDer<'static>> {
        let output = std::process::Command::new("curl").args(["-sk", &format!("https://{}/roots/0", self.management)]).output()?;
        CertificateDer::from_pem_slice(&output.stdout).context("Pebble's root")
    }
}
