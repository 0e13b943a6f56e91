//! The authoritative DNS server: zones as values, [`answer()`] as a pure function over them, and thin UDP and TCP loops around it.
//!
//! This crate knows neither Kubernetes nor its sibling crates: whoever owns it builds a [`ZoneSet`] and stores it in the
//! [`arc_swap::ArcSwap`] that the server was started with.

pub mod answer;
mod name;
mod query;
pub mod record;
pub mod serial;
pub mod server;
mod wire;
pub mod zone;
pub mod zonefile;

pub use answer::{Answered, Transport, answer};
pub use record::{Name, RData, RecordSet, RecordType, Soa};
pub use server::{BindError, Server};
pub use zone::{EmptyNonTerminals, Explanation, Step, Zone, ZoneError, ZoneSet};
