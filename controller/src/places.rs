//! On which line each problem's field stands: what decides knows where a document starts, people want the line. Looks into files, into each content of one once.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::problem::{Origin, Problem};
use crate::source::FileLines;

/// Lines that were looked up, kept from one pass to the next.
#[derive(Debug, Default)]
pub struct Places {
    files: HashMap<PathBuf, File>,
}

#[derive(Debug, Default)]
struct File {
    stamp: Option<Stamp>,
    /// By document, item and field.
    lines: HashMap<(usize, usize, String), Option<usize>>,
}

/// What tells one content of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Stamp {
    fn of(file: &Path) -> Option<Self> {
        let found = fs::metadata(file).ok()?;
        Some(Self { modified: found.modified().ok(), length: found.len(), inode: found.ino() })
    }
}

impl Places {
    /// Refines each problem's line from that of its document to that of its field. What cannot be looked up stays as it is.
    pub fn locate(&mut self, problems: &mut [Problem]) {
        let mut by_file: BTreeMap<PathBuf, Vec<(&mut Origin, &str)>> = BTreeMap::new();
        for problem in problems.iter_mut().filter(|problem| !problem.field.is_empty()) {
            if let Some(origin) = &mut problem.origin {
                by_file.entry(origin.file.clone()).or_default().push((origin, &problem.field));
            }
        }
        let mut before = std::mem::take(&mut self.files);
        for (path, asked) in by_file {
            let stamp = Stamp::of(&path);
            let same = before.remove(&path).filter(|file| file.stamp.is_some() && file.stamp == stamp);
            let mut file = same.unwrap_or_else(|| File { stamp, ..File::default() });
            file.locate(&path, asked);
            self.files.insert(path, file);
        }
    }
}

impl File {
    fn locate(&mut self, path: &Path, asked: Vec<(&mut Origin, &str)>) {
        let key = |origin: &Origin, field: &str| (origin.document, origin.item, field.to_owned());
        if asked.iter().any(|(origin, field)| !self.lines.contains_key(&key(origin, field))) {
            let content = fs::read(path).unwrap_or_default();
            let lines = FileLines::new(&content, path);
            self.lines = asked.iter().map(|(origin, field)| (key(origin, field), lines.line(origin.document, origin.item, field))).collect();
        }
        for (origin, field) in asked {
            if let Some(Some(line)) = self.lines.get(&key(origin, field)) {
                origin.line = *line;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::problem::{Reason, Severity};

    fn problem(file: &Path, document: usize, item: usize, field: &str) -> Problem {
        let origin = Origin { file: file.to_owned(), document, item, line: 1000 };
        Problem {
            severity: Severity::Error,
            object: None,
            origin: Some(origin),
            field: field.to_owned(),
            reason: Reason::InvalidField,
            message: String::new(),
        }
    }

    fn lines(places: &mut Places, problems: &[Problem]) -> Vec<usize> {
        let mut problems = problems.to_vec();
        places.locate(&mut problems);
        problems.into_iter().map(|problem| problem.origin.unwrap().line).collect()
    }

    #[test]
    fn each_problem_gets_the_line_of_its_field_and_a_new_content_is_looked_into_again() {
        let directory = tempfile::tempdir().unwrap();
        let (yaml, json) = (directory.path().join("a.yaml"), directory.path().join("b.json"));
        fs::write(&yaml, "a: 1\nb:\n  c: 2\n---\nkind: List\nitems:\n- d: 1\n- d: 2\n").unwrap();
        fs::write(&json, "{\"a\": 1}\n{\n\"b\": 2}\n").unwrap();
        let problems = [
            problem(&yaml, 1, 0, "b.c"),
            problem(&yaml, 1, 0, ""),
            problem(&yaml, 2, 2, "d"),
            problem(&yaml, 3, 0, "d"),
            problem(&json, 2, 0, "b"),
            problem(&directory.path().join("none.yaml"), 1, 0, "b"),
        ];
        let mut places = Places::default();
        assert_eq!(lines(&mut places, &problems), [3, 1000, 8, 1000, 3, 1000]);
        fs::write(&yaml, "\n\na: 1\nb:\n  c: 2\n").unwrap();
        assert_eq!(lines(&mut places, &problems), [5, 1000, 1000, 1000, 3, 1000]);
        assert_eq!(lines(&mut places, &problems), [5, 1000, 1000, 1000, 3, 1000]);
    }
}
