//! HTTPS to a CA: the client that instant-acme sends its requests through. It adds what the library lacks: time limits, a bound on bodies, our
//! name, the issuer's own roots, counts, and what the library does not pass on (status, `Retry-After`, `Location`).

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{LOCATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;

use crate::engine::Clock;
use crate::metrics::Metrics;

const NAME: &str = concat!("vrata/", env!("CARGO_PKG_VERSION"));
/// A request and its whole answer, connecting included.
const LONGEST_EXCHANGE: Duration = Duration::from_secs(30);
const LONGEST_CONNECT: Duration = Duration::from_secs(10);
/// No answer of a CA is larger; a long chain has some 20 KiB.
const LARGEST_BODY: usize = 1024 * 1024;

/// Why a CA could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    /// The issuer's bundle has no certificate that can be trusted.
    #[error("caBundle: no usable certificate in PEM form")]
    Bundle,
    /// The system's roots cannot be used.
    #[error("the system's root certificates cannot be used: {0}")]
    SystemRoots(#[source] std::io::Error),
    /// The TLS library refused its own defaults.
    #[error("TLS: {0}")]
    Tls(#[source] rustls::Error),
    /// No connection, or it broke.
    #[error("cannot reach {authority}: {reason}")]
    Unreachable {
        /// Host and port.
        authority: String,
        /// The causes, outermost first.
        reason: String,
    },
    /// No answer in time.
    #[error("{authority} did not answer within {} s", LONGEST_EXCHANGE.as_secs())]
    Late {
        /// Host and port.
        authority: String,
    },
    /// The answer broke off or is too large.
    #[error("the answer of {authority} cannot be read: {reason}")]
    Body {
        /// Host and port.
        authority: String,
        /// Why.
        reason: String,
    },
    /// The URL is none.
    #[error("{0:?} is not a URL")]
    Url(String),
}

/// Connections to CAs that are verified with one set of roots.
#[derive(Clone)]
pub(crate) struct Transport {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    metrics: Metrics,
    clock: Clock,
}

impl Transport {
    /// Connections that trust the bundle (PEM), or the system's roots.
    pub(crate) fn new(ca_bundle: Option<&str>, metrics: Metrics, clock: Clock) -> Result<Self, TransportError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = match ca_bundle {
            Some(bundle) => HttpsConnectorBuilder::new().with_tls_config(trusting(bundle, provider)?),
            None => HttpsConnectorBuilder::new().with_provider_and_platform_verifier(provider).map_err(TransportError::SystemRoots)?,
        };
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(LONGEST_CONNECT));
        let connector = builder.https_only().enable_http1().wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).pool_idle_timeout(LONGEST_EXCHANGE).build(connector);
        Ok(Self { client, metrics, clock })
    }

    /// One request without a signature.
    pub(crate) async fn get(&self, url: &str, endpoint: &'static str) -> Result<Response<Bytes>, TransportError> {
        let request = Request::builder().method(Method::GET).uri(url).body(Full::default()).map_err(|_| TransportError::Url(url.to_owned()))?;
        self.exchange(request, endpoint).await
    }

    async fn exchange(&self, mut request: Request<Full<Bytes>>, endpoint: &'static str) -> Result<Response<Bytes>, TransportError> {
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(NAME));
        let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let answer = tokio::time::timeout(LONGEST_EXCHANGE, self.send(request, &authority)).await;
        let answer = answer.unwrap_or(Err(TransportError::Late { authority }));
        self.metrics.request(endpoint, answer.as_ref().ok().map(Response::status));
        answer
    }

    async fn send(&self, request: Request<Full<Bytes>>, authority: &str) -> Result<Response<Bytes>, TransportError> {
        let sent = self.client.request(request).await;
        let (parts, body) =
            sent.map_err(|error| TransportError::Unreachable { authority: authority.to_owned(), reason: causes(&error) })?.into_parts();
        let body = Limited::new(body, LARGEST_BODY).collect().await;
        let body = body.map_err(|error| TransportError::Body { authority: authority.to_owned(), reason: causes(error.as_ref()) })?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    }
}

fn trusting(bundle: &str, provider: Arc<rustls::crypto::CryptoProvider>) -> Result<rustls::ClientConfig, TransportError> {
    let mut roots = rustls::RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(CertificateDer::pem_slice_iter(bundle.as_bytes()).filter_map(Result::ok));
    if added == 0 {
        return Err(TransportError::Bundle);
    }
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(TransportError::Tls)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// An error with its causes: the outermost alone rarely says anything.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let mut said: Vec<String> = chain.map(ToString::to_string).collect();
    said.dedup();
    said.join(": ")
}

/// The time that `Retry-After` names (RFC 9110 section 10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<SystemTime> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match value.parse::<u32>() {
        Ok(seconds) => Some(now + Duration::from_secs(seconds.into())),
        Err(_) => httpdate::parse_http_date(value).ok(),
    }
}

/// What a directory lists (RFC 8555 section 7.1.1, RFC 9773 section 4).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Directory {
    new_account: String,
    new_order: String,
    /// Where renewal advice is given, by a CA that gives any.
    pub(crate) renewal_info: Option<String>,
}

/// What the last answer said beside its body.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastAnswer {
    /// Status; `None` when there was no answer.
    pub(crate) status: Option<StatusCode>,
    /// When to ask again.
    pub(crate) retry_after: Option<SystemTime>,
    /// The URL of what was created.
    pub(crate) location: Option<String>,
}

/// The requests of one attempt, in a row, so that what an answer said belongs to the call that was just made.
#[derive(Clone)]
pub(crate) struct Session {
    transport: Transport,
    directory_url: Arc<str>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    last: LastAnswer,
    endpoints: BTreeMap<String, &'static str>,
}

impl Session {
    /// A session with the CA that has this directory.
    pub(crate) fn new(transport: Transport, directory_url: &str) -> Self {
        Self { transport, directory_url: directory_url.into(), seen: Arc::default() }
    }

    /// What the last answer said.
    pub(crate) fn last(&self) -> LastAnswer {
        self.seen().last.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The request's place in the metrics.
    fn endpoint(&self, request: &Request<BodyWrapper<Bytes>>) -> &'static str {
        let url = request.uri().to_string();
        match *request.method() {
            Method::HEAD => "nonce",
            Method::GET => "directory",
            _ => self.seen().endpoints.get(&url).copied().unwrap_or("resource"),
        }
    }

    async fn exchange(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, instant_acme::Error> {
        let endpoint = self.endpoint(&request);
        let is_directory = request.method() == Method::GET && *request.uri() == *self.directory_url;
        self.seen().last = LastAnswer::default();
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap_or_else(|never| match never {}).to_bytes();
        let sent = self.transport.exchange(Request::from_parts(parts, Full::new(body)), endpoint).await;
        let response = sent.map_err(|error| instant_acme::Error::Other(Box::new(error)))?;
        self.remember(&response, is_directory);
        Ok(BytesResponse::from(response.map(Full::new)))
    }

    fn remember(&self, response: &Response<Bytes>, is_directory: bool) {
        let (headers, now) = (response.headers(), (self.transport.clock)());
        let location = headers.get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut seen = self.seen();
        seen.last = LastAnswer { status: Some(response.status()), retry_after: retry_after(headers, now), location };
        if is_directory && let Ok(directory) = serde_json::from_slice::<Directory>(response.body()) {
            seen.endpoints = BTreeMap::from([(directory.new_account, "account"), (directory.new_order, "order")]);
        }
    }
}

impl HttpClient for Session {
    fn request(&self, request: Request<BodyWrapper<Bytes>>) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        Box::pin(self.clone().exchange(request))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::retry_after;
    use http::{HeaderMap, HeaderValue};
    use std::time::{Duration, SystemTime};

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        let rows =
            [("5", at(1005)), (" 0 ", at(1000)), ("Thu, 01 Jan 1970 01:00:00 GMT", at(3600)), ("soon", None), ("-1", None), ("99999999999", None)];
        for (value, expected) in rows {
            let headers = HeaderMap::from_iter([(http::header::RETRY_AFTER, HeaderValue::from_str(value).unwrap())]);
            assert_eq!(retry_after(&headers, now), expected, "{value}");
        }
    }
}
