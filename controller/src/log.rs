//! Where the program's own log goes, and what of it is left out.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// What is logged unless `VRATA_LOG` says otherwise. What any client or backend can cause has no place here: access log and metrics tell of it, a line a
/// request at most. Pingora has an error for each connection that a client drops within a request, and rustls a warning for each strange handshake. notify
/// warns of every watched directory that is removed, and kube's client of each attempt; whoever asks tells of the failure.
const LOGGED: &str = "info,pingora_core=error,pingora_core::apps=off,pingora_core::protocols::http=off,pingora_proxy=off,rustls=error,notify=error,\
                      kube_client::client::builder=off";

/// Logs to standard error from now on.
pub(crate) fn start() {
    let filter = EnvFilter::try_from_env("VRATA_LOG").unwrap_or_else(|_| LOGGED.into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).init();
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_clients_cause_in_libraries_is_left_out_and_what_we_say_is_not() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let writer = Arc::new(log.reopen().unwrap());
        let subscriber = tracing_subscriber::fmt().with_env_filter(EnvFilter::try_new(LOGGED).unwrap()).with_writer(writer).finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!(target: "pingora_proxy", "left out");
            tracing::error!(target: "pingora_core::apps", "left out");
            tracing::warn!(target: "pingora_core::protocols::http::v2::server", "left out");
            tracing::warn!(target: "rustls::common_state", "left out");
            tracing::warn!(target: "notify::inotify", "left out");
            tracing::error!(target: "pingora_core::connectors", "kept 1");
            tracing::warn!(target: "gateway::proxy", "kept 2");
            tracing::info!(target: "controller::run", "kept 3");
        });
        let text = std::fs::read_to_string(log.path()).unwrap();
        assert!(!text.contains("left out") && (1..=3).all(|at| text.contains(&format!("kept {at}"))), "{text}");
    }
}
