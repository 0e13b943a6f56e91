//! From objects to everything that is served: the heart of the program. Pure and total: no I/O, no clock, no panic; the same input always gives the
//! same output, and what is wrong with an object is a [`Problem`] beside the output, never the end of it.
//!
//! ```text
//! Objects ─┬→ ownership ─┬→ certificates ─→ routes ─┬→ Compiled ─→ gateway, dns, acme
//! Settings ┤             └→ l4 (addresses) ─→ zones ┘       └────→ problems, report ─→ people
//! Facts ───┘
//! ```
//! What this does not do: build a zone with its serial, parse keys for the TLS acceptor, write anything. Whoever runs it does that with the result.

mod findings;
mod names;
mod parsed;
mod report;
mod settings;

use std::sync::Arc;
use std::time::SystemTime;

pub use parsed::ParsedCertificates;
pub use report::{
    CertificateReport, CertificateStatus, DnsReport, HostReport, RefusedClaim, Report, RouteReport, ServicePortReport, ServiceReport, TlsReport,
    TlsStatus,
};
pub use settings::{ClassRules, Settings, SettingsError, ZoneSettings};

use gateway::certificates::ParsedCertificate;

use crate::addresses::Allocations;
use crate::objects::Objects;
use crate::problem::Problem;

/// What is held and was decided before, read back from where it persists.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Certificates, their states and the challenges of the moment.
    pub held: Arc<acme::Held>,
    /// Addresses that Services hold.
    pub allocations: Allocations,
    /// [`Compiled::parsed`] of the last compilation: what is in it need not be parsed again. It has no influence on the result.
    pub parsed: ParsedCertificates,
    /// The time, for what is expired.
    pub now: SystemTime,
}

impl Default for Facts {
    fn default() -> Self {
        Self { held: Arc::default(), allocations: Allocations::default(), parsed: ParsedCertificates::default(), now: SystemTime::UNIX_EPOCH }
    }
}

/// Everything that is to be served, wanted, written and told.
#[derive(Debug, Default)]
pub struct Compiled {
    /// The rules of `table` in order of precedence.
    pub rules: Vec<gateway::table::Rule>,
    /// Which route serves a host and path.
    pub table: gateway::RoutingTable,
    /// Certificates for the TLS acceptor. No two have a name in common.
    pub certificates: Vec<ServedCertificate>,
    /// HTTP-01 and TLS-ALPN-01 challenges that the gateway answers.
    pub challenges: gateway::Challenges,
    /// The zones, in the order of the configuration. A serial is not part of them.
    pub zones: Vec<ZoneContent>,
    /// Certificates that are to be held.
    pub wanted: acme::WantedSet,
    /// TCP and UDP listeners of Services.
    pub l4: gateway::l4::L4Table,
    /// Addresses that Services hold from now on. They have to persist before `l4` and `zones` are served.
    pub allocations: Allocations,
    /// Certificates that were parsed, for the next compilation.
    pub parsed: ParsedCertificates,
    /// Findings, sorted, without duplicates.
    pub problems: Vec<Problem>,
    /// The same for people: plain values for status, explanations and the page.
    pub report: Report,
}

/// What a zone holds.
#[derive(Debug, Clone, PartialEq)]
pub struct ZoneContent {
    /// Its apex.
    pub origin: dns::Name,
    /// The SOA, but for the serial.
    pub soa: dns::Soa,
    /// All other records, sorted by owner and type; ready for [`dns::Zone::build`].
    pub records: Vec<dns::RecordSet>,
}

/// A certificate and the server names it answers for.
#[derive(Debug, Clone)]
pub struct ServedCertificate {
    /// Exact names and `*.` wildcards, lower case, sorted; each one of the certificate's own.
    pub names: Vec<String>,
    /// Which Secret it is from.
    pub source: CertificateSource,
    /// Chain and key.
    pub certificate: Arc<ParsedCertificate>,
}

/// Where a certificate is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum CertificateSource {
    /// Ordered and held by this program.
    Held(acme::SecretName),
    /// Brought by a tenant in a Secret.
    Tenant(acme::SecretName),
}

/// Compiles everything.
#[must_use]
pub fn compile(_objects: &Objects, _settings: &Settings, _facts: &Facts) -> Compiled {
    Compiled::default()
}
