//! From an AdmissionReview to its answer. Pure.
//!
//! Denied is what the next pass would refuse for what stands in the object: hosts that its namespace may not have, annotations that are refused or cannot be
//! read where that closes routes, pools that are not for it. What time may mend (an address that is taken, a pool that is exhausted, the quota) is a warning,
//! and so is, at an update, what was wrong before: an object that is refused already can still be mended step by step. Whether what is named exists is left to
//! the pass: of a Secret that nothing named before, nothing is known here.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::compile::Pass;
use crate::problem::{Problem, Reason, Severity};
use crate::source::{self, Object, Outcome, Parsed};
use crate::status::{Basis, View};

/// The API that is spoken.
const API_VERSION: &str = "admission.k8s.io/v1";
/// Most warnings of one answer, and their longest length: the API server cuts off what is longer.
const MOST_WARNINGS: usize = 16;
const LONGEST_WARNING: usize = 250;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// It is no AdmissionReview with a request.
    #[error("no AdmissionReview of admission.k8s.io/v1 with a request: {0}")]
    Malformed(String),
    /// Nothing was decided yet.
    #[error("starting: the first snapshot is not served yet")]
    NotReady,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    api_version: String,
    request: Option<Request>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    uid: String,
    operation: String,
    #[serde(default)]
    sub_resource: Option<String>,
    #[serde(default)]
    object: Option<Value>,
    #[serde(default)]
    old_object: Option<Value>,
}

/// The answer to an AdmissionReview.
///
/// # Errors
/// When it is none, or when nothing was decided yet; the API server then does as the webhook's failurePolicy says.
pub fn review(body: &[u8], view: &View) -> Result<Value, ReviewError> {
    let review: Review = serde_json::from_slice(body).map_err(|error| ReviewError::Malformed(error.to_string()))?;
    let request = review.request.filter(|_| review.api_version == API_VERSION);
    let request = request.ok_or_else(|| ReviewError::Malformed(format!("apiVersion {:?}", review.api_version)))?;
    let problems = match (request.operation.as_str(), request.sub_resource.as_deref(), &request.object) {
        ("CREATE" | "UPDATE", None | Some(""), Some(object)) => judged(object, request.old_object.as_ref(), view)?,
        _ => Vec::new(),
    };
    let (refused, warned): (Vec<_>, Vec<_>) = problems.iter().partition(|problem| is_refusal(problem));
    let mut response = json!({"uid": request.uid, "allowed": refused.is_empty()});
    if !refused.is_empty() {
        let lines: Vec<_> = refused.iter().map(|problem| words(problem)).collect();
        response["status"] = json!({"code": 403, "reason": "Forbidden", "message": lines.join("\n")});
    }
    let warnings = warnings(&warned);
    if !warnings.is_empty() {
        response["warnings"] = json!(warnings);
    }
    Ok(json!({"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response}))
}

/// What is wrong with an object; errors that its old version had too are warnings.
fn judged(object: &Value, old: Option<&Value>, view: &View) -> Result<Vec<Problem>, ReviewError> {
    let pass = pass(view)?;
    let claimed = old.map(|old| claims(old, pass)).unwrap_or_default();
    let mut problems = judge(object, &claimed, pass);
    if let Some(old) = old.filter(|_| problems.iter().any(is_refusal)) {
        let before = judge(old, &claimed, pass);
        let was_there = |problem: &Problem| {
            before.iter().any(|old| (old.severity, old.reason, &old.message) == (problem.severity, problem.reason, &problem.message))
        };
        problems.iter_mut().filter(|problem| was_there(problem)).for_each(|problem| problem.severity = problem.severity.max(Severity::Warning));
    }
    Ok(problems)
}

/// What the last pass decided.
fn pass(view: &View) -> Result<Pass<'_>, ReviewError> {
    let basis = view.basis.as_ref().ok_or(ReviewError::NotReady)?;
    let Basis { settings, read, rules, standing } = basis;
    Ok(Pass { settings, objects: &read.objects, rules, report: &view.report, standing })
}

/// What the next pass would say of the object, which asked for the hosts in `claimed` before.
fn judge(object: &Value, claimed: &BTreeSet<String>, pass: Pass<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for parsed in parse(object) {
        problems.extend(parsed.problems);
        match parsed.outcome {
            Outcome::Object(identity, Object::Ingress(stored)) => problems.extend(pass.judge_ingress(&identity.key, &stored, claimed)),
            Outcome::Object(identity, Object::Service(stored)) => problems.extend(pass.judge_service(&identity.key, &stored, claimed)),
            _ => {}
        }
    }
    problems.retain(|problem| problem.reason != Reason::MissingReference);
    problems.sort();
    problems.dedup();
    problems
}

/// The hosts that an object asks for.
fn claims(object: &Value, pass: Pass<'_>) -> BTreeSet<String> {
    let hosts = |outcome| match outcome {
        Outcome::Object(identity, Object::Ingress(stored)) => pass.hosts_of_ingress(&identity.key, &stored),
        Outcome::Object(identity, Object::Service(stored)) => pass.hosts_of_service(&identity.key, &stored),
        _ => BTreeSet::new(),
    };
    parse(object).into_iter().flat_map(|parsed| hosts(parsed.outcome)).collect()
}

fn parse(object: &Value) -> Vec<Parsed> {
    source::parse(&serde_json::to_vec(&named(object)).unwrap_or_default(), Path::new("admission.json"))
}

/// The object with a name: one that the API server is still to make up is none yet.
fn named(object: &Value) -> Value {
    let mut object = object.clone();
    let metadata = &mut object["metadata"];
    if let (None | Some(""), Some(prefix)) = (metadata["name"].as_str(), metadata["generateName"].as_str()) {
        metadata["name"] = format!("{prefix}x").into();
    }
    object
}

/// Whether the problem is one for which the object is not let in.
fn is_refusal(problem: &Problem) -> bool {
    let of_others = matches!(
        problem.reason,
        Reason::InvalidSecret
            | Reason::SecretTaken
            | Reason::NoEndpoints
            | Reason::CertificateFailed
            | Reason::PoolExhausted
            | Reason::AddressTaken
            | Reason::QuotaExceeded
            | Reason::RecordConflict
    );
    problem.severity == Severity::Error && !of_others
}

fn words(problem: &Problem) -> String {
    let Problem { field, message, .. } = problem;
    if field.is_empty() { message.clone() } else { format!("{field}: {message}") }
}

fn warnings(problems: &[&Problem]) -> Vec<String> {
    let mut warnings: Vec<String> = problems.iter().take(MOST_WARNINGS).map(|problem| words(problem)).collect();
    for warning in warnings.iter_mut().filter(|warning| warning.len() > LONGEST_WARNING) {
        warning.truncate(warning.floor_char_boundary(LONGEST_WARNING));
        warning.push('…');
    }
    if problems.len() > MOST_WARNINGS {
        warnings.push(format!("and {} more", problems.len() - MOST_WARNINGS));
    }
    warnings
}

#[cfg(test)]
mod tests;
