//! The DNS question: TXT below `_acme-challenge`, over UDP and TCP (CAs use both).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use crate::listed::listed;

/// Largest DNS message.
const LARGEST: usize = 65_535;

pub(super) async fn ask_udp(listener: SocketAddr, owner: &str, value: &str) -> Result<(), String> {
    let (id, query) = query(owner)?;
    let any = if listener.is_ipv4() { SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)) } else { SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)) };
    let socket = UdpSocket::bind(any).await.map_err(said)?;
    socket.connect(listener).await.map_err(said)?;
    socket.send(&query).await.map_err(said)?;
    let mut buffer = vec![0; LARGEST];
    let length = socket.recv(&mut buffer).await.map_err(said)?;
    let reply = parse(&buffer[..length], id)?;
    // Asked again over TCP anyway.
    if reply.metadata.truncation { Ok(()) } else { judge(&reply, value) }
}

pub(super) async fn ask_tcp(listener: SocketAddr, owner: &str, value: &str) -> Result<(), String> {
    let (id, query) = query(owner)?;
    let mut stream = TcpStream::connect(listener).await.map_err(said)?;
    let length = u16::try_from(query.len()).map_err(said)?;
    stream.write_all(&[&length.to_be_bytes(), query.as_slice()].concat()).await.map_err(said)?;
    let length = stream.read_u16().await.map_err(said)?;
    let mut buffer = vec![0; length.into()];
    stream.read_exact(&mut buffer).await.map_err(said)?;
    judge(&parse(&buffer, id)?, value)
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn query(owner: &str) -> Result<(u16, Vec<u8>), String> {
    let mut name = Name::from_ascii(owner).map_err(said)?;
    name.set_fqdn(true);
    let mut message = Message::query();
    message.add_query(Query::query(name, RecordType::TXT));
    Ok((message.metadata.id, message.to_vec().map_err(said)?))
}

fn parse(bytes: &[u8], id: u16) -> Result<Message, String> {
    let reply = Message::from_vec(bytes).map_err(|error| format!("an answer that is no DNS message: {error}"))?;
    if reply.metadata.id == id { Ok(reply) } else { Err("an answer to another question".to_owned()) }
}

fn judge(reply: &Message, value: &str) -> Result<(), String> {
    let texts: Vec<String> = reply.answers.iter().filter_map(|record| text(&record.data)).collect();
    if reply.metadata.response_code == ResponseCode::NoError && texts.iter().any(|text| text == value) {
        return Ok(());
    }
    Err(format!("got {} with {}, not {value:?}", reply.metadata.response_code, several(&texts)))
}

fn text(data: &RData) -> Option<String> {
    let RData::TXT(txt) = data else { return None };
    Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned())
}

fn several(texts: &[String]) -> String {
    if texts.is_empty() { "no TXT record".to_owned() } else { listed(texts.iter().map(|text| format!("{text:?}"))) }
}
