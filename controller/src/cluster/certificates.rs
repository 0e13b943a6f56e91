//! The status of cert-manager's Certificates, as cert-manager would write it. Pure.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::pass::Pass;
use super::subject::write;
use super::write::{StatusKind, StatusWrite};
use crate::compile::{CertificateReport, CertificateStatus};
use crate::objects::ObjectKey;
use crate::problem::{Problem, Severity};

/// Statuses that are not as they should be.
pub(super) fn wanted(pass: &Pass, now: Timestamp) -> impl Iterator<Item = StatusWrite> {
    let reports = pass.view.report.certificates.iter().filter(|_| pass.orders_known).filter_map(|report| Some((wanted_by(report)?, &**report)));
    let reports: HashMap<ObjectKey, &CertificateReport> = reports.collect();
    let mut refused: HashMap<ObjectKey, &Problem> = HashMap::new();
    for problem in pass.view.problems.iter().filter(|problem| problem.severity == Severity::Error) {
        if let Some(object) = problem.object.as_ref().filter(|object| &*object.kind == "Certificate") {
            refused.entry(ObjectKey::of(object)).or_insert(problem);
        }
    }
    pass.read.objects.certificates.iter().filter_map(move |(key, stored)| {
        let ready = reports.get(key).map(|report| of_report(report)).or_else(|| refused.get(key).map(|problem| of_problem(problem)))?;
        let current = &stored.object.status;
        (!ready.is_shown_by(current)).then(|| write(StatusKind::Certificate, key, stored, ready.status(current, now)))
    })
}

/// The Certificate that wants it, if one does.
pub(super) fn wanted_by(report: &CertificateReport) -> Option<ObjectKey> {
    let (namespace, name) = report.wanted_by.strip_prefix("Certificate ")?.split_once('/')?;
    Some(ObjectKey::new(namespace, name))
}

/// What the status says, but for when it came to be so.
struct Ready {
    is: bool,
    reason: String,
    message: String,
    not_after: Option<String>,
    renewal_time: Option<String>,
}

fn of_report(report: &CertificateReport) -> Ready {
    let (is, reason, message) = match report.status {
        CertificateStatus::Ready => (true, "Ready", "Certificate is up to date and has not expired"),
        CertificateStatus::RenewalFailing => (true, "RenewalFailing", "Certificate has not expired, but its renewal fails"),
        CertificateStatus::Issuing => (false, "Issuing", "Issuing certificate"),
        CertificateStatus::Failed => (false, "Failed", "The certificate could not be issued"),
    };
    let message = report.failure.as_ref().map_or_else(|| message.to_owned(), |failure| format!("{message}: {failure}"));
    let seconds = |time: Option<Timestamp>| time.map(|time| format!("{time:.0}"));
    // The time of the next attempt of a failed order moves with each attempt, and is no renewal.
    let renewal = if is { seconds(report.next_attempt) } else { None };
    Ready { is, reason: reason.to_owned(), message, not_after: seconds(report.not_after), renewal_time: renewal }
}

fn of_problem(problem: &Problem) -> Ready {
    let message = format!("{}: {}", problem.field, problem.message);
    Ready { is: false, reason: problem.reason.to_string(), message, not_after: None, renewal_time: None }
}

impl Ready {
    fn state(&self) -> &'static str {
        if self.is { "True" } else { "False" }
    }

    fn is_shown_by(&self, current: &Value) -> bool {
        let text = |at: &Value, key: &str| at.get(key).and_then(Value::as_str).map(str::to_owned);
        ready_of(current).is_some_and(|condition| {
            let says = |key: &str, value: &str| text(condition, key).as_deref() == Some(value);
            says("status", self.state()) && says("reason", &self.reason) && says("message", &self.message)
        }) && text(current, "notAfter") == self.not_after
            && text(current, "renewalTime") == self.renewal_time
    }

    fn status(&self, current: &Value, now: Timestamp) -> Value {
        let as_before = ready_of(current).filter(|condition| condition.get("status").and_then(Value::as_str) == Some(self.state()));
        let since = as_before.and_then(|condition| condition.get("lastTransitionTime")).cloned().unwrap_or_else(|| format!("{now:.0}").into());
        let condition = json!({"type": "Ready", "status": self.state(), "reason": self.reason, "message": self.message, "lastTransitionTime": since});
        let mut status = Map::new();
        status.insert("conditions".to_owned(), json!([condition]));
        for (key, time) in [("notAfter", &self.not_after), ("renewalTime", &self.renewal_time)] {
            status.extend(time.as_ref().map(|time| (key.to_owned(), time.as_str().into())));
        }
        status.into()
    }
}

fn ready_of(status: &Value) -> Option<&Value> {
    let conditions = status.get("conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().find(|condition| condition.get("type").and_then(Value::as_str) == Some("Ready"))
}
