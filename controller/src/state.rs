//! The state directory: the only place this program writes. Files appear whole or not at all (write, fsync, rename); one process holds the directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::{Flock, FlockArg};

/// An open state directory, locked against other processes until the last clone is dropped.
#[derive(Debug, Clone)]
pub struct StateDir {
    root: PathBuf,
    _lock: Arc<Flock<File>>,
}

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be created or read.
    #[error("state directory {path}: {source}; give a directory that this user may write with --state or `state:`")]
    Unusable {
        /// The directory or the file in it.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has it.
    #[error("state directory {0} is in use by another vrata; stop it, or give each its own with --state")]
    InUse(PathBuf),
}

/// Whether a file has to survive the loss of power, or can be made again from what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Synced to the disk before it is seen.
    Synced,
    /// Only ever whole; it can be made again.
    Derived,
}

impl StateDir {
    /// Opens the directory, creating it (0700) when it is not there, and takes its lock.
    ///
    /// # Errors
    /// When it cannot be created, or another process holds it.
    pub fn open(root: &Path) -> Result<Self, StateError> {
        let unusable = |source| StateError::Unusable { path: root.to_owned(), source };
        create_dir(root).map_err(unusable)?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(root.join("lock")).map_err(unusable)?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| StateError::InUse(root.to_owned()))?;
        Ok(Self { root: root.to_owned(), _lock: Arc::new(lock) })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Reads a file; `None` when it is not there.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let path = self.root.join(name);
        match fs::read(&path) {
            Ok(content) => Ok(Some(content)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateError::Unusable { path, source }),
        }
    }

    /// Replaces a file (0600). `name` may have directories, which are created (0700).
    ///
    /// # Errors
    /// When it cannot be written; the old content then stays.
    pub fn write(&self, name: &str, content: &[u8], durability: Durability) -> Result<(), StateError> {
        let path = self.root.join(name);
        replace(&path, content, durability).map_err(|source| StateError::Unusable { path, source })
    }

    /// Begins to replace a file, as [`StateDir::write`] does at once. One at a time for a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn draft(&self, name: &str) -> io::Result<Draft> {
        Draft::begin(&self.root.join(name))
    }

    /// Removes a file; one that is not there is no error.
    ///
    /// # Errors
    /// When it is there and stays.
    pub fn remove(&self, name: &str) -> Result<(), StateError> {
        let path = self.root.join(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StateError::Unusable { path, source }),
            _ => Ok(()),
        }
    }

    /// Names of the files below a directory, relative to the state directory, sorted. Temporary files of an interrupted write are left out.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn list(&self, directory: &str) -> Result<Vec<String>, StateError> {
        let mut names = Vec::new();
        let root = self.root.join(directory);
        walk(&root, directory, &mut names).map_err(|source| StateError::Unusable { path: root, source })?;
        names.sort();
        Ok(names)
    }
}

fn walk(directory: &Path, prefix: &str, names: &mut Vec<String>) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        let name = format!("{prefix}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &name, names)?;
        } else if !name.ends_with(TEMPORARY) {
            names.push(name);
        }
    }
    Ok(())
}

const TEMPORARY: &str = ".tmp";

fn create_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// A file that is written piece by piece, and seen when it is whole. Dropped before, the old content stays, and the next draft begins anew.
#[derive(Debug)]
pub struct Draft {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
}

impl Draft {
    fn begin(path: &Path) -> io::Result<Self> {
        let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        create_dir(directory)?;
        let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        name.push(TEMPORARY);
        let temporary = directory.join(name);
        let file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&temporary)?;
        Ok(Self { file, temporary, path: path.to_owned() })
    }

    /// Adds to it, down to the disk: whoever else waits for the disk waits for no more than this.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        self.file.sync_data()
    }

    /// Replaces the file by what was written.
    ///
    /// # Errors
    /// When it cannot; the old content then stays.
    pub fn finish(self) -> io::Result<()> {
        self.finish_as(Durability::Synced)
    }

    fn finish_as(self, durability: Durability) -> io::Result<()> {
        if durability == Durability::Synced {
            self.file.sync_all()?;
        }
        fs::rename(&self.temporary, &self.path)?;
        match self.path.parent() {
            Some(directory) if durability == Durability::Synced => File::open(directory)?.sync_all(),
            _ => Ok(()),
        }
    }
}

fn replace(path: &Path, content: &[u8], durability: Durability) -> io::Result<()> {
    let mut draft = Draft::begin(path)?;
    draft.file.write_all(content)?;
    draft.finish_as(durability)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_draft_is_seen_when_it_is_finished() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::open(directory.path()).unwrap();
        state.write("a/b", b"old", Durability::Synced).unwrap();
        let begun = |pieces: &[&[u8]]| {
            let mut draft = state.draft("a/b").unwrap();
            pieces.iter().for_each(|piece| draft.add(piece).unwrap());
            draft
        };
        drop(begun(&[b"never, and longer than what comes next"]));
        let draft = begun(&[b"n", b"", b"ew"]);
        assert_eq!((state.read("a/b").unwrap().unwrap(), state.list("a").unwrap()), (b"old".to_vec(), vec!["a/b".to_owned()]));
        draft.finish().unwrap();
        assert_eq!(state.read("a/b").unwrap().unwrap(), b"new");
    }

    #[test]
    fn a_second_process_is_kept_out_until_the_first_ends() {
        let directory = tempfile::tempdir().unwrap();
        let first = StateDir::open(directory.path()).unwrap();
        assert!(matches!(StateDir::open(directory.path()), Err(StateError::InUse(_))));
        drop(first);
        StateDir::open(directory.path()).unwrap();
    }

    #[test]
    fn files_are_private_and_listed_without_leftovers() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::open(directory.path()).unwrap();
        state.write("status/a/x.json", b"1", Durability::Synced).unwrap();
        state.write("status/a/x.json", b"2", Durability::Derived).unwrap();
        fs::write(directory.path().join("status/a/y.json.tmp"), "torn").unwrap();
        assert_eq!(state.read("status/a/x.json").unwrap().unwrap(), b"2");
        assert_eq!(state.list("status").unwrap(), ["status/a/x.json"]);
        let mode = |name: &str| fs::metadata(directory.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("status/a"), mode("status/a/x.json")), (0o700, 0o600));
        state.remove("status/a/x.json").unwrap();
        state.remove("status/a/x.json").unwrap();
        assert_eq!(state.read("status/a/x.json").unwrap(), None);
    }
}
