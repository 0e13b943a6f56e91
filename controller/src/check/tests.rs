//! Findings in the words that people read.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::places::Places;
use crate::source;

/// Compares with a file beside the tests; `UPDATE_GOLDEN=1` writes it anew.
fn assert_golden(path: &Path, actual: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, actual).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(actual, expected, "{} differs; UPDATE_GOLDEN=1 writes it anew", path.display());
}

fn manifests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests")
}

/// Each case is a directory or file of manifests with the findings beside it.
#[test]
fn manifests_give_the_findings_that_are_written_beside_them() {
    let mut cases: Vec<_> = fs::read_dir(manifests()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    cases.sort();
    assert!(cases.len() >= 5, "{cases:?}");
    for case in cases {
        let mut problems = source::read(std::slice::from_ref(&case)).unwrap().problems;
        Places::default().locate(&mut problems);
        for problem in &mut problems {
            let origin = problem.origin.as_mut().unwrap();
            origin.file = origin.file.strip_prefix(&case).unwrap().to_owned();
            problem.message = problem.message.replace(&format!("{}/", case.display()), "");
        }
        assert_golden(&case.join("problems.txt"), &render(&problems, Style::Text { colour: false }));
    }
}

#[test]
fn json_counts_and_colours_are_only_for_terminals() {
    let content = b"apiVersion: v1\nkind: Service\nmetadata: {name: A}\nspec: {ports: [{port: 0}]}\n";
    let problems: Vec<_> = source::parse(content, Path::new("a.yaml")).into_iter().flat_map(|parsed| parsed.problems).collect();
    let json: serde_json::Value = serde_json::from_str(&render(&problems, Style::Json)).unwrap();
    assert_eq!((&json["errors"], &json["warnings"]), (&2.into(), &0.into()));
    assert_eq!(json["problems"][0]["origin"], serde_json::json!({"file": "a.yaml", "document": 1, "line": 3}));
    assert!(has_errors(&problems));
    assert!(!render(&problems, Style::text(true, Some("1".as_ref()))).contains('\x1b'));
    assert!(render(&problems, Style::text(true, None)).contains("\x1b[1;31merror"));
    assert_eq!(render(&[], Style::text(false, None)), "No problems found.\n");
    assert_eq!(split_help("a.b is wrong. Write c."), ("a.b is wrong", Some("Write c.")));
}
