//! What is wrong inside one object, before it is known whose it is. Pure.

use crate::problem::{Bound, ObjectRef, Origin, Problem, Reason, Severity};

/// Collects findings while one object is read.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

#[derive(Debug)]
pub(super) struct Finding {
    pub severity: Severity,
    pub field: String,
    pub reason: Reason,
    pub message: String,
}

impl Findings {
    /// The object cannot be taken as it is.
    pub(super) fn refuse(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.push(Severity::Error, field, Reason::InvalidField, message);
    }

    /// The object is taken, but something has no effect.
    pub(super) fn warn(&mut self, field: impl Into<String>, reason: Reason, message: impl Into<String>) {
        self.push(Severity::Warning, field, reason, message);
    }

    pub(super) fn push(&mut self, severity: Severity, field: impl Into<String>, reason: Reason, message: impl Into<String>) {
        self.0.push(Finding { severity, field: field.into(), reason, message: message.into() });
    }

    /// Takes over those of some fields.
    pub(super) fn adopt(&mut self, others: Self, of: impl Fn(&str) -> bool) {
        self.0.extend(others.0.into_iter().filter(|finding| of(&finding.field)));
    }

    /// Whether the object is refused.
    pub(super) fn refused(&self) -> bool {
        self.0.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// The findings as problems of an object, as many as people read; `origin` tells the origin for a field, where there is one.
    pub(super) fn problems(self, object: Option<&ObjectRef>, origin: impl Fn(&str) -> Option<Origin>) -> Vec<Problem> {
        let problem = |Finding { severity, field, reason, message }| Problem {
            severity,
            object: object.cloned(),
            origin: origin(&field),
            field,
            reason,
            message,
        };
        let mut bound = Bound::default();
        let mut problems: Vec<_> = self.0.into_iter().filter_map(|finding| bound.admit(problem(finding))).collect();
        problems.extend(bound.rest());
        problems
    }
}
