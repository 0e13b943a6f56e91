//! `vrata demo`: everything at once on loopback, with example applications, a local CA and a directory of examples.

mod backends;
mod platform;
mod tour;

pub use platform::{Authority, Platform, PlatformError, set_up};
pub use tour::render as tour;

use crate::config::{self, Config, ConfigError, Overrides};

pub(crate) use backends::start as start_backends;

/// The demo's configuration under these flags. Redirects name the HTTPS port that is listened on.
///
/// # Errors
/// What is wrong with the flags.
pub fn config(flags: &Overrides) -> Result<Config, ConfigError> {
    let mut config = config::complete(include_str!("config.yaml"), None, flags)?;
    if let Some(https) = config.gateway.https.first() {
        config.gateway.public_https_port = https.port();
    }
    Ok(config)
}
