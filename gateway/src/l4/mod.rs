//! TCP and UDP for Services of type LoadBalancer: binds each address and port and forwards to ready endpoints.
//!
//! `table` is what is asked for, `endpoints`, `sources` and `sessions` decide (pure), `bind`, `tcp`, `relay` and `udp` hold the sockets, and `forwarder`
//! brings what runs in line with the table. It knows nothing of HTTP, and nothing of how an address becomes reachable.

mod bind;
mod endpoints;
mod forwarder;
mod limits;
mod metrics;
mod relay;
mod scratch;
mod serving;
mod sessions;
mod sources;
mod table;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;

pub use forwarder::{BindFailure, Forwarder};
pub use limits::Limits;
pub use table::{L4Table, Listener, Transport};
