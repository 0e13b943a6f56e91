//! Which certificate answers for a server name: exact name, then the one-label wildcard, then the default. Pure.

/// Certificates by server name.
#[derive(Debug, Default)]
pub struct CertificateTable {}
