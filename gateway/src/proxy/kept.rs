//! What one data plane keeps with a route: what it counted lately, and where the rest is. It is part of the route in memory, so that it is found at once.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::backend::BackendState;
use super::metrics::{Finished, Recent, Series};

/// What belongs to one route.
#[derive(Debug)]
pub(crate) struct RouteState {
    /// Its counters.
    pub(super) series: Arc<Series>,
    /// Its backend; none where it fails by configuration.
    pub(super) backend: Option<Arc<BackendState>>,
}

/// What one data plane keeps with a route for as long as the route lives, found without a search. Empty in a new route and in a copy; no part of what the
/// route says, so that routes are equal whatever is kept.
#[derive(Default)]
#[repr(C)]
pub struct Kept {
    state: OnceLock<RouteState>,
    recent: Recent,
}

impl Kept {
    /// Where its counters begin.
    #[cfg(test)]
    pub(crate) const COUNTERS: usize = std::mem::offset_of!(Self, recent);

    /// What is kept, made when there is nothing yet.
    pub(super) fn get_or_init(&self, make: impl FnOnce() -> RouteState) -> &RouteState {
        self.state.get_or_init(make)
    }

    /// What is kept, when there is something.
    pub(super) fn get(&self) -> Option<&RouteState> {
        self.state.get()
    }

    /// Counts a request that the route served.
    pub(super) fn record(&self, finished: &Finished<'_>) {
        if let Some(state) = self.get() {
            self.recent.record(finished, &state.series);
        }
    }

    /// Moves what was counted lately to the series, from which it is told.
    pub(super) fn collect(&self) {
        if let Some(state) = self.get() {
            self.recent.move_to(&state.series);
        }
    }
}

/// Nothing that was counted is lost with a route.
impl Drop for Kept {
    fn drop(&mut self) {
        self.collect();
    }
}

impl Clone for Kept {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Kept {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}
