//! Objects from directories of manifests, or from a cluster (`kubernetes/`): parsing (pure), what a set of files amounts to (pure), reading and watching the
//! files (thin). It decides nothing about what the objects mean.
//!
//! ```text
//! files ── split ── document ── kinds + validate ──► Parsed ──┐
//!                                                             ├─► Tree (last good objects, duplicates) ──► Read
//! inotify ── settle ── scan (which files changed) ────────────┘
//! ```

use std::path::PathBuf;

use crate::objects::Objects;
use crate::problem::Problem;

mod cert_manager_fields;
mod document;
mod finding;
pub mod kubernetes;
mod object;
mod parse;
mod read_object;
mod scan;
mod settle;
mod split;
mod store;
mod strict;
mod tree;
mod validate;
mod watch;

pub(crate) use document::{yaml_message, yaml_options};
pub(crate) use object::api_version_of;
pub use object::{Identity, Kind, Object};
pub(crate) use parse::FileLines;
pub use parse::{Outcome, Parsed, parse};
pub(crate) use strict::{Misfit, read_without};
pub(crate) use validate::is_subdomain;
pub use watch::{Watched, watch};

/// Namespace of objects that name none.
const DEFAULT_NAMESPACE: &str = "default";

/// Largest manifest file that is read.
const MAX_FILE_BYTES: usize = 8 * 1024 * 1024;

/// What the source holds at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Read {
    /// The last good version of every object.
    pub objects: Objects,
    /// What could not be read as it stands, in the order of files and documents.
    pub problems: Vec<Problem>,
    /// Whether it is what an earlier run read last, because the cluster cannot be asked.
    pub stale: bool,
}

/// Why manifests cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A directory or file that was named is not there or not readable.
    #[error("cannot read {}: {cause}", path.display())]
    Unreadable {
        /// What was named.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// No watch could be set up.
    #[error("cannot watch for changes: {0}")]
    Watch(#[from] notify::Error),
    /// The thread that watches could not be started.
    #[error("cannot start the thread that watches for changes: {0}")]
    Thread(std::io::Error),
}

/// Reads directories (recursively) and files once. Blocking.
///
/// # Errors
/// When one of `paths` does not exist or cannot be listed. What is wrong inside of files is in [`Read::problems`].
pub fn read(paths: &[PathBuf]) -> Result<Read, SourceError> {
    let mut store = store::Store::new(paths);
    store.first(|_| {})?;
    Ok(store.read())
}

#[cfg(test)]
mod tests;
