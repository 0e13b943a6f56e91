//! Challenges of a certificate authority that this data plane answers itself, before any route, redirect or restriction.

use std::collections::BTreeMap;

/// What to answer while an order is under way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Challenges {
    /// HTTP-01 (RFC 8555 section 8.3): host (lower case) and token to key authorization.
    pub http01: BTreeMap<(String, String), String>,
    /// TLS-ALPN-01 (RFC 8737): server name (lower case) to the SHA-256 digest of the key authorization.
    pub tls_alpn01: BTreeMap<String, [u8; 32]>,
}
