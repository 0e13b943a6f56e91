//! All objects of a kind at one moment, page by page.

use std::time::Duration;

use kube::Client;
use kube::api::ListParams;
use kube::core::Request;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use super::fault::{Class, Fault};
use super::metrics::Meter;

/// Objects of one page.
const PAGE: u32 = 500;

/// Longest wait for a page, and for the beginning of a watch.
const ANSWER: Duration = Duration::from_secs(30);

/// A whole list.
#[derive(Debug)]
pub(super) struct Listed {
    /// The objects.
    pub items: Vec<Value>,
    /// The version that they are all of.
    pub version: String,
}

#[derive(Deserialize)]
struct Page {
    metadata: PageMeta,
    #[serde(default)]
    items: Option<Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMeta {
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    r#continue: String,
}

/// Asks for all objects that a field selector admits, or their metadata only.
pub(super) async fn list(
    client: &Client,
    request: &Request,
    field_selector: Option<String>,
    metadata_only: bool,
    meter: Option<&Meter>,
) -> Result<Listed, Fault> {
    let mut items = Vec::new();
    let mut params = ListParams { field_selector, ..ListParams::default().limit(PAGE) };
    loop {
        if let Some(meter) = meter {
            meter.list();
        }
        let page = page(client, request, &params, metadata_only).await?;
        if let Some(meter) = meter {
            meter.contact();
        }
        items.extend(page.items.unwrap_or_default());
        if page.metadata.r#continue.is_empty() {
            return Ok(Listed { items, version: page.metadata.resource_version });
        }
        params.continue_token = Some(page.metadata.r#continue);
    }
}

async fn page(client: &Client, request: &Request, params: &ListParams, metadata_only: bool) -> Result<Page, Fault> {
    let request = if metadata_only { request.list_metadata(params) } else { request.list(params) };
    let request = request.map_err(|error| Fault::new(Class::BadData, error.to_string()))?;
    // `Client::request` would log an answer that it cannot read, with the secrets in it.
    let text = timely(client.request_text(request)).await?;
    serde_json::from_str(&text).map_err(|error| Fault::new(Class::BadData, format!("the list cannot be read: {error}")))
}

/// An answer that comes in time.
pub(super) async fn timely<T>(answer: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Fault> {
    let late = || Fault::new(Class::Slow, format!("no answer within {} seconds", ANSWER.as_secs()));
    Ok(timeout(ANSWER, answer).await.map_err(|_| late())??)
}
