//! The paths of one host: Exact before the longest Prefix on segment boundaries. Pure.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::slice;
use std::sync::Arc;

use super::{PathMatch, Rule, path};

/// Rules of one host by path; a rule is named by its index.
#[derive(Debug, Default)]
pub(super) struct Paths {
    exact: Keyed,
    /// Keys are without their trailing slash: `/foo` and `/foo/` are the same Prefix, and `/` is the empty key.
    prefix: Keyed,
}

impl Paths {
    /// Rules in order of precedence, with the path of each as `read` gives it.
    pub(super) fn new(rules: &[Rule], read: impl Fn(&str) -> Vec<u8>) -> Self {
        let (mut exact, mut prefix) = (BTreeMap::new(), BTreeMap::new());
        for (index, rule) in rules.iter().enumerate() {
            let (map, mut key) = match rule.path() {
                PathMatch::Exact(path) => (&mut exact, read(path)),
                PathMatch::Prefix(path) => (&mut prefix, read(path)),
            };
            if matches!(rule.path(), PathMatch::Prefix(_)) && key.last() == Some(&b'/') {
                key.pop();
            }
            if let Entry::Vacant(vacant) = map.entry(key.into_boxed_slice()) {
                vacant.insert(index);
            }
        }
        Self { exact: Keyed::new(exact), prefix: Keyed::new(prefix) }
    }

    /// Index of the rule for a path.
    pub(super) fn find(&self, path: &[u8]) -> Option<usize> {
        self.exact.get(path).or_else(|| self.longest_prefix(path))
    }

    /// Asks for the path and for what precedes each of its slashes, longest first. Prefixes bound the number of steps, not the path.
    fn longest_prefix(&self, path: &[u8]) -> Option<usize> {
        if let Some(found) = self.prefix.get(path) {
            return Some(found);
        }
        let mut rest = &path[..path.len().min(self.prefix.longest + 1)];
        while let Some(slash) = rest.iter().rposition(|byte| *byte == b'/') {
            rest = &rest[..slash];
            if let Some(found) = self.prefix.get(rest) {
                return Some(found);
            }
        }
        None
    }

    /// Indexes of the rules that can be found.
    pub(super) fn indexes(&self) -> impl Iterator<Item = usize> {
        self.exact.entries.iter().chain(&self.prefix.entries).map(|(_, index)| *index)
    }
}

/// A sorted list that is searched by halves.
#[derive(Debug, Default)]
struct Keyed {
    entries: Vec<(Box<[u8]>, usize)>,
    longest: usize,
}

impl Keyed {
    fn new(map: BTreeMap<Box<[u8]>, usize>) -> Self {
        Self { longest: map.keys().map(|key| key.len()).max().unwrap_or(0), entries: map.into_iter().collect() }
    }

    fn get(&self, key: &[u8]) -> Option<usize> {
        if key.len() > self.longest {
            return None;
        }
        let at = self.entries.binary_search_by(|(entry, _)| (**entry).cmp(key)).ok()?;
        Some(self.entries[at].1)
    }
}

/// The rules of one host. A copy shares them.
#[derive(Debug, Clone)]
pub(super) enum HostRules {
    /// One for all paths, as most hosts have it. In place: where hosts are many, each step to elsewhere in memory is felt.
    One(Rule),
    /// Any others.
    Several(Arc<Several>),
}

impl HostRules {
    /// Rules in order of precedence; those that another one hides are left out.
    pub(super) fn new(rules: Vec<Rule>) -> Self {
        match <[Rule; 1]>::try_from(rules) {
            Ok([rule]) if pattern_path(rule.path()) == "/" && matches!(rule.path(), PathMatch::Prefix(_)) => Self::One(rule),
            Ok(rules) => Self::Several(Arc::new(Several::new(rules.into()))),
            Err(rules) => Self::Several(Arc::new(Several::new(rules))),
        }
    }

    pub(super) fn rules(&self) -> &[Rule] {
        match self {
            Self::One(rule) => slice::from_ref(rule),
            Self::Several(several) => &several.rules,
        }
    }

    /// The rule for the path as it is written.
    pub(super) fn find(&self, path: &str) -> Option<&Rule> {
        match self {
            Self::One(rule) => path.starts_with('/').then_some(rule),
            Self::Several(several) => several.find(path),
        }
    }

    /// The rule for the path as decoding backends read it.
    pub(super) fn find_decoded(&self, path: &str) -> Option<&Rule> {
        match self {
            Self::One(_) => self.find(path),
            Self::Several(several) => several.find_decoded(path),
        }
    }
}

/// Rules that are told apart by path, readable in both ways.
#[derive(Debug)]
pub(super) struct Several {
    rules: Vec<Rule>,
    written: Paths,
    /// Left out where no rule's path has a second reading: `written` then serves for both.
    decoded: Option<Paths>,
}

impl Several {
    fn new(mut rules: Vec<Rule>) -> Self {
        let mut kept: Vec<_> = Paths::new(&rules, |path| path.as_bytes().to_vec()).indexes().collect();
        kept.sort_unstable();
        let mut index = 0;
        rules.retain(|_| {
            index += 1;
            kept.binary_search(&(index - 1)).is_ok()
        });
        let written = Paths::new(&rules, |path| path.as_bytes().to_vec());
        let ambiguous = rules.iter().any(|rule| path::has_second_reading(pattern_path(rule.path()).as_bytes()));
        let decoded = ambiguous.then(|| Paths::new(&rules, |path| path::second_reading(path.as_bytes(), &mut vec![0; path.len()]).to_vec()));
        Self { rules, written, decoded }
    }

    fn find(&self, path: &str) -> Option<&Rule> {
        self.written.find(path.as_bytes()).map(|index| &self.rules[index])
    }

    fn find_decoded(&self, path: &str) -> Option<&Rule> {
        /// Longer paths are rare enough to allocate for.
        const ON_STACK: usize = 1024;
        let paths = self.decoded.as_ref().unwrap_or(&self.written);
        let (mut stack, mut heap) = ([0; ON_STACK], Vec::new());
        let buffer = if path.len() <= ON_STACK {
            &mut stack[..]
        } else {
            heap.resize(path.len(), 0);
            &mut heap[..]
        };
        paths.find(path::second_reading(path.as_bytes(), buffer)).map(|index| &self.rules[index])
    }
}

fn pattern_path(pattern: &PathMatch) -> &str {
    match pattern {
        PathMatch::Exact(path) | PathMatch::Prefix(path) => path,
    }
}
