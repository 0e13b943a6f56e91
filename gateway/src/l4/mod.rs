//! TCP and UDP for Services of type LoadBalancer: binds each address and port and forwards to ready endpoints.
//!
//! `table` is what is asked for, `endpoints`, `sources` and `sessions` decide (pure), `bind`, `tcp`, `relay`, `udp` hold the sockets, and `forwarder` brings
//! what runs in line with the table. It knows nothing of HTTP, and nothing of how an address becomes reachable.

mod forwarder;
mod limits;
mod table;

pub use forwarder::{BindFailure, Forwarder};
pub use limits::Limits;
pub use table::{L4Table, Listener, Transport};
