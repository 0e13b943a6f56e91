//! What the HTTP data plane serves, as one immutable value.

use crate::{CertificateTable, Challenges, RoutingTable};

/// One configuration of the HTTP data plane. A connection takes its certificate, and a request its route, from the snapshot that is current when it
/// starts, and keeps what it took to its end.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Grows by at least one with each swap.
    pub generation: u64,
    /// Which route serves a host and path.
    pub table: RoutingTable,
    /// Which certificate answers for a server name.
    pub certificates: CertificateTable,
    /// Challenges of the certificate authority that are to be answered now.
    pub challenges: Challenges,
}
