//! What went wrong between us and an API server, in few classes, and how long to wait then. Pure; chance is an argument.

use std::time::Duration;

/// First wait after a failure.
const SHORTEST: Duration = Duration::from_millis(100);

/// Longest wait, unless the server asks for more.
const LONGEST: Duration = Duration::from_secs(15);

/// Longest wait that a server may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// Kinds of failures: a closed set, used as a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Class {
    /// No connection, or none that answers.
    Unreachable,
    /// No answer in time.
    Slow,
    /// The answer broke off.
    Cut,
    /// 401 or 403.
    Forbidden,
    /// 404: the kind is not served.
    NotFound,
    /// 410: the version that was asked for is too old.
    Gone,
    /// 429.
    Busy,
    /// 5xx.
    ServerError,
    /// Something else than what was asked for.
    BadData,
}

impl Class {
    /// All of them.
    pub(super) const ALL: [Self; 9] =
        [Self::Unreachable, Self::Slow, Self::Cut, Self::Forbidden, Self::NotFound, Self::Gone, Self::Busy, Self::ServerError, Self::BadData];

    /// As the metrics have it.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Slow => "slow",
            Self::Cut => "cut",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Gone => "gone",
            Self::Busy => "busy",
            Self::ServerError => "server_error",
            Self::BadData => "bad_data",
        }
    }

    /// Whether only a new list can mend it.
    pub(super) const fn wants_list(self) -> bool {
        matches!(self, Self::Gone | Self::BadData | Self::NotFound)
    }
}

/// One failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Which kind of failure.
    pub class: Class,
    /// For people.
    pub message: String,
    /// How long the server asks to wait.
    pub retry_after: Option<Duration>,
}

impl Fault {
    pub(super) fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), retry_after: None }
    }

    /// What an API server said.
    pub(super) fn of_status(status: &kube::core::Status) -> Self {
        let class = match status.code {
            401 | 403 => Class::Forbidden,
            404 => Class::NotFound,
            410 => Class::Gone,
            429 => Class::Busy,
            500.. => Class::ServerError,
            _ if status.reason == "Expired" || status.reason == "Gone" => Class::Gone,
            _ => Class::BadData,
        };
        let asked = status.details.as_ref().map(|details| details.retry_after_seconds).filter(|seconds| *seconds > 0);
        let retry_after = asked.map(|seconds| Duration::from_secs(u64::from(seconds)).min(LONGEST_ASKED));
        let text = if status.message.is_empty() { &status.reason } else { &status.message };
        Self { class, message: format!("{} {}", status.code, clip(text)), retry_after }
    }
}

impl From<kube::Error> for Fault {
    fn from(error: kube::Error) -> Self {
        let class = match &error {
            kube::Error::Api(status) => return Self::of_status(status),
            kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) | kube::Error::LinesCodecMaxLineLengthExceeded => Class::BadData,
            kube::Error::ReadEvents(_) => Class::Cut,
            kube::Error::Auth(_) => Class::Forbidden,
            _ => Class::Unreachable,
        };
        Self::new(class, causes(&error))
    }
}

/// The error with what caused it: the outermost only says that a request failed.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    clip(&text)
}

/// Proxies answer with whole pages.
fn clip(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    line.chars().take(300).collect()
}

/// How long to wait after so many failures in a row; `chance` is between 0 and 1.
pub(super) fn delay(failures: u32, chance: f64, asked: Option<Duration>) -> Duration {
    let doubled = SHORTEST.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX)).min(LONGEST);
    let spread = doubled.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
    asked.map_or(spread, |asked| asked.max(spread))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use kube::core::Status;

    use super::*;

    #[test]
    fn answers_fall_into_classes() {
        let table = [
            (401, "", Class::Forbidden),
            (403, "Forbidden", Class::Forbidden),
            (404, "NotFound", Class::NotFound),
            (410, "Expired", Class::Gone),
            (0, "Expired", Class::Gone),
            (429, "", Class::Busy),
            (500, "", Class::ServerError),
            (503, "", Class::ServerError),
            (400, "BadRequest", Class::BadData),
        ];
        for (code, reason, class) in table {
            assert_eq!(Fault::of_status(&Status::failure("no", reason).with_code(code)).class, class, "{code} {reason}");
        }
    }

    #[test]
    fn waits_grow_spread_and_end() {
        let millis = |failures, chance| delay(failures, chance, None).as_millis();
        assert_eq!([millis(1, 1.0), millis(2, 1.0), millis(3, 1.0), millis(3, 0.0)], [100, 200, 400, 200]);
        assert_eq!([millis(9, 1.0), millis(33, 1.0), millis(u32::MAX, 0.0)], [15_000, 15_000, 7_500]);
    }

    #[test]
    fn a_server_may_ask_for_more_time_but_not_for_ever() {
        let fault = |seconds: u32| {
            let text = serde_json::json!({"code": 429, "message": "wait", "details": {"retryAfterSeconds": seconds}});
            Fault::of_status(&serde_json::from_value::<Status>(text).unwrap())
        };
        assert_eq!(delay(1, 1.0, fault(7).retry_after), Duration::from_secs(7));
        assert_eq!((fault(0).retry_after, fault(100_000).retry_after), (None, Some(LONGEST_ASKED)));
    }
}
