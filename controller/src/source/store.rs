//! Keeps a [`Tree`] up to date with the files: reads what changed and nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::parse::{parse, unreadable};
use super::scan::{self, MAX_FILES, Scan, Stamp, is_manifest};
use super::tree::Tree;
use super::{Read, SourceError};

/// The files below some roots, as they were when they were last looked at.
#[derive(Debug)]
pub(super) struct Store {
    roots: Vec<PathBuf>,
    tree: Tree,
    stamps: HashMap<PathBuf, Stamp>,
    directories: BTreeMap<PathBuf, (u64, u64)>,
    /// Places that could not be looked at, shown as problems.
    faults: BTreeSet<PathBuf>,
}

impl Store {
    /// Nothing read yet.
    pub(super) fn new(roots: &[PathBuf]) -> Self {
        Self { roots: roots.to_vec(), tree: Tree::default(), stamps: HashMap::new(), directories: BTreeMap::new(), faults: BTreeSet::new() }
    }

    /// The first read, which every root has to be there for.
    pub(super) fn first(&mut self, enter: impl FnMut(&Path)) -> Result<(), SourceError> {
        let mut scan = scan::scan(&self.roots, enter);
        for path in &self.roots {
            if let Some(cause) = scan.faults.remove(path) {
                return Err(SourceError::Unreadable { path: path.clone(), cause });
            }
        }
        self.take(scan);
        Ok(())
    }

    /// Looks through all directories again and reads the files that are not as they were. Returns whether anything changed.
    pub(super) fn rescan(&mut self, enter: impl FnMut(&Path)) -> bool {
        let scan = scan::scan(&self.roots, enter);
        self.take(scan)
    }

    /// The directories that were found last, with what tells a directory from another one of the same name.
    pub(super) const fn directories(&self) -> &BTreeMap<PathBuf, (u64, u64)> {
        &self.directories
    }

    /// Whether a root is missing.
    pub(super) fn lacks_root(&self) -> bool {
        self.roots.iter().any(|root| self.faults.contains(root))
    }

    /// Whether a change of this path can only be understood by looking through all directories.
    pub(super) fn is_structural(&self, path: &Path) -> bool {
        self.directories.contains_key(path)
            || self.roots.iter().any(|root| root == path)
            || (!is_manifest(path) || !self.stamps.contains_key(path)) && fs::metadata(path).is_ok_and(|meta| meta.is_dir())
    }

    /// Reads one file again. Returns whether anything changed.
    pub(super) fn refresh(&mut self, path: &Path) -> bool {
        if !is_manifest(path) && !self.stamps.contains_key(path) {
            return false;
        }
        if self.stamps.len() >= MAX_FILES && !self.stamps.contains_key(path) {
            return false;
        }
        match scan::content(path) {
            Ok((stamp, content)) => {
                self.stamps.insert(path.to_owned(), stamp);
                self.set(path, &content)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.stamps.remove(path);
                self.tree.remove(path)
            }
            Err(error) => {
                if let Ok(meta) = fs::metadata(path) {
                    self.stamps.insert(path.to_owned(), Stamp::of(&meta));
                }
                self.fault(path, &error)
            }
        }
    }

    /// Everything, as a value.
    pub(super) fn read(&self) -> Read {
        self.tree.read()
    }

    fn take(&mut self, scan: Scan) -> bool {
        let Scan { files, directories, faults, full } = scan;
        self.directories = directories;
        let mut changed = self.take_faults(&faults, &files);
        let gone: Vec<_> = self.stamps.keys().filter(|path| !files.contains_key(*path) && !is_below(path, &faults, &self.roots)).cloned().collect();
        for path in gone {
            self.stamps.remove(&path);
            changed |= self.tree.remove(&path);
        }
        for (path, stamp) in files {
            if self.stamps.get(&path) != Some(&stamp) {
                changed |= self.refresh_found(&path, stamp);
            }
        }
        changed | self.take_full(full)
    }

    fn refresh_found(&mut self, path: &Path, stamp: Stamp) -> bool {
        // A root may have any name, and a file that cannot be read keeps its stamp so that it is not tried again before it changes.
        self.stamps.insert(path.to_owned(), stamp);
        self.refresh(path)
    }

    fn take_faults(&mut self, faults: &BTreeMap<PathBuf, io::Error>, files: &BTreeMap<PathBuf, Stamp>) -> bool {
        let healed: Vec<_> = self.faults.iter().filter(|path| !faults.contains_key(*path)).cloned().collect();
        let mut changed = false;
        for path in healed {
            self.faults.remove(&path);
            self.stamps.remove(&path);
            changed |= !files.contains_key(&path) && self.tree.remove(&path);
        }
        for (path, error) in faults {
            self.faults.insert(path.clone());
            changed |= self.fault(path, error);
        }
        changed
    }

    fn take_full(&mut self, full: bool) -> bool {
        // No file has the empty path.
        let place = Path::new("");
        if !full {
            return self.tree.remove(place);
        }
        let message = format!("There are more than {MAX_FILES} manifests; the rest is not read. Put several objects into one file.");
        self.tree.set(place, vec![unreadable(place, message)])
    }

    fn fault(&mut self, path: &Path, error: &io::Error) -> bool {
        if error.kind() == io::ErrorKind::NotFound && self.tree.gives(path) {
            self.tree.remove(path);
        }
        let stays = if self.tree.gives(path) { " What it gave before stays in use." } else { "" };
        self.tree.set(path, vec![unreadable(path, format!("Cannot be read: {error}.{stays}"))])
    }

    fn set(&mut self, path: &Path, content: &[u8]) -> bool {
        // A program that writes a file anew empties it first.
        if content.trim_ascii().is_empty() && self.tree.gives(path) {
            let message = "The file is empty. What it gave before stays in use until it is deleted or written.";
            return self.tree.set(path, vec![unreadable(path, message.into())]);
        }
        self.tree.set(path, parse(content, path))
    }
}

/// Whether the path is below a directory that is there and could not be listed; a root that is gone has taken its files with it.
fn is_below(path: &Path, faults: &BTreeMap<PathBuf, io::Error>, roots: &[PathBuf]) -> bool {
    let gone = |place: &PathBuf, error: &io::Error| error.kind() == io::ErrorKind::NotFound && roots.contains(place);
    faults.iter().any(|(place, error)| path.starts_with(place) && !gone(place, error))
}
