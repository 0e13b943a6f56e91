//! Keeps what was read last in the state directory, for a start while the API server is away.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::last;
use crate::source::Read;
use crate::state::{Durability, StateDir};

/// Time between two writes: so many times as long as the last one took, for everything is written, which is much in a large cluster; no shorter than the one
/// and no longer than the other.
const REST: u32 = 100;
const SHORTEST_REST: Duration = Duration::from_secs(5);
const LONGEST_REST: Duration = Duration::from_secs(60);

/// What an earlier run kept, if it did and it can be read.
pub(super) fn load(state: &StateDir) -> Option<Read> {
    let content = state.read(last::FILE).inspect_err(|error| tracing::warn!(%error, "what was read last cannot be read")).ok()??;
    last::read(&content).inspect_err(|error| tracing::warn!(%error, file = last::FILE, "what was read last cannot be understood")).ok()
}

/// Writes every read, or the latest of several.
pub(super) async fn keep(mut reads: watch::Receiver<Arc<Read>>, state: StateDir) {
    let mut kept: Option<Arc<Read>> = None;
    loop {
        let read = reads.borrow_and_update().clone();
        if !read.stale && kept.as_ref().is_none_or(|kept| kept.objects != read.objects) {
            let (state, writing) = (state.clone(), read.clone());
            let write = move || state.write(last::FILE, &last::write(&writing.objects), Durability::Synced);
            let begun = Instant::now();
            match tokio::task::spawn_blocking(write).await {
                Ok(Ok(())) => kept = Some(read),
                Ok(Err(error)) => tracing::warn!(%error, "what was read cannot be kept"),
                // The runtime ends.
                Err(_) => return,
            }
            sleep((begun.elapsed() * REST).clamp(SHORTEST_REST, LONGEST_REST)).await;
        }
        if reads.changed().await.is_err() {
            return;
        }
    }
}
