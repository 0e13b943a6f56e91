//! One write as requests to the API server, and what its answer means. No decisions.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams, Request};
use serde_json::{Value, json};

use super::FIELD_MANAGER;
use super::told::REPEAT;
use super::write::{EventWrite, Outcome, StatusWrite, Write};
use crate::addresses::{overwritten, status_addresses};
use crate::objects::ObjectKey;

/// After this time an answer is not waited for.
const TIMEOUT: Duration = Duration::from_secs(10);
/// `spec.reportingController` of Events.
const REPORTING_CONTROLLER: &str = "vrata";
/// Longest `reportingInstance` that API servers take, in bytes.
const LONGEST_INSTANCE: usize = 128;
/// Services in one answer to a list.
const PAGE: u32 = 500;

/// Carries out a write, and logs what went wrong.
pub(super) async fn carry_out(client: &Client, instance: &str, write: &Write, now: Timestamp) -> Outcome {
    let answer = async {
        match write {
            Write::Status(write) => apply(client, write).await,
            Write::Event(event) => tell(client, instance, event, now).await,
        }
    };
    let Ok(answer) = tokio::time::timeout(TIMEOUT, answer).await else { return Outcome::Unreachable };
    let Err(error) = answer else { return Outcome::Written };
    let outcome = outcome(&error);
    match &outcome {
        Outcome::Refused => tracing::error!(what = %name(write), %error, "the API server refuses a write; look at the permissions of this program"),
        Outcome::Unreachable => tracing::warn!(what = %name(write), %error, "the API server cannot be written to; trying again"),
        _ => tracing::debug!(what = %name(write), %error, "not written"),
    }
    outcome
}

fn name(write: &Write) -> String {
    match write {
        Write::Status(write) => format!("status of {} {}", write.target.kind.name(), write.target.key),
        Write::Event(event) => format!("Event {}/{}", event.namespace, event.name),
    }
}

async fn apply(client: &Client, write: &StatusWrite) -> kube::Result<()> {
    let kind = write.target.kind;
    let prefix = if kind.group().is_empty() { "/api" } else { "/apis" };
    let collection = format!("{prefix}/{}/namespaces/{}/{}", kind.api_version(), write.target.key.namespace, kind.plural());
    let parameters = PatchParams::apply(FIELD_MANAGER);
    let request = Request::new(collection).patch_subresource("status", &write.target.key.name, &parameters, &Patch::Apply(write.body()));
    client.request::<Value>(request.map_err(kube::Error::BuildRequest)?).await.map(drop)
}

async fn tell(client: &Client, instance: &str, event: &EventWrite, now: Timestamp) -> kube::Result<()> {
    let events = Request::new(format!("/apis/events.k8s.io/v1/namespaces/{}/events", event.namespace));
    if event.again {
        let get = events.get(&event.name, &kube::api::GetParams::default()).map_err(kube::Error::BuildRequest)?;
        match client.request::<Value>(get).await {
            Ok(told) => return tell_again(client, &events, event, &told, now).await,
            // Events are kept for a while only.
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    let body = serde_json::to_vec(&body(event, instance, now)).map_err(kube::Error::SerdeError)?;
    let create = events.create(&parameters(), body).map_err(kube::Error::BuildRequest)?;
    match client.request::<Value>(create).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        answer => answer.map(drop),
    }
}

/// One more of the series, unless another leader told it not long ago.
async fn tell_again(client: &Client, events: &Request, event: &EventWrite, told: &Value, now: Timestamp) -> kube::Result<()> {
    let last = told.pointer("/series/lastObservedTime").or_else(|| told.get("eventTime")).and_then(Value::as_str);
    let last = last.and_then(|time| time.parse::<Timestamp>().ok());
    if last.is_some_and(|last| now.duration_since(last) < REPEAT) {
        return Ok(());
    }
    let count = told.pointer("/series/count").and_then(Value::as_i64).unwrap_or(1).saturating_add(1);
    let series = json!({"series": {"count": count, "lastObservedTime": micro_time(now)}});
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let patch = events.patch(&event.name, &parameters, &Patch::Merge(series)).map_err(kube::Error::BuildRequest)?;
    client.request::<Value>(patch).await.map(drop)
}

fn parameters() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

fn body(event: &EventWrite, instance: &str, now: Timestamp) -> Value {
    let about = &event.regarding;
    let mut regarding = json!({"apiVersion": about.api_version, "kind": about.kind, "name": about.name});
    for (key, value) in [("namespace", &about.namespace), ("uid", &about.uid)] {
        if !value.is_empty() {
            regarding[key] = value.as_str().into();
        }
    }
    let instance = if instance.is_empty() { REPORTING_CONTROLLER } else { &instance[..instance.floor_char_boundary(LONGEST_INSTANCE)] };
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": event.name, "namespace": event.namespace},
        "eventTime": micro_time(now),
        "type": if event.warning { "Warning" } else { "Normal" },
        "reason": event.reason,
        "action": event.action,
        "note": event.note,
        "regarding": regarding,
        "reportingController": REPORTING_CONTROLLER,
        "reportingInstance": instance,
    })
}

/// API servers read exactly six digits.
fn micro_time(time: Timestamp) -> String {
    format!("{time:.6}")
}

fn outcome(error: &kube::Error) -> Outcome {
    let kube::Error::Api(status) = error else { return Outcome::Unreachable };
    match status.code {
        409 => {
            let causes = status.details.iter().flat_map(|details| &details.causes);
            let managers: Vec<String> = causes.filter(|cause| cause.reason == "FieldManagerConflict").map(|cause| manager(&cause.message)).collect();
            if managers.is_empty() { Outcome::Stale } else { Outcome::Conflict(distinct(managers)) }
        }
        404 => Outcome::Stale,
        401 | 408 | 429 | 500.. => Outcome::Unreachable,
        _ => Outcome::Refused,
    }
}

/// `conflict with "NAME" with subresource "status" using v1 at TIME`.
fn manager(message: &str) -> String {
    message.split('"').nth(1).unwrap_or(message).to_owned()
}

fn distinct(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names.dedup();
    names
}

/// Addresses in the status of all Services of type LoadBalancer as the API server has them at this moment, with the Services' versions.
pub(super) async fn held(client: &Client) -> kube::Result<Vec<(ObjectKey, String, Vec<IpAddr>)>> {
    let services: Api<Service> = Api::all(client.clone());
    let mut parameters = ListParams::default().limit(PAGE);
    let mut held = Vec::new();
    loop {
        let page = services.list(&parameters).await?;
        held.extend(page.items.into_iter().filter_map(|service| {
            let addresses: Vec<IpAddr> = status_addresses(&service).chain(overwritten(&service)).collect();
            let meta = service.metadata;
            let key = ObjectKey::new(meta.namespace?, meta.name?);
            (!addresses.is_empty()).then(|| (key, meta.resource_version.unwrap_or_default(), addresses))
        }));
        match page.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => parameters.continue_token = Some(next),
            None => return Ok(held),
        }
    }
}
