//! The edge: sockets, TLS and what is known of a connection. It hands streams to Pingora's `HttpProxy` and knows no route.

mod connection;
mod limits;

pub(crate) use connection::{ConnInfo, TlsInfo, conn_info};
pub use limits::Limits;
