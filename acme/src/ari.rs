//! Renewal advice (ARI, RFC 9773): asks the CA when a certificate should be renewed. An own request, because the library gives up on an answer
//! without `Retry-After` before it looks at it.

use std::time::SystemTime;

use http::StatusCode;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::HeldCertificate;
use crate::engine::Clock;
use crate::listed::listed;
use crate::renewal::{RenewalAdvice, Window, next_poll};
use crate::transport::{Directory, Transport, TransportError, retry_after};

/// Why there is no advice.
#[derive(Debug, thiserror::Error)]
enum AriError {
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error("status {0}")]
    Status(StatusCode),
    #[error("an answer that is not as RFC 9773 has it: {0}")]
    Answer(#[from] serde_json::Error),
    #[error("a time that is not as RFC 3339 has it: {0}")]
    Time(#[from] time::error::Parse),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RenewalInfo {
    suggested_window: SuggestedWindow,
    #[serde(rename = "explanationURL")]
    explanation_url: Option<String>,
}

#[derive(Deserialize)]
struct SuggestedWindow {
    start: String,
    end: String,
}

/// What the CA said.
#[derive(Default)]
struct Answer {
    window: Option<(SystemTime, SystemTime)>,
    explanation_url: Option<String>,
    retry_after: Option<SystemTime>,
}

/// Asks for advice about a certificate, and makes what is to be kept of it. `chance` (0 to 1) draws the time in the window.
pub(crate) async fn ask(
    transport: &Transport,
    server: &str,
    certificate: &HeldCertificate,
    before: Option<&RenewalAdvice>,
    (clock, chance): (&Clock, f64),
) -> RenewalAdvice {
    let answer = fetch(transport, server, certificate, clock).await;
    let before = before.filter(|before| before.not_after == certificate.not_after);
    let now = clock();
    match answer {
        Ok(answer) => {
            let drawn = before.and_then(|before| before.window);
            let window = answer.window.and_then(|(start, end)| Window::draw(start, end, drawn, chance));
            let next_poll = next_poll(now, answer.retry_after, 0, chance);
            RenewalAdvice { not_after: certificate.not_after, window, next_poll, failures: 0, explanation_url: answer.explanation_url }
        }
        Err(error) => {
            tracing::warn!(server, names = %listed(&certificate.names), %error, "no renewal advice");
            let failures = before.map_or(0, |before| before.failures).saturating_add(1);
            RenewalAdvice {
                not_after: certificate.not_after,
                window: before.and_then(|before| before.window),
                next_poll: next_poll(now, None, failures, chance),
                failures,
                explanation_url: None,
            }
        }
    }
}

async fn fetch(transport: &Transport, server: &str, certificate: &HeldCertificate, clock: &Clock) -> Result<Answer, AriError> {
    let directory: Directory = serde_json::from_slice(good(transport.get(server, "directory").await?)?.body())?;
    let (Some(url), Some(identifier)) = (directory.renewal_info, certificate.ari_identifier()) else { return Ok(Answer::default()) };
    let response = good(transport.get(&format!("{}/{identifier}", url.trim_end_matches('/')), "renewal_info").await?)?;
    let info: RenewalInfo = serde_json::from_slice(response.body())?;
    let window = (read_time(&info.suggested_window.start)?, read_time(&info.suggested_window.end)?);
    let retry_after = retry_after(response.headers(), clock());
    Ok(Answer { window: Some(window), explanation_url: info.explanation_url, retry_after })
}

fn good(response: http::Response<bytes::Bytes>) -> Result<http::Response<bytes::Bytes>, AriError> {
    if response.status() == StatusCode::OK { Ok(response) } else { Err(AriError::Status(response.status())) }
}

fn read_time(text: &str) -> Result<SystemTime, time::error::Parse> {
    OffsetDateTime::parse(text, &Rfc3339).map(SystemTime::from)
}
