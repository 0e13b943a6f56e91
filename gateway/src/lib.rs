//! The data plane for HTTP, TLS, TCP and UDP: it serves one [`Snapshot`] at a time and decides nothing about the cluster.
//!
//! The pure part (`table/`, `certificates`, `challenges`, `answer`) names no Pingora, no tokio and no clock. The edges (`listen/`, `proxy/`, `l4/`)
//! hold the sockets. This crate knows neither Kubernetes nor its sibling crates: whoever owns it compiles a [`Snapshot`] and stores it in the
//! [`arc_swap::ArcSwap`] that it was started with.

pub mod certificates;
pub mod challenges;
pub mod l4;
mod listen;
pub mod options;
mod proxy;
pub mod server;
pub mod snapshot;
pub mod table;

pub use certificates::{CertificateTable, ParsedCertificate};
pub use challenges::Challenges;
pub use options::{Limits, Options};
pub use server::{BindError, Gateway, runtime_threads};
pub use snapshot::Snapshot;
pub use table::RoutingTable;
