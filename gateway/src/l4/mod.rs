//! TCP and UDP for Services of type LoadBalancer: binds each address and port and forwards to ready endpoints.

mod table;

pub use table::{L4Table, Listener, Transport};
