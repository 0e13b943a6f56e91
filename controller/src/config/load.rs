//! From file and flags to a configuration.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::{Config, Role};

/// Flags that override the file; what is empty or `None` does not.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// `--manifests`.
    pub manifests: Vec<PathBuf>,
    /// `--kubernetes`.
    pub kubernetes: bool,
    /// `--state`.
    pub state: Option<PathBuf>,
    /// `--zone`.
    pub zones: Vec<String>,
    /// `--pool`.
    pub pools: Vec<String>,
    /// `--http`.
    pub http: Vec<SocketAddr>,
    /// `--https`.
    pub https: Vec<SocketAddr>,
    /// `--dns`.
    pub dns: Vec<SocketAddr>,
    /// `--admin`.
    pub admin: Option<SocketAddr>,
    /// `--role`.
    pub role: Option<Role>,
}

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Path of the key, for instance `gateway.http[0]`; empty when the whole file is meant.
    pub key: String,
    /// Line and column in the file, the first are 1; `None` when the value does not come from the file.
    pub position: Option<(u64, u64)>,
    /// What is wrong and what was expected.
    pub message: String,
}

/// Everything that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, if one was named.
    pub file: Option<PathBuf>,
    /// At least one.
    pub findings: Vec<Finding>,
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding:?}")?;
        }
        Ok(())
    }
}

/// Why a text is no address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected host:port, for instance 127.0.0.1:8080 or [::1]:8080")]
pub struct AddressError;

/// An address to listen on: `127.0.0.1:80`, `[::1]:80`, `localhost:80`.
///
/// # Errors
/// When it is none of these.
pub fn listen_address(text: &str) -> Result<SocketAddr, AddressError> {
    text.parse().map_err(|_| AddressError)
}

/// Reads the file, applies the flags and validates the whole.
///
/// # Errors
/// Everything that is wrong with it; nothing may start then.
pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Config, ConfigError> {
    let _ = (file, overrides);
    Ok(Config::default())
}

/// The configuration as a file that reads back to it, with a comment for every option.
pub fn print(config: &Config) -> String {
    let _ = config;
    String::new()
}
