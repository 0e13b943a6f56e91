//! Findings as people and programs read them: the text of `vrata check`, in the manner of a compiler, and its JSON. Pure.

use std::fmt::Write as _;

use serde::Serialize;

use crate::migration::{self, Migration};
use crate::problem::{Problem, Severity};

/// How findings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// For people.
    Text {
        /// Whether ANSI colours are used.
        colour: bool,
    },
    /// One JSON object: `{"problems": […], "errors": n, "warnings": n, "hints": n}`, and `"migration": {…}` for a cluster.
    Json,
}

impl Style {
    /// Text with colours when the output is a terminal and `NO_COLOR` (its value is the argument) is not set to something.
    pub fn text(terminal: bool, no_color: Option<&std::ffi::OsStr>) -> Self {
        Self::Text { colour: terminal && no_color.is_none_or(std::ffi::OsStr::is_empty) }
    }
}

/// Renders findings, sorted by file, document and line; those without a file come last. Text ends with a summary line.
pub fn render(problems: &[Problem], style: Style) -> String {
    render_with(problems, None, style)
}

/// The same with what would change for a cluster, which text has after the findings.
pub fn render_with(problems: &[Problem], migration: Option<&Migration>, style: Style) -> String {
    let mut sorted: Vec<_> = problems.iter().collect();
    sorted.sort_by(|a, b| (a.origin.is_none(), &a.origin, a).cmp(&(b.origin.is_none(), &b.origin, b)));
    let counts = Counts::of(problems);
    match style {
        Style::Json => json(&sorted, migration, counts),
        Style::Text { colour } => {
            let paint = Paint { colour };
            let mut text = String::new();
            sorted.iter().for_each(|problem| write_problem(&mut text, problem, paint));
            text += &migration.map(|migration| migration::text(migration, |heading| paint.bold(heading))).unwrap_or_default();
            text + &counts.summary(paint)
        }
    }
}

/// Whether a finding is an error, for the exit code.
pub fn has_errors(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Counts {
    errors: usize,
    warnings: usize,
    hints: usize,
}

impl Counts {
    fn of(problems: &[Problem]) -> Self {
        problems.iter().fold(Self::default(), |mut counts, problem| {
            match problem.severity {
                Severity::Error => counts.errors += 1,
                Severity::Warning => counts.warnings += 1,
                Severity::Hint => counts.hints += 1,
            }
            counts
        })
    }

    fn summary(self, paint: Paint) -> String {
        let count = |n: usize, word: &str| (n > 0).then(|| format!("{n} {word}{}", if n == 1 { "" } else { "s" }));
        let parts: Vec<_> = [count(self.errors, "error"), count(self.warnings, "warning"), count(self.hints, "hint")].into_iter().flatten().collect();
        if parts.is_empty() { paint.bold("No problems found.") + "\n" } else { paint.bold(&parts.join(", ")) + "\n" }
    }
}

fn json(problems: &[&Problem], migration: Option<&Migration>, counts: Counts) -> String {
    #[derive(Serialize)]
    struct Document<'a> {
        problems: &'a [&'a Problem],
        #[serde(flatten)]
        counts: Counts,
        #[serde(skip_serializing_if = "Option::is_none")]
        migration: Option<&'a Migration>,
    }
    let document = Document { problems, counts, migration };
    serde_json::to_string_pretty(&document).unwrap_or_else(|error| serde_json::json!({ "error": error.to_string() }).to_string()) + "\n"
}

fn write_problem(text: &mut String, problem: &Problem, paint: Paint) {
    let (wrong, help) = split_help(&problem.message);
    let _ = writeln!(text, "{}: {}", paint.severity(problem.severity), paint.bold(wrong));
    if let Some(origin) = &problem.origin {
        let item = if origin.item == 0 { String::new() } else { format!(", item {}", origin.item) };
        let place = format!("{}:{}", origin.file.display(), origin.line);
        let _ = writeln!(text, "  {} {place} (document {}{item})", paint.dim("-->"), origin.document);
    }
    let field = (!problem.field.is_empty()).then(|| problem.field.clone());
    let about: Vec<_> = [problem.object.as_ref().map(ToString::to_string), field].into_iter().flatten().collect();
    let reason = problem.reason.to_string();
    let about = if about.is_empty() { reason } else { format!("{} [{reason}]", about.join(", ")) };
    let _ = writeln!(text, "   {} {about}", paint.dim("|"));
    if let Some(help) = help {
        let _ = writeln!(text, "   {} {}: {help}", paint.dim("="), paint.bold("help"));
    }
    text.push('\n');
}

/// The first sentence says what is wrong, the others what to do.
fn split_help(message: &str) -> (&str, Option<&str>) {
    let end = message.match_indices(". ").find(|(at, _)| message[at + 2..].starts_with(char::is_uppercase)).map(|(at, _)| at);
    match end {
        Some(end) => (&message[..end], Some(&message[end + 2..])),
        None => (message.strip_suffix('.').unwrap_or(message), None),
    }
}

/// ANSI colours, or none.
#[derive(Clone, Copy)]
struct Paint {
    colour: bool,
}

impl Paint {
    fn wrap(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    fn dim(self, text: &str) -> String {
        self.wrap("34", text)
    }

    fn severity(self, severity: Severity) -> String {
        match severity {
            Severity::Error => self.wrap("1;31", "error"),
            Severity::Warning => self.wrap("1;33", "warning"),
            Severity::Hint => self.wrap("1;36", "hint"),
        }
    }
}

#[cfg(test)]
mod tests;
