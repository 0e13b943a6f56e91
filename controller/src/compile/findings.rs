//! Collects problems while compiling. Pure.

use std::collections::HashMap;

use crate::objects::Stored;
use crate::problem::{Bound, ObjectRef, Origin, Problem, Reason, Severity};

/// Whose problem it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// The object.
    pub(crate) reference: &'a ObjectRef,
    /// Where it was read.
    pub(crate) origin: Option<&'a Origin>,
}

impl<'a, T> From<&'a Stored<T>> for Subject<'a> {
    fn from(stored: &'a Stored<T>) -> Self {
        Self { reference: &stored.reference, origin: stored.origin.as_ref() }
    }
}

/// Problems so far, of each object as many as people read.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    problems: Vec<Problem>,
    bounds: HashMap<ObjectRef, Bound>,
}

impl Findings {
    /// Something is not served as it was asked for.
    pub(crate) fn error<'a>(&mut self, subject: impl Into<Subject<'a>>, field: impl Into<String>, reason: Reason, message: impl Into<String>) {
        self.push(Severity::Error, subject.into(), field.into(), reason, message.into());
    }

    /// It is served, but looks like a mistake.
    pub(crate) fn warning<'a>(&mut self, subject: impl Into<Subject<'a>>, field: impl Into<String>, reason: Reason, message: impl Into<String>) {
        self.push(Severity::Warning, subject.into(), field.into(), reason, message.into());
    }

    /// Worth knowing.
    pub(crate) fn hint<'a>(&mut self, subject: impl Into<Subject<'a>>, field: impl Into<String>, reason: Reason, message: impl Into<String>) {
        self.push(Severity::Hint, subject.into(), field.into(), reason, message.into());
    }

    /// Adds a problem.
    pub(crate) fn push(&mut self, severity: Severity, subject: Subject<'_>, field: String, reason: Reason, message: String) {
        let problem = Problem { severity, object: Some(subject.reference.clone()), origin: subject.origin.cloned(), field, reason, message };
        let admitted = match self.bounds.get_mut(subject.reference) {
            Some(bound) => bound.admit(problem),
            None => self.bounds.entry(subject.reference.clone()).or_default().admit(problem),
        };
        self.problems.extend(admitted);
    }

    /// All of them, sorted, each once.
    pub(crate) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.extend(self.bounds.into_values().filter_map(Bound::rest));
        self.problems.sort_unstable();
        self.problems.dedup();
        self.problems
    }
}

/// The field of an annotation.
pub(crate) fn annotation(key: &str) -> String {
    format!("metadata.annotations[{key}]")
}
