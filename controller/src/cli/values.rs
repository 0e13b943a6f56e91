//! Values of flags. Pure.

use std::net::SocketAddr;

use crate::config;

/// Where a running vrata is asked by default.
pub(super) const ADMIN: &str = "127.0.0.1:9090";

/// An address to listen on, as flags and the configuration file write it.
pub(super) fn listen(text: &str) -> Result<SocketAddr, config::AddressError> {
    config::listen_address(text)
}
