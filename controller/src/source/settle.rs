//! When to act on changes: soon, but not in the middle of a write. Pure; time is an argument.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RemoveKind};

/// Silence after which a set of changes is taken as complete.
const QUIET: Duration = Duration::from_millis(3);

/// The same while a file is still open for writing.
const QUIET_WHILE_OPEN: Duration = Duration::from_millis(50);

/// Longest wait, however many changes follow.
const LONGEST: Duration = Duration::from_millis(200);

/// Changes that wait to be acted on.
#[derive(Debug, Default)]
pub(super) struct Settle {
    changes: Changes,
    open: HashSet<PathBuf>,
    span: Option<(Instant, Instant)>,
}

/// What changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Paths that were written, renamed or removed.
    pub paths: HashSet<PathBuf>,
    /// Whether all directories have to be looked through.
    pub everything: bool,
}

impl Settle {
    /// An event came.
    pub(super) fn note(&mut self, event: &notify::Event, now: Instant) {
        if event.need_rescan() {
            return self.note_everything(now);
        }
        for path in &event.paths {
            match event.kind {
                EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
                    self.open.remove(path);
                    self.change(path, now);
                }
                EventKind::Access(_) => {}
                EventKind::Create(CreateKind::Folder) | EventKind::Remove(RemoveKind::Folder) => self.note_everything(now),
                EventKind::Create(_) | EventKind::Modify(ModifyKind::Data(_)) => {
                    self.open.insert(path.clone());
                    self.change(path, now);
                }
                _ => {
                    self.open.remove(path);
                    self.change(path, now);
                }
            }
        }
    }

    /// Something happened that no event tells in full.
    pub(super) fn note_everything(&mut self, now: Instant) {
        self.changes.everything = true;
        self.touch(now);
    }

    /// When to act; `None` when there is nothing to do.
    pub(super) fn due(&self) -> Option<Instant> {
        let quiet = if self.open.is_empty() { QUIET } else { QUIET_WHILE_OPEN };
        self.span.map(|(first, last)| (last + quiet).min(first + LONGEST))
    }

    /// The changes so far.
    pub(super) fn take(&mut self) -> Changes {
        self.span = None;
        self.open.clear();
        std::mem::take(&mut self.changes)
    }

    fn change(&mut self, path: &Path, now: Instant) {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        if name.starts_with(b"..") {
            // A mounted ConfigMap or Secret is exchanged as a whole, by renaming the link `..data`.
            self.note_everything(now);
        } else {
            self.changes.paths.insert(path.to_owned());
            self.touch(now);
        }
    }

    fn touch(&mut self, now: Instant) {
        let first = self.span.map_or(now, |(first, _)| first);
        self.span = Some((first, now));
    }
}
