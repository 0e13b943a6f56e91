//! What a set of files amounts to: the last good version of every object, and who wins where two documents hold the same one. Pure; the cost of a change is that
//! of its file.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::Read;
use super::object::{self, Identity, Object};
use super::parse::{Outcome, Parsed};
use crate::objects::Objects;
use crate::problem::{Origin, Problem, Reason, Severity};

/// All files, each with what it holds.
#[derive(Debug, Default)]
pub(super) struct Tree {
    files: BTreeMap<PathBuf, File>,
    claims: HashMap<Identity, BTreeMap<Origin, Object>>,
    contested: BTreeSet<Identity>,
    objects: Objects,
}

#[derive(Debug, Default)]
struct File {
    parsed: Vec<Parsed>,
    /// The objects it gives, also those that only an earlier version of it held.
    held: Vec<Held>,
    problems: Vec<Problem>,
}

#[derive(Debug, Clone)]
struct Held {
    identity: Identity,
    origin: Origin,
    object: Object,
}

impl Tree {
    /// A file has new content. Returns whether anything changed.
    pub(super) fn set(&mut self, path: &Path, parsed: Vec<Parsed>) -> bool {
        if self.files.get(path).is_some_and(|file| file.parsed == parsed) {
            return false;
        }
        let old = self.files.remove(path).unwrap_or_default();
        let held = held(&parsed, &old.held);
        let problems = problems(&parsed, &held);
        let touched = self.replace(&old, &File { parsed: Vec::new(), held: held.clone(), problems: Vec::new() }, &parsed);
        self.files.insert(path.to_owned(), File { parsed, held, problems });
        self.settle(touched);
        true
    }

    /// A file is gone. Returns whether anything changed.
    pub(super) fn remove(&mut self, path: &Path) -> bool {
        let Some(old) = self.files.remove(path) else { return false };
        let touched = self.replace(&old, &File::default(), &[]);
        self.settle(touched);
        true
    }

    /// Whether the file gives objects.
    pub(super) fn gives(&self, path: &Path) -> bool {
        self.files.get(path).is_some_and(|file| !file.held.is_empty())
    }

    /// Everything, as a value.
    pub(super) fn read(&self) -> Read {
        let mut problems: Vec<_> = self.files.values().flat_map(|file| file.problems.iter().cloned()).collect();
        problems.extend(self.contested.iter().flat_map(|identity| duplicates(identity, &self.claims[identity])));
        problems.sort_by(|a, b| a.origin.cmp(&b.origin));
        Read { objects: self.objects.clone(), problems, stale: false }
    }

    /// Exchanges claims and counts; returns the identities whose winner may have changed.
    fn replace(&mut self, old: &File, new: &File, parsed: &[Parsed]) -> HashSet<Identity> {
        for Held { identity, origin, .. } in &old.held {
            if let Some(claims) = self.claims.get_mut(identity) {
                claims.remove(origin);
            }
        }
        for kind in others(&old.parsed) {
            if let Some(count) = self.objects.others.get_mut(kind) {
                *count -= 1;
            }
        }
        for Held { identity, origin, object } in &new.held {
            self.claims.entry(identity.clone()).or_default().insert(origin.clone(), object.clone());
        }
        others(parsed).for_each(|kind| *self.objects.others.entry(kind.to_owned()).or_default() += 1);
        self.objects.others.retain(|_, count| *count > 0);
        old.held.iter().chain(&new.held).map(|held| held.identity.clone()).collect()
    }

    fn settle(&mut self, touched: HashSet<Identity>) {
        for identity in touched {
            let claims = self.claims.get(&identity);
            let count = claims.map_or(0, BTreeMap::len);
            match claims.and_then(BTreeMap::first_key_value) {
                Some((_, winner)) => winner.insert(identity.key.clone(), &mut self.objects),
                None => {
                    object::remove(&identity, &mut self.objects);
                    self.claims.remove(&identity);
                }
            }
            if count > 1 {
                self.contested.insert(identity);
            } else {
                self.contested.remove(&identity);
            }
        }
    }
}

fn others(parsed: &[Parsed]) -> impl Iterator<Item = &String> {
    parsed.iter().filter_map(|parsed| match &parsed.outcome {
        Outcome::Other(kind) => Some(kind),
        Outcome::Object(..) | Outcome::Broken(_) => None,
    })
}

/// The objects a file gives: those it holds, and of those it held before the ones that a broken document stands for. A document of which not even kind and name
/// can be read may stand for any of them, and after a last document that is broken the rest of the file may be missing, as it is while a file is being written:
/// then nothing is withdrawn until it can be read.
fn held(parsed: &[Parsed], before: &[Held]) -> Vec<Held> {
    let mut held: Vec<_> = parsed
        .iter()
        .filter_map(|parsed| match &parsed.outcome {
            Outcome::Object(identity, object) => Some(Held { identity: identity.clone(), origin: parsed.origin.clone(), object: object.clone() }),
            Outcome::Other(_) | Outcome::Broken(_) => None,
        })
        .collect();
    let good: HashSet<_> = held.iter().map(|held| held.identity.clone()).collect();
    let broken: HashSet<_> = parsed
        .iter()
        .filter_map(|parsed| match &parsed.outcome {
            Outcome::Broken(identity) => Some(identity.as_ref()),
            Outcome::Object(..) | Outcome::Other(_) => None,
        })
        .collect();
    let cut_off = matches!(parsed.last(), Some(Parsed { outcome: Outcome::Broken(_), .. }));
    let stays = |held: &&Held| !good.contains(&held.identity) && (cut_off || broken.contains(&None) || broken.contains(&Some(&held.identity)));
    held.extend(before.iter().filter(stays).cloned());
    held
}

/// The documents' problems; a refused one says so when an earlier version stays in use.
fn problems(parsed: &[Parsed], held: &[Held]) -> Vec<Problem> {
    let held: HashSet<_> = held.iter().map(|held| &held.identity).collect();
    let mut problems = Vec::new();
    for parsed in parsed {
        let stays = matches!(&parsed.outcome, Outcome::Broken(Some(identity)) if held.contains(identity));
        problems.extend(parsed.problems.iter().cloned().map(|mut problem| {
            if stays && problem.severity == Severity::Error {
                problem.message.push_str(" Until then the last good version stays in use.");
            }
            problem
        }));
    }
    problems
}

fn duplicates(identity: &Identity, claims: &BTreeMap<Origin, Object>) -> Vec<Problem> {
    let Some((winner, _)) = claims.first_key_value() else { return Vec::new() };
    let problem = |origin: &Origin| Problem {
        severity: Severity::Error,
        object: Some(identity.reference()),
        origin: Some(origin.clone()),
        field: "metadata.name".into(),
        reason: Reason::DuplicateObject,
        message: format!(
            "{} is also in {}:{}, which is read first and wins. Remove one of them.",
            identity.reference(),
            winner.file.display(),
            winner.line
        ),
    };
    claims.keys().skip(1).map(problem).collect()
}
