//! One document's text into a JSON value, and what can be told of a document that is none. Pure.

use serde_json::Value;
use serde_saphyr::{Options, UserMessageFormatter};

use super::object::{Identity, Kind};
use super::split::Chunk;
use crate::objects::ObjectKey;

/// Why a document is no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreadable {
    /// Line of the file.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// The limits within which YAML is read: they bound time and memory for every input (aliases, nesting, documents).
pub(crate) fn yaml_options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: 1,
            max_depth: 100,
            max_nodes: 1_000_000,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_total_scalar_bytes: super::MAX_FILE_BYTES,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 100_000, max_replay_stack_depth: 16 },
        with_snippet: false,
        emit_comments: false,
    }
}

/// Reads a YAML document.
pub(super) fn yaml(chunk: &Chunk<'_>) -> Result<Value, Unreadable> {
    let text = match std::str::from_utf8(chunk.content) {
        Ok(text) => text,
        Err(error) => {
            let before = &chunk.content[..error.valid_up_to()];
            return Err(Unreadable { line: chunk.line + lines(before), message: "Not UTF-8. Save the file as UTF-8.".into() });
        }
    };
    serde_saphyr::from_str_with_options(text, yaml_options()).map_err(|error| explain(&error, chunk.line))
}

/// What the YAML reader says, with lines of the file instead of the document.
fn explain(error: &serde_saphyr::Error, first_line: usize) -> Unreadable {
    let message = yaml_message(error);
    match error.location() {
        Some(location) => Unreadable {
            line: first_line + usize::try_from(location.line().saturating_sub(1)).unwrap_or(0),
            message: format!("Not YAML: {message} (column {}).", location.column()),
        },
        None => Unreadable { line: first_line, message: format!("Not YAML: {message}.") },
    }
}

/// What the YAML reader says, without the place and without an excerpt.
pub(crate) fn yaml_message(error: &serde_saphyr::Error) -> String {
    let message = error.without_snippet().render_with_formatter(&UserMessageFormatter);
    match error.location() {
        Some(location) => message.replace(&format!(" at line {}, column {}", location.line(), location.column()), ""),
        None => message,
    }
}

/// Reads a JSON file: one value or several, one after the other.
pub(super) fn json(content: &[u8]) -> Vec<(Chunk<'_>, Result<Value, Unreadable>)> {
    let mut values = serde_json::Deserializer::from_slice(content).into_iter::<Value>();
    let mut found = Vec::new();
    loop {
        let start = values.byte_offset();
        let start = start + content[start..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let Some(value) = values.next() else { return found };
        let chunk =
            Chunk { document: found.len() + 1, line: 1 + lines(&content[..start]), content: &content[start..values.byte_offset().max(start)] };
        match value {
            Ok(value) => found.push((chunk, Ok(value))),
            Err(error) => {
                let chunk = Chunk { content: &content[start..], ..chunk };
                found.push((chunk, Err(Unreadable { line: error.line().max(1), message: format!("Not JSON: {error}.") })));
                return found;
            }
        }
    }
}

fn lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

/// Kind, namespace and name of a document that could not be read, as far as its lines show them: top-level `kind:` and what is directly below `metadata:`.
pub(super) fn salvage(content: &[u8]) -> Option<Identity> {
    let text = String::from_utf8_lossy(content);
    let (mut kind, mut namespace, mut name) = (None, None, None);
    let (mut in_metadata, mut indent) = (false, None);
    for line in text.lines() {
        let inner = line.trim_start();
        let depth = line.len() - inner.len();
        let Some((key, value)) = inner.split_once(':') else { continue };
        let value = scalar(value);
        if depth == 0 {
            in_metadata = key == "metadata";
            kind = if key == "kind" { Kind::named(value) } else { kind };
        } else if in_metadata && *indent.get_or_insert(depth) == depth {
            match key {
                "name" => name = Some(value),
                "namespace" => namespace = Some(value),
                _ => {}
            }
        }
    }
    let (kind, name) = (kind?, name.filter(|name| super::validate::is_subdomain(name))?);
    let namespace = if kind.is_namespaced() { namespace.unwrap_or(super::DEFAULT_NAMESPACE) } else { "" };
    Some(Identity { kind, key: ObjectKey::new(namespace, name) })
}

/// A plain or quoted scalar on one line, without its comment.
fn scalar(text: &str) -> &str {
    let text = text.split(" #").next().unwrap_or_default().trim();
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).or_else(|| text.strip_prefix('\'')?.strip_suffix('\'')).unwrap_or(text)
}
