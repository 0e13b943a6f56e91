//! Objects from directories of manifests: parsing (pure), what a set of files amounts to (pure), reading and watching the files (thin). It decides nothing
//! about what the objects mean.
//!
//! ```text
//! files ── split ── document ── kinds + validate ──► Parsed ──┐
//!                                                             ├─► Tree (last good objects, duplicates) ──► Read
//! inotify ── settle ── scan (which files changed) ────────────┘
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::objects::Objects;
use crate::problem::Problem;

/// What the files hold at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Read {
    /// The last good version of every object.
    pub objects: Objects,
    /// What could not be read as it stands, in the order of files and documents.
    pub problems: Vec<Problem>,
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
    let _ = paths;
    Ok(Read::default())
}

/// Manifests that are watched; dropping it ends the watch.
#[derive(Debug)]
pub struct Watched {
    /// The latest read; the first is there from the start.
    pub reads: tokio::sync::watch::Receiver<Arc<Read>>,
}

/// Reads directories and files, then keeps reading what changes. Blocking until the first read is done; needs no runtime.
///
/// # Errors
/// As [`read`], and when the watching cannot be set up.
pub fn watch(paths: &[PathBuf]) -> Result<Watched, SourceError> {
    let (_, reads) = tokio::sync::watch::channel(Arc::new(read(paths)?));
    Ok(Watched { reads })
}

/// What one file holds: total over every input. `file` is only written into the results.
pub fn parse(content: &[u8], file: &Path) -> Vec<Parsed> {
    let _ = (content, file);
    Vec::new()
}

/// One document, or one item of a `List`.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {}
