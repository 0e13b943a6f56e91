//! Keeps reading: a thread that waits for inotify, reads what changed and publishes the result. I/O and clock are here; what to read is decided in `store`,
//! when in `settle`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::watch;

use super::settle::{Changes, Settle};
use super::store::Store;
use super::{Read, SourceError};

/// Every so often all directories are looked through even without an event: not every file system tells of its changes.
const RESCAN: Duration = Duration::from_secs(60);

/// The same while directories cannot be watched, or a root is missing.
const RESCAN_BLIND: Duration = Duration::from_millis(500);

/// Manifests that are watched; dropping it ends the watch.
#[derive(Debug)]
pub struct Watched {
    /// The latest read; the first is there from the start.
    pub reads: watch::Receiver<Arc<Read>>,
    stop: Sender<Message>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        // A thread that is gone already needs no word.
        let _ = self.stop.send(Message::Stop);
    }
}

enum Message {
    Event(notify::Result<notify::Event>),
    Stop,
}

/// Reads directories and files, then keeps reading what changes. Blocking until the first read is done; needs no runtime.
///
/// # Errors
/// When one of `paths` does not exist or cannot be listed, and when the watching cannot be set up.
pub fn watch(paths: &[PathBuf]) -> Result<Watched, SourceError> {
    let (stop, messages) = mpsc::channel();
    let events = stop.clone();
    let watcher = notify::recommended_watcher(move |event| drop(events.send(Message::Event(event))))?;
    let mut watches = Watches { watcher, spelled: HashMap::new(), identities: BTreeMap::new(), failed: HashSet::new() };
    watches.parents(paths);
    let mut store = Store::new(paths);
    store.first(|directory| watches.enter(directory))?;
    watches.keep_only(store.directories());
    let (publish, reads) = watch::channel(Arc::new(store.read()));
    let worker = Worker { store, watches, settle: Settle::default(), publish };
    thread::Builder::new().name("manifests".into()).spawn(move || worker.run(&messages)).map_err(SourceError::Thread)?;
    Ok(Watched { reads, stop })
}

struct Worker {
    store: Store,
    watches: Watches,
    settle: Settle,
    publish: watch::Sender<Arc<Read>>,
}

impl Worker {
    fn run(mut self, messages: &Receiver<Message>) {
        let mut rescanned = Instant::now();
        loop {
            let blind = !self.watches.failed.is_empty() || self.store.lacks_root();
            let rescan = rescanned + if blind { RESCAN_BLIND } else { RESCAN };
            let due = self.settle.due().map_or(rescan, |due| due.min(rescan));
            match messages.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(Message::Event(event)) => self.note(event),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = Instant::now();
            if now >= rescan {
                self.settle.note_everything(now);
            }
            if now >= rescan || self.settle.due().is_some_and(|due| due <= now) {
                let changes = self.settle.take();
                if self.act(&changes) {
                    rescanned = Instant::now();
                }
            }
        }
    }

    fn note(&mut self, event: notify::Result<notify::Event>) {
        let now = Instant::now();
        match event {
            Ok(mut event) => {
                event.paths.iter_mut().for_each(|path| *path = self.watches.spell(path));
                event.paths.retain(|path| !path.as_os_str().is_empty());
                self.settle.note(&event, now);
            }
            // What was lost is not known.
            Err(error) => {
                tracing::warn!(%error, "watching manifests: looking through all directories");
                self.settle.note_everything(now);
            }
        }
    }

    /// Reads what changed and publishes it. Returns whether all directories were looked through.
    fn act(&mut self, changes: &Changes) -> bool {
        let everything = changes.everything || changes.paths.iter().any(|path| self.store.is_structural(path));
        let mut changed = false;
        // A path with an event is read even when it looks the same: two writes may fall into one tick of the file system's clock.
        for path in &changes.paths {
            changed |= self.store.refresh(path);
        }
        if everything {
            self.watches.failed.clear();
            changed |= self.store.rescan(|directory| self.watches.enter(directory));
            self.watches.keep_only(self.store.directories());
        }
        if changed {
            self.publish.send_replace(Arc::new(self.store.read()));
        }
        everything
    }
}

/// The directories that are watched: each one by itself, since only the scan knows which ones belong.
struct Watches {
    watcher: RecommendedWatcher,
    /// From the absolute path, which events name, to the path as it was given.
    spelled: HashMap<PathBuf, PathBuf>,
    identities: BTreeMap<PathBuf, (u64, u64)>,
    failed: HashSet<PathBuf>,
}

impl Watches {
    /// A root that is a link or a file is exchanged in its parent directory.
    fn parents(&mut self, roots: &[PathBuf]) {
        for root in roots {
            let Ok(absolute) = std::path::absolute(root) else { continue };
            self.spelled.insert(absolute.clone(), root.clone());
            if let Some(parent) = absolute.parent() {
                // Without it the root is still looked at now and then.
                let _ = self.watcher.watch(parent, RecursiveMode::NonRecursive);
            }
        }
    }

    /// Watches a directory; again after it was exchanged, which is the same call.
    fn enter(&mut self, directory: &Path) {
        let identity = std::fs::metadata(directory).map(|meta| super::scan::identity(&meta)).ok();
        if identity.is_some() && self.identities.get(directory) == identity.as_ref() {
            return;
        }
        let Ok(absolute) = std::path::absolute(directory) else { return };
        self.spelled.insert(absolute.clone(), directory.to_owned());
        match self.watcher.watch(&absolute, RecursiveMode::NonRecursive) {
            Ok(()) => {
                self.failed.remove(directory);
                self.identities.extend(identity.map(|identity| (directory.to_owned(), identity)));
            }
            Err(error) => {
                tracing::warn!(directory = %directory.display(), %error, "cannot watch; looking through it now and then instead");
                self.failed.insert(directory.to_owned());
            }
        }
    }

    /// Ends the watches of directories that no longer belong.
    fn keep_only(&mut self, directories: &BTreeMap<PathBuf, (u64, u64)>) {
        let gone: Vec<_> = self.identities.keys().filter(|path| !directories.contains_key(*path)).cloned().collect();
        for directory in gone {
            self.identities.remove(&directory);
            if let Ok(absolute) = std::path::absolute(&directory) {
                // The kernel ends the watch of a deleted directory by itself.
                let _ = self.watcher.unwatch(&absolute);
            }
        }
    }

    /// The path of an event as it would be spelled from the roots; empty when it belongs to none of them.
    fn spell(&self, path: &Path) -> PathBuf {
        if let Some(spelled) = self.spelled.get(path) {
            return spelled.clone();
        }
        let parent = path.parent().and_then(|parent| self.spelled.get(parent));
        parent.zip(path.file_name()).map_or_else(PathBuf::new, |(parent, name)| parent.join(name))
    }
}
