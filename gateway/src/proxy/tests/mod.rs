//! Requests through the whole data plane against real backends on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod client;
pub(in crate::proxy) mod front;
mod upstream;
mod whole;

mod balancing;
mod external_auth;
mod http2;
mod local;
mod observed;
mod passing;
mod refused;
mod streaming;
mod tunnel;
