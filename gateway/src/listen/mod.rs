//! The edge: sockets, TLS and what is known of a connection. It hands streams to Pingora's `HttpProxy` and knows no route.
//!
//! One connection: [`socket`] accepts it under the connection limit ([`accept`]), [`tls`] settles certificate and protocol, [`stream`] carries the bytes
//! under the deadlines that [`progress`] decides, and [`serve`] gives it to the proxy.

mod accept;
mod challenge;
mod clients;
mod connection;
mod limits;
mod metrics;
mod progress;
mod refuse;
pub(crate) mod request_body;
mod serve;
mod socket;
mod stream;
#[cfg(test)]
pub(crate) mod tests;
mod tls;

pub(crate) use accept::{Edge, Port, log_panic};
pub(crate) use clients::Clients;
pub(crate) use connection::{ConnInfo, TlsInfo, UnderWay, conn_info};
pub use limits::Limits;
pub(crate) use metrics::{Kind, Metrics};
pub(crate) use refuse::{Refusal, Refuse};
pub(crate) use socket::bind;
pub(crate) use tls::Tls;
