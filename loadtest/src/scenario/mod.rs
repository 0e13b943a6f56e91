//! What is measured; each scenario fills one or more tables.

pub(crate) mod cluster;
pub(crate) mod dns;
pub(crate) mod http;
mod in_turn;
pub(crate) mod issue;
pub(crate) mod profile;
pub(crate) mod scale;
pub(crate) mod swaps;
pub(crate) mod webhook;
