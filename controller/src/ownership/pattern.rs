//! Patterns of the policy: namespaces, hosts, suffixes. Pure.

use std::fmt;

use super::is_within;

/// What stands for a namespace in a suffix.
const PLACEHOLDER: &str = "{namespace}";

/// Names of namespaces, in which `*` stands for any characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Namespaces(Vec<String>);

impl Namespaces {
    pub(super) const fn new(patterns: Vec<String>) -> Self {
        Self(patterns)
    }

    pub(super) fn admit(&self, namespace: &str) -> bool {
        self.0.iter().any(|pattern| glob(pattern, namespace))
    }
}

/// Whether the text is the pattern, whose `*` stand for anything.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return text.ends_with(part);
        }
        // The leftmost place leaves the most for the rest.
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    true
}

/// A host, or all names below a suffix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HostPattern {
    Exact(String),
    Below(String),
}

impl HostPattern {
    pub(super) fn read(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let (name, make): (_, fn(String) -> Self) =
            text.strip_prefix("*.").map_or((text.as_str(), Self::Exact as _), |suffix| (suffix, Self::Below as _));
        crate::source::is_subdomain(name).then(|| make(name.to_owned()))
    }

    /// Whether the name is meant.
    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(host) => host == name,
            Self::Below(suffix) => name != suffix && is_within(name, suffix),
        }
    }

    /// As [`SuffixPattern::weight`].
    pub(super) fn weight(&self) -> (usize, usize) {
        let (Self::Exact(name) | Self::Below(name)) = self;
        let labels = name.split('.').count();
        (labels, labels)
    }

    /// Whether some of the names that are meant are below `base`, without being asked for one by one.
    pub(super) fn is_below(&self, base: &str) -> bool {
        match self {
            Self::Exact(host) => is_within(host, base),
            Self::Below(suffix) => is_within(suffix, base),
        }
    }
}

/// A suffix, in one label of which a namespace may stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SuffixPattern {
    /// From the root downwards.
    labels: Vec<Label>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Label {
    Literal(String),
    Namespace { before: String, after: String },
}

impl Label {
    /// The namespace in a label, or whether the label is this one.
    fn matches<'n>(&self, label: &'n str) -> Option<Option<&'n str>> {
        match self {
            Self::Literal(literal) => (literal == label).then_some(None),
            Self::Namespace { before, after } => {
                let namespace = label.strip_prefix(before.as_str())?.strip_suffix(after.as_str())?;
                (!namespace.is_empty()).then_some(Some(namespace))
            }
        }
    }
}

impl SuffixPattern {
    pub(super) fn read(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let is_domain = crate::source::is_subdomain(&text.replacen(PLACEHOLDER, "x", 1));
        let label = |label: &str| match label.split_once(PLACEHOLDER) {
            Some((before, after)) => Label::Namespace { before: before.to_owned(), after: after.to_owned() },
            None => Label::Literal(label.to_owned()),
        };
        is_domain.then(|| Self { labels: text.rsplit('.').map(label).collect() })
    }

    /// Whether the name is of this suffix: it, or below it.
    pub(super) fn matches(&self, name: &str) -> bool {
        let mut labels = name.rsplit('.');
        self.labels.iter().all(|pattern| labels.next().is_some_and(|label| pattern.matches(label).is_some()))
    }

    /// The namespace that a name of this suffix tells.
    pub(super) fn namespace_of<'n>(&self, name: &'n str) -> Option<&'n str> {
        self.labels.iter().zip(name.rsplit('.')).find_map(|(pattern, label)| pattern.matches(label).flatten())
    }

    /// Whether a namespace stands in it.
    pub(super) fn names_namespace(&self) -> bool {
        self.labels.iter().any(|label| matches!(label, Label::Namespace { .. }))
    }

    /// Whether names of this suffix are below `base` without `base` being of the suffix itself.
    pub(super) fn is_below(&self, base: &str) -> bool {
        let mut patterns = self.labels.iter();
        base.rsplit('.').all(|label| patterns.next().is_some_and(|pattern| pattern.matches(label).is_some())) && patterns.next().is_some()
    }

    /// The greater decides: more labels, then more of them literal.
    pub(super) fn weight(&self) -> (usize, usize) {
        (self.labels.len(), self.labels.iter().filter(|label| matches!(label, Label::Literal(_))).count())
    }
}

impl fmt::Display for SuffixPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, label) in self.labels.iter().rev().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            match label {
                Label::Literal(literal) => write!(f, "{dot}{literal}")?,
                Label::Namespace { before, after } => write!(f, "{dot}{before}{PLACEHOLDER}{after}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        let table = [
            ("*", "", true),
            ("*", "a", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("lab-*", "lab-1", true),
            ("lab-*", "lab", false),
            ("*-dev", "a-dev", true),
            ("*-dev", "a-dev-1", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "abbc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_suffix_tells_the_namespace_of_its_names() {
        let suffix = SuffixPattern::read("{namespace}-apps.dyn.example.org").unwrap();
        let rows = [
            ("lab-apps.dyn.example.org", Some("lab")),
            ("x.y.lab-apps.dyn.example.org", Some("lab")),
            ("lab.dyn.example.org", None),
            ("-apps.dyn.example.org", None),
            ("dyn.example.org", None),
        ];
        for (name, namespace) in rows {
            assert_eq!(Some(name).filter(|name| suffix.matches(name)).and_then(|name| suffix.namespace_of(name)), namespace, "{name}");
        }
        assert_eq!(suffix.to_string(), "{namespace}-apps.dyn.example.org");
        for (base, below) in [("dyn.example.org", true), ("org", true), ("lab-apps.dyn.example.org", false), ("other.org", false)] {
            assert_eq!(suffix.is_below(base), below, "{base}");
        }
        assert_eq!(["", "a..b", "{namespace}{namespace}.org", "{Namespace.org"].map(|text| SuffixPattern::read(text).is_none()), [true; 4]);
    }
}
