//! What survives a restart: certificates, account keys, orders under way and what is known of each certificate. Files below one directory.

use std::path::Path;

/// Why something cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// What was read or written.
        path: std::path::PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Another process uses the same directory.
    #[error("{0} is in use by another process")]
    InUse(std::path::PathBuf),
}

/// The store below a state directory.
pub struct Store {}

impl Store {
    /// Opens the store, and creates the directories that are missing (0700).
    ///
    /// # Errors
    /// When a directory cannot be created or read, or when another process has it open.
    pub fn open(state: &Path) -> Result<Self, StoreError> {
        let _ = state;
        Ok(Self {})
    }
}
