//! Keeps what was read last in the state directory, for a start while the API server is away.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::last;
use crate::source::Read;
use crate::state::{Draft, StateDir, StateError};

/// How much is written at once, in bytes.
const PIECE: usize = 128 * 1024;

/// Rest after each piece: so many times as long as it took to make and to write, no longer than the other. In a large cluster all is a second of work, and
/// every replica begins with it at the same change: whoever serves that change must not wait for them.
const PIECE_REST: u32 = 9;
const LONGEST_PIECE_REST: Duration = Duration::from_millis(100);

/// Time between two writes: so many times as long as the last one took, no shorter than the one and no longer than the other.
const REST: u32 = 10;
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
    let dropped = CancellationToken::new();
    let _guard = dropped.clone().drop_guard();
    loop {
        let read = reads.borrow_and_update().clone();
        if !read.stale && kept.as_ref().is_none_or(|kept| kept.objects != read.objects) {
            let (state, writing, dropped) = (state.clone(), read.clone(), dropped.clone());
            let begun = Instant::now();
            match tokio::task::spawn_blocking(move || write(&writing, &state, dropped)).await {
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

/// Blocks for as long as it takes, or until nobody waits for it any more.
fn write(read: &Read, state: &StateDir, dropped: CancellationToken) -> Result<(), StateError> {
    let slowly = || {
        let slowly = Slowly { draft: state.draft(last::FILE)?, begun: Instant::now(), dropped };
        let mut pieces = BufWriter::with_capacity(PIECE, slowly);
        last::write(&read.objects, &mut pieces)?;
        pieces.into_inner()?.draft.finish()
    };
    slowly().map_err(|source| StateError::Unusable { path: state.path().join(last::FILE), source })
}

/// Writes to a draft, and rests after each write.
struct Slowly {
    draft: Draft,
    /// When the last rest ended.
    begun: Instant,
    dropped: CancellationToken,
}

impl Write for Slowly {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.dropped.is_cancelled() {
            return Err(io::Error::other("the program ends"));
        }
        self.draft.add(piece)?;
        std::thread::sleep((self.begun.elapsed() * PIECE_REST).min(LONGEST_PIECE_REST));
        self.begun = Instant::now();
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::source::kubernetes::mirror::Mirror;
    use crate::source::object::Kind;

    fn many() -> Read {
        let mut mirror = Mirror::default();
        let metadata = |n| json!({"name": format!("c{n}"), "namespace": "a", "uid": "u", "resourceVersion": "1", "labels": {"k": "v"}});
        let object = |n| json!({"metadata": metadata(n), "data": {"a": "b".repeat(1000)}});
        mirror.list(Kind::ConfigMap, (0..500).map(object).collect());
        mirror.read()
    }

    #[test]
    fn what_is_written_in_pieces_is_read_whole() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::open(directory.path()).unwrap();
        let read = many();
        write(&read, &state, CancellationToken::new()).unwrap();
        assert!(state.read(last::FILE).unwrap().unwrap().len() > 3 * PIECE);
        assert_eq!(load(&state).unwrap(), Read { stale: true, ..read });
    }

    #[test]
    fn nobody_waits_at_the_end_for_what_is_half_written() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::open(directory.path()).unwrap();
        let dropped = CancellationToken::new();
        dropped.cancel();
        assert!(write(&many(), &state, dropped).is_err());
        assert_eq!(load(&state), None);
    }
}
