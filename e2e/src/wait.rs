//! Waiting for a condition, never for a time.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

/// Between two looks.
const POLL: Duration = Duration::from_millis(20);

/// Long enough for a machine that is busy building something else.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Looks until `met` accepts what `look` sees, and gives that.
///
/// # Errors
/// After [`PATIENCE`], with what was seen last.
pub async fn eventually<T: Debug>(what: &str, mut look: impl AsyncFnMut() -> Result<T>, met: impl Fn(&T) -> bool) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = look().await;
        match seen {
            Ok(seen) if met(&seen) => return Ok(seen),
            seen if Instant::now() > deadline => bail!("{what}: not within {} s; last seen: {seen:?}", PATIENCE.as_secs()),
            _ => sleep(POLL).await,
        }
    }
}
