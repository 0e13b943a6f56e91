//! The authoritative DNS server: zones as values, [`answer`] as a pure function over them, and thin UDP and TCP loops around it.
//!
//! This crate knows neither Kubernetes nor its sibling crates: whoever owns it builds a [`ZoneSet`] and stores it in the
//! [`arc_swap::ArcSwap`] that the server was started with.

pub mod record;
pub mod serial;
pub mod zone;

pub use record::{Name, RData, RecordSet, Soa};
pub use zone::{Zone, ZoneError, ZoneSet};
