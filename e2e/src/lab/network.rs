//! The lab's network namespace, and how a thread gets into it.

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};

/// A network namespace, by a process that lives in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Network {
    path: PathBuf,
}

impl Network {
    pub(super) fn of(process: i32) -> Self {
        Self { path: format!("/proc/{process}/ns/net").into() }
    }

    /// From now on this thread, and what it starts, sees the namespace's network.
    pub(super) fn enter(&self) -> Result<()> {
        let namespace = File::open(&self.path).with_context(|| format!("cannot open {}", self.path.display()))?;
        setns(namespace, CloneFlags::CLONE_NEWNET).with_context(|| format!("cannot enter {}; this needs root", self.path.display()))
    }
}
