//! One file's bytes into objects and problems. Pure and total.

use std::path::Path;

use serde_json::Value;

use super::document::{self, Unreadable};
use super::finding::Findings;
use super::object::{Identity, Object};
use super::read_object::{Provenance, Verdict, read_object};
use super::split::{Chunk, split};
use crate::field::{self, Located};
use crate::problem::{Origin, Problem, Reason, Severity};

/// How many documents and list items one file may hold.
pub(super) const MAX_DOCUMENTS: usize = 50_000;

/// One document, or one item of a `List`.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// Where it stands.
    pub origin: Origin,
    /// What it is.
    pub outcome: Outcome,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
}

/// What a document is.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// An object.
    Object(Identity, Object),
    /// An object of another kind, as `apiVersion/kind`.
    Other(String),
    /// It cannot be taken; whose it is when that can be told.
    Broken(Option<Identity>),
}

/// What one file holds, in its order. Total over every input; `file` is only written into the results, its ending tells JSON from YAML.
pub fn parse(content: &[u8], file: &Path) -> Vec<Parsed> {
    let mut parser = Parser { file, parsed: Vec::new() };
    if file.extension().is_some_and(|extension| extension == "json") {
        for (chunk, value) in document::json(content) {
            parser.document(&chunk, value);
        }
    } else {
        for chunk in split(content) {
            if parser.is_full(&chunk) {
                break;
            }
            parser.document(&chunk, document::yaml(&chunk));
        }
    }
    parser.parsed
}

/// A file of which nothing can be told, as its only document.
pub(super) fn unreadable(file: &Path, message: String) -> Parsed {
    let origin = Origin { file: file.to_owned(), document: 1, item: 0, line: 1 };
    broken(origin, None, "", Reason::NotParsed, message)
}

fn broken(origin: Origin, identity: Option<Identity>, field: &str, reason: Reason, message: String) -> Parsed {
    let problem = Problem {
        severity: Severity::Error,
        object: identity.as_ref().map(Identity::reference),
        origin: Some(origin.clone()),
        field: field.to_owned(),
        reason,
        message,
    };
    Parsed { origin, outcome: Outcome::Broken(identity), problems: vec![problem] }
}

struct Parser<'a> {
    file: &'a Path,
    parsed: Vec<Parsed>,
}

impl Parser<'_> {
    fn is_full(&mut self, chunk: &Chunk<'_>) -> bool {
        let full = self.parsed.len() >= MAX_DOCUMENTS;
        if full {
            let message = format!("More than {MAX_DOCUMENTS} objects in one file; the rest is not read. Split the file.");
            self.parsed.push(broken(self.origin(chunk, 0), None, "", Reason::NotParsed, message));
        }
        full
    }

    fn origin(&self, chunk: &Chunk<'_>, item: usize) -> Origin {
        let blank = chunk.content.split_inclusive(|byte| *byte == b'\n').take_while(|line| line.trim_ascii().is_empty());
        Origin { file: self.file.to_owned(), document: chunk.document, item, line: chunk.line + blank.count() }
    }

    fn document(&mut self, chunk: &Chunk<'_>, value: Result<Value, Unreadable>) {
        match value {
            Err(Unreadable { line, message }) => {
                let origin = Origin { line, ..self.origin(chunk, 0) };
                self.parsed.push(broken(origin, document::salvage(chunk.content), "", Reason::NotParsed, message));
            }
            Ok(Value::Null) => {}
            Ok(value) => {
                let lines = Lines::new(*chunk);
                match items(&value) {
                    Some(items) => self.list(&lines, &value, items),
                    None => self.object(&lines, &value, 0),
                }
            }
        }
    }

    fn list(&mut self, lines: &Lines<'_>, list: &Value, items: &[Value]) {
        let item_kind = list["kind"].as_str().and_then(|kind| kind.strip_suffix("List")).filter(|kind| !kind.is_empty());
        for (index, item) in items.iter().enumerate() {
            if self.is_full(&lines.chunk) {
                return;
            }
            match (item_kind, item) {
                // Items of an IngressList need not say again what they are.
                (Some(kind), Value::Object(entries)) if !entries.contains_key("kind") => {
                    let mut entries = entries.clone();
                    entries.insert("kind".into(), kind.into());
                    entries.entry("apiVersion").or_insert_with(|| list["apiVersion"].clone());
                    self.object(lines, &Value::Object(entries), index + 1);
                }
                _ => self.object(lines, item, index + 1),
            }
        }
    }

    fn object(&mut self, lines: &Lines<'_>, value: &Value, item: usize) {
        let origin = self.origin(&lines.chunk, item);
        if !value.is_object() || (item > 0 && items(value).is_some()) {
            let message = format!("Expected an object with apiVersion, kind and metadata, found {}.", describe(value));
            self.parsed.push(broken(origin, None, "", Reason::NotParsed, message));
            return;
        }
        let mut found = Findings::default();
        let verdict = read_object(value, &Provenance::File(&origin), &mut found);
        let (outcome, reference) = match verdict {
            Verdict::Known(identity, object) => {
                let reference = identity.reference();
                (object.map_or_else(|| Outcome::Broken(Some(identity.clone())), |object| Outcome::Object(identity.clone(), object)), Some(reference))
            }
            Verdict::Other(kind) => (Outcome::Other(kind), None),
            Verdict::Nameless => (Outcome::Broken(None), None),
        };
        let problems =
            found.problems(reference.as_ref(), |field| Some(Origin { line: lines.line(item, field).unwrap_or(origin.line), ..origin.clone() }));
        self.parsed.push(Parsed { origin, outcome, problems });
    }
}

/// The items of a `List`, or of a list of one kind.
fn items(value: &Value) -> Option<&Vec<Value>> {
    value.get("kind")?.as_str()?.ends_with("List").then(|| value.get("items")?.as_array())?
}

fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a List inside of a List",
    }
}

/// Looks up lines of fields; the document is only read again when there is something to look up.
struct Lines<'a> {
    chunk: Chunk<'a>,
    located: std::cell::OnceCell<Option<Located>>,
}

impl<'a> Lines<'a> {
    const fn new(chunk: Chunk<'a>) -> Self {
        Self { chunk, located: std::cell::OnceCell::new() }
    }

    fn line(&self, item: usize, field: &str) -> Option<usize> {
        let located = self.located.get_or_init(|| Located::read(std::str::from_utf8(self.chunk.content).ok()?));
        let path = match item {
            0 => field.to_owned(),
            item => field::below(&format!("items[{}]", item - 1), field),
        };
        let line = located.as_ref()?.position(&path).line;
        Some(self.chunk.line + usize::try_from(line.saturating_sub(1)).ok()?)
    }
}

/// The documents of one file, each read at most once to find lines of fields in it.
pub(crate) struct FileLines<'a>(Vec<Lines<'a>>);

impl<'a> FileLines<'a> {
    /// Takes the file apart.
    pub(crate) fn new(content: &'a [u8], file: &Path) -> Self {
        Self(if file.extension().is_some_and(|extension| extension == "json") {
            document::json(content).into_iter().map(|(chunk, _)| Lines::new(chunk)).collect()
        } else {
            split(content).map(Lines::new).collect()
        })
    }

    /// The line of a field of the object that is this document, or this item of it.
    pub(crate) fn line(&self, document: usize, item: usize, field: &str) -> Option<usize> {
        self.0.get(document.checked_sub(1)?)?.line(item, field)
    }
}
