//! Paths of fields, as kubectl writes them (`spec.rules[0].host`, `metadata.annotations[a.example/b]`), and the lines on which fields stand. Pure.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Into a mapping.
    Key(String),
    /// Into a list; the first is 0.
    Index(usize),
}

/// Writes the path one step longer.
pub(crate) fn join(path: &str, key: &str) -> String {
    if key.is_empty() || key.contains(['.', '/', '[', ']']) {
        format!("{path}[{key}]")
    } else if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// Writes one path below another.
pub(crate) fn below(base: &str, path: &str) -> String {
    let dot = if base.is_empty() || path.is_empty() || path.starts_with('[') { "" } else { "." };
    format!("{base}{dot}{path}")
}

/// Reads a path back. Total: what is no path becomes keys that nothing has.
pub(crate) fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (step, after) = inner.split_once(']').unwrap_or((inner, ""));
            steps.push(step.parse().map_or_else(|_| Step::Key(step.to_owned()), Step::Index));
            rest = after;
        } else {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            if end > 0 {
                steps.push(Step::Key(rest[..end].to_owned()));
            }
            rest = &rest[end..];
        }
    }
    steps
}

/// A place in a text; the first line and column are 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// Line.
    pub line: u64,
    /// Column, in characters.
    pub column: u64,
}

/// A YAML document that remembers where its keys and items stand.
#[derive(Debug)]
pub(crate) struct Located(Spanned<Node>);

#[derive(Debug)]
enum Node {
    Scalar,
    List(Vec<Spanned<Self>>),
    Mapping(Vec<(Spanned<String>, Spanned<Self>)>),
}

impl Located {
    /// Reads a document; `None` when it is not YAML.
    pub(crate) fn read(text: &str) -> Option<Self> {
        serde_saphyr::from_str_with_options(text, crate::source::yaml_options()).ok().map(Self)
    }

    /// Where the field stands, or the nearest ancestor that exists.
    pub(crate) fn position(&self, path: &str) -> Position {
        self.seek(path).0
    }

    fn seek(&self, path: &str) -> (Position, bool) {
        let mut node = &self.0;
        let mut position = at(&node.referenced);
        for step in steps(path) {
            let (next, place) = match (&node.value, step) {
                (Node::Mapping(entries), Step::Key(key)) => match entries.iter().find(|(name, _)| name.value == key) {
                    Some((name, value)) => (value, at(&name.referenced)),
                    None => return (position, false),
                },
                (Node::Mapping(entries), Step::Index(key)) => match entries.iter().find(|(name, _)| name.value == key.to_string()) {
                    Some((name, value)) => (value, at(&name.referenced)),
                    None => return (position, false),
                },
                (Node::List(items), Step::Index(index)) => match items.get(index) {
                    Some(value) => (value, at(&value.referenced)),
                    None => return (position, false),
                },
                _ => return (position, false),
            };
            (node, position) = (next, place);
        }
        (position, true)
    }

    /// Where the field stands; `None` when it does not exist.
    pub(crate) fn exact_position(&self, path: &str) -> Option<(u64, u64)> {
        let (Position { line, column }, found) = self.seek(path);
        found.then_some((line, column))
    }

    /// All keys of mappings, each with its path and place.
    pub(crate) fn keys(&self) -> Vec<(String, Position)> {
        let mut found = Vec::new();
        keys(&self.0.value, "", &mut found);
        found
    }
}

fn keys(node: &Node, path: &str, found: &mut Vec<(String, Position)>) {
    match node {
        Node::Scalar => {}
        Node::List(items) => items.iter().enumerate().for_each(|(index, item)| keys(&item.value, &format!("{path}[{index}]"), found)),
        Node::Mapping(entries) => {
            for (name, value) in entries {
                let path = join(path, &name.value);
                found.push((path.clone(), at(&name.referenced)));
                keys(&value.value, &path, found);
            }
        }
    }
}

fn at(location: &serde_saphyr::Location) -> Position {
    Position { line: location.line(), column: location.column() }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_str<E>(self, _: &str) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut mapping: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = mapping.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Mapping(entries))
    }
}

/// The candidate that was probably meant, if one is near enough.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .filter(|candidate| *candidate != word)
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= (word.len().max(candidate.len()) / 3).min(3))
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_back_to_its_steps() {
        let key = |key: &str| Step::Key(key.into());
        assert_eq!(steps("spec.rules[0].host"), [key("spec"), key("rules"), Step::Index(0), key("host")]);
        assert_eq!(steps("metadata.annotations[a.example/b]"), [key("metadata"), key("annotations"), key("a.example/b")]);
        assert_eq!(steps(""), []);
        assert_eq!(steps("[..]]x["), [key(".."), key("]x"), key("")]);
    }

    #[test]
    fn a_field_is_found_at_its_key_and_a_missing_one_at_its_parent() {
        let located = Located::read("a:\n  b: [1, {c: x}]\n  d.e:\n  - y: 1\n").expect("YAML");
        let line_and_column = |path: &str| (located.position(path).line, located.position(path).column);
        assert_eq!(line_and_column("a.b[1].c"), (2, 11));
        assert_eq!(line_and_column("a[d.e][0].y"), (4, 5));
        assert_eq!(line_and_column("a.b[9].c"), (2, 3));
        assert_eq!(line_and_column("zzz"), (1, 1));
    }

    #[test]
    fn the_nearest_word_is_proposed_only_when_it_is_near() {
        let words = ["pathType", "path", "backend", "host"];
        assert_eq!(nearest("pathtype", words), Some("pathType"));
        assert_eq!(nearest("bakcend", words), Some("backend"));
        assert_eq!(nearest("hosts", words), Some("host"));
        assert_eq!(nearest("replicas", words), None);
        assert_eq!(nearest("", words), None);
    }
}
