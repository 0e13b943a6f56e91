//! Which files and directories there are, and what a file contains. I/O only; nothing is decided about contents.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How many files are read at most.
pub(super) const MAX_FILES: usize = 100_000;

/// How many directories deep is looked.
const MAX_DEPTH: usize = 64;

/// Tells versions of a file apart without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(meta: &Metadata) -> Self {
        Self { inode: identity(meta), length: meta.len(), modified: (meta.mtime(), meta.mtime_nsec()), changed: (meta.ctime(), meta.ctime_nsec()) }
    }
}

/// Tells a directory from another one of the same name.
pub(super) fn identity(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Manifests.
    pub files: BTreeMap<PathBuf, Stamp>,
    /// Directories that were listed, with what tells a directory from another one of the same name.
    pub directories: BTreeMap<PathBuf, (u64, u64)>,
    /// What could not be looked at.
    pub faults: BTreeMap<PathBuf, io::Error>,
    /// Whether there are more than [`MAX_FILES`].
    pub full: bool,
}

/// Looks through directories, recursively and in the order of names; links are followed, each real directory is looked through once.
pub(super) fn scan(roots: &[PathBuf], mut enter: impl FnMut(&Path)) -> Scan {
    let mut scan = Scan::default();
    let mut seen = HashSet::new();
    for root in roots {
        match fs::metadata(root) {
            Ok(meta) if meta.is_dir() => directory(root, &meta, 0, &mut scan, &mut seen, &mut enter),
            Ok(meta) => drop(scan.files.insert(root.clone(), Stamp::of(&meta))),
            Err(error) => drop(scan.faults.insert(root.clone(), error)),
        }
    }
    scan
}

fn directory(path: &Path, meta: &Metadata, depth: usize, scan: &mut Scan, seen: &mut HashSet<(u64, u64)>, enter: &mut impl FnMut(&Path)) {
    let identity = identity(meta);
    if depth > MAX_DEPTH || !seen.insert(identity) {
        return;
    }
    // The watch starts before the listing, so that nothing falls between them.
    enter(path);
    scan.directories.insert(path.to_owned(), identity);
    let names = fs::read_dir(path).and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>());
    let mut names = match names {
        Ok(names) => names,
        Err(error) => return drop(scan.faults.insert(path.to_owned(), error)),
    };
    names.sort();
    for path in names.iter().filter(|name| !is_hidden(name)).map(|name| path.join(name)) {
        match fs::metadata(&path) {
            Ok(meta) if meta.is_dir() => directory(&path, &meta, depth + 1, scan, seen, enter),
            Ok(meta) if meta.is_file() && is_manifest(&path) => {
                if scan.files.len() >= MAX_FILES {
                    scan.full = true;
                    return;
                }
                scan.files.insert(path, Stamp::of(&meta));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound && is_manifest(&path) => drop(scan.faults.insert(path, error)),
            // Neither manifest nor directory, or gone since the listing.
            _ => {}
        }
    }
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Whether the name is that of a manifest.
pub(super) fn is_manifest(path: &Path) -> bool {
    !path.file_name().is_none_or(is_hidden)
        && path.extension().and_then(|extension| extension.to_str()).is_some_and(|extension| ["yaml", "yml", "json"].contains(&extension))
}

/// A file's bytes.
///
/// # Errors
/// When it cannot be read, is no regular file or larger than [`super::MAX_FILE_BYTES`] ([`io::ErrorKind::FileTooLarge`]).
pub(super) fn content(path: &Path) -> io::Result<(Stamp, Vec<u8>)> {
    let file: File = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let limit = super::MAX_FILE_BYTES as u64;
    let mut content = Vec::new();
    file.take(limit + 1).read_to_end(&mut content)?;
    if content.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {} MiB", limit >> 20)));
    }
    Ok((Stamp::of(&meta), content))
}
