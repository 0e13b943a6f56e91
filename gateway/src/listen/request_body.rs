//! Ends an HTTP/2 request whose body stops coming, which Pingora waits for without end. Over HTTP/1.1 it has a timeout of its own.
//!
//! Each HTTP/2 request is a task. The filters say in it until when more of the body has to come; when that passes, the request is dropped, and with it
//! its stream is reset (CANCEL). The other streams of the connection go on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::H2Options;
use pingora_core::server::ShutdownWatch;
use prometheus::IntCounter;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

tokio::task_local! {
    static DEADLINE: Arc<Deadline>;
}

/// More of the body of this task's request has to come within `limit`.
pub(crate) fn awaited(limit: Duration) {
    let _ = DEADLINE.try_with(|deadline| deadline.set(Some(Instant::now() + limit)));
}

/// Nothing of the body is waited for any more.
pub(crate) fn ended() {
    let _ = DEADLINE.try_with(|deadline| deadline.set(None));
}

#[derive(Debug, Default)]
struct Deadline {
    at: Mutex<Option<Instant>>,
    is_set: Notify,
}

impl Deadline {
    fn set(&self, at: Option<Instant>) {
        let before = std::mem::replace(&mut *self.at.lock().unwrap_or_else(PoisonError::into_inner), at);
        if before.is_none() && at.is_some() {
            self.is_set.notify_one();
        }
    }

    /// Returns once it has passed. Moving it later wakes nobody.
    async fn passed(&self) {
        loop {
            let at = *self.at.lock().unwrap_or_else(PoisonError::into_inner);
            match at {
                None => self.is_set.notified().await,
                Some(at) if at <= Instant::now() => return,
                Some(at) => sleep_until(at).await,
            }
        }
    }
}

/// Serves HTTP/2 requests with `proxy`, each under its deadline.
pub(super) struct Timed<P> {
    pub(super) proxy: Arc<P>,
    pub(super) cut: IntCounter,
}

#[async_trait]
impl<P: HttpServerApp + Send + Sync + 'static> HttpServerApp for Timed<P> {
    async fn process_new_http(self: &Arc<Self>, session: ServerSession, shutdown: &ShutdownWatch) -> Option<ReusedHttpStream> {
        let deadline = Arc::new(Deadline::default());
        let served = DEADLINE.scope(Arc::clone(&deadline), self.proxy.process_new_http(session, shutdown));
        tokio::select! {
            biased;
            reused = served => reused,
            () = deadline.passed() => {
                self.cut.inc();
                tracing::debug!("a request body stopped coming");
                None
            }
        }
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.proxy.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.proxy.server_options()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn deadline_passes_unless_it_is_moved_or_taken_away() {
        let deadline = Deadline::default();
        let start = Instant::now();
        let moving = async {
            deadline.set(Some(start + 2 * SECOND));
            sleep_until(start + SECOND).await;
            deadline.set(Some(start + 4 * SECOND));
            sleep_until(start + 3 * SECOND).await;
            deadline.set(None);
            sleep_until(start + 100 * SECOND).await;
            deadline.set(Some(start + 101 * SECOND));
        };
        tokio::join!(deadline.passed(), moving);
        assert_eq!(start.elapsed(), 101 * SECOND);
    }
}
