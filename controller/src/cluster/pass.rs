//! What a pass hands over to be written, and what the administrator decided about it. Pure.

use std::sync::Arc;

use crate::addresses::Allocations;
use crate::compile::PublicAddresses;
use crate::config::Traffic;
use crate::source::Read;
use crate::status::View;

/// What one pass read and decided.
#[derive(Debug, Default)]
pub struct Pass {
    /// The objects.
    pub read: Arc<Read>,
    /// What became of them.
    pub view: Arc<View>,
    /// Who is to hold which address.
    pub allocations: Allocations,
    /// Where clients reach the gateway.
    pub public: PublicAddresses,
    /// Whether it is known how orders stand: a process that has just begun to lead has to ask first, and until then every certificate looks unissued.
    pub orders_known: bool,
}

/// What the administrator decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Who carries the traffic of allocated addresses.
    pub traffic: Traffic,
    /// Name of this replica, for Events.
    pub instance: String,
}
