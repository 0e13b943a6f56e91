//! Directories of manifests, read and watched.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::tree::Tree;
use super::*;
use crate::objects::ObjectKey;

fn config_map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{v: {value}}}\n")
}

/// Name and value of every ConfigMap.
fn values(read: &Read) -> BTreeMap<String, String> {
    read.objects.config_maps.iter().map(|(key, map)| (key.name.clone(), map.object.data.as_ref().unwrap()["v"].clone())).collect()
}

fn expected(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn set(tree: &mut Tree, file: &str, text: &str) {
    tree.set(Path::new(file), parse(text.as_bytes(), Path::new(file)));
}

#[test]
fn a_broken_edit_keeps_the_last_good_version_and_its_neighbours_move_on() {
    let mut tree = Tree::default();
    set(&mut tree, "a.yaml", &[config_map("a", "one"), config_map("b", "one"), config_map("c", "one")].join("---\n"));
    set(&mut tree, "a.yaml", &[config_map("a", "two"), config_map("b", "[1"), config_map("c", "two")].join("---\n"));
    assert_eq!(values(&tree.read()), expected(&[("a", "two"), ("b", "one"), ("c", "two")]));
    let problems = tree.read().problems;
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].object.as_ref().unwrap().to_string(), "ConfigMap default/b");
    assert!(problems[0].message.ends_with("Until then the last good version stays in use."), "{}", problems[0].message);
    set(&mut tree, "a.yaml", &config_map("a", "three"));
    assert_eq!(values(&tree.read()), expected(&[("a", "three")]));
    assert_eq!(tree.read().problems, []);
}

#[test]
fn while_a_document_cannot_be_told_apart_nothing_of_its_file_is_withdrawn() {
    let mut tree = Tree::default();
    set(&mut tree, "a.yaml", &[config_map("a", "one"), config_map("b", "one")].join("---\n"));
    set(&mut tree, "a.yaml", &format!("{}---\napiVersion: v1\nkind: ConfigMap\nmeta", config_map("a", "two")));
    assert_eq!(values(&tree.read()), expected(&[("a", "two"), ("b", "one")]));
    tree.remove(Path::new("a.yaml"));
    assert_eq!(tree.read(), Read::default());
}

#[test]
fn the_first_of_two_documents_wins_and_the_other_follows_when_it_goes() {
    let mut tree = Tree::default();
    set(&mut tree, "b.yaml", &config_map("x", "late"));
    set(&mut tree, "a.yaml", &config_map("x", "early"));
    assert_eq!(values(&tree.read()), expected(&[("x", "early")]));
    let reasons: Vec<_> = tree.read().problems.into_iter().map(|problem| (problem.reason, problem.origin.unwrap().file)).collect();
    assert_eq!(reasons, [(crate::problem::Reason::DuplicateObject, PathBuf::from("b.yaml"))]);
    tree.remove(Path::new("a.yaml"));
    assert_eq!((values(&tree.read()), tree.read().problems), (expected(&[("x", "late")]), vec![]));
}

#[test]
fn string_data_becomes_data() {
    let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: ns}\ndata: {a: YQ==, b: Yg==}\nstringData: {b: c}\n";
    let mut tree = Tree::default();
    set(&mut tree, "a.yaml", text);
    let read = tree.read();
    let secret = &read.objects.secrets[&ObjectKey::new("ns", "s")].object;
    let data: Vec<_> = secret.data.as_ref().unwrap().iter().map(|(key, value)| (key.as_str(), value.0.as_slice())).collect();
    assert_eq!((data, &secret.string_data), (vec![("a", b"a".as_slice()), ("b", b"c".as_slice())], &None));
}

proptest! {
    #[test]
    fn parse_is_total(content in proptest::collection::vec(any::<u8>(), 0..300), json in any::<bool>()) {
        parse(&content, Path::new(if json { "a.json" } else { "a.yaml" }));
    }

    #[test]
    fn parse_is_total_for_what_looks_like_manifests(words in proptest::collection::vec(prop::sample::select(vec![
        "apiVersion: v1\n", "kind: Secret\n", "kind: List\n", "items:\n", "- ", "  ", "metadata: ", "{name: a}\n", "metadata:\n", "name: a\n", "---\n", "data: {a: ", "}\n",
        "&x ", "*x\n", "|\n", "\"", "'", "[", "{", "<<: ", "? ", ": ", "!!binary ", "\t", "\u{e9}", "\r\n",
    ]), 0..40)) {
        parse(words.concat().as_bytes(), Path::new("a.yaml"));
    }

    #[test]
    fn the_order_of_changes_is_irrelevant(files in proptest::collection::vec((0..4usize, 0..3usize), 1..8)) {
        let texts: BTreeMap<usize, String> = files.iter().map(|(file, name)| (*file, config_map(&format!("m{name}"), &format!("f{file}")))).collect();
        let (mut forwards, mut backwards) = (Tree::default(), Tree::default());
        texts.iter().for_each(|(file, text)| set(&mut forwards, &format!("{file}.yaml"), text));
        texts.iter().rev().for_each(|(file, text)| set(&mut backwards, &format!("{file}.yaml"), text));
        prop_assert_eq!(forwards.read(), backwards.read());
    }
}

/// Waits until the ConfigMaps are as expected.
fn wait_for(watched: &Watched, pairs: &[(&str, &str)]) {
    let (deadline, expected) = (Instant::now() + Duration::from_secs(20), expected(pairs));
    while values(&watched.reads.borrow()) != expected {
        assert!(Instant::now() < deadline, "{:?} is not {expected:?}", values(&watched.reads.borrow()));
        std::thread::yield_now();
    }
}

#[test]
fn edits_renames_and_deletions_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("a.yaml"), config_map("a", "one")).unwrap();
    let watched = watch(&[dir.path().to_owned()]).unwrap();
    wait_for(&watched, &[("a", "one")]);
    fs::write(path("a.yaml"), config_map("a", "two")).unwrap();
    wait_for(&watched, &[("a", "two")]);
    fs::write(path(".b.tmp"), config_map("b", "one")).unwrap();
    fs::rename(path(".b.tmp"), path("b.yml")).unwrap();
    wait_for(&watched, &[("a", "two"), ("b", "one")]);
    fs::rename(path("b.yml"), path("c.json")).unwrap();
    wait_for(&watched, &[("a", "two")]);
    fs::remove_file(path("a.yaml")).unwrap();
    wait_for(&watched, &[]);
}

#[test]
fn directories_that_come_and_go_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
    fs::create_dir_all(&root).unwrap();
    fs::create_dir_all(outside.join("deep")).unwrap();
    fs::write(outside.join("deep/a.yaml"), config_map("a", "one")).unwrap();
    let watched = watch(std::slice::from_ref(&root)).unwrap();
    wait_for(&watched, &[]);
    fs::rename(&outside, root.join("in")).unwrap();
    wait_for(&watched, &[("a", "one")]);
    fs::write(root.join("in/deep/b.yaml"), config_map("b", "one")).unwrap();
    wait_for(&watched, &[("a", "one"), ("b", "one")]);
    fs::rename(root.join("in"), &outside).unwrap();
    wait_for(&watched, &[]);
    fs::remove_dir_all(&root).unwrap();
    fs::create_dir(&root).unwrap();
    fs::write(root.join("c.yaml"), config_map("c", "one")).unwrap();
    wait_for(&watched, &[("c", "one")]);
}

#[test]
fn a_mounted_config_map_is_exchanged_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let version = |name: &str, value: &str| {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::write(dir.path().join(name).join("a.yaml"), config_map("a", value)).unwrap();
        std::os::unix::fs::symlink(name, dir.path().join("..data_tmp")).unwrap();
        fs::rename(dir.path().join("..data_tmp"), dir.path().join("..data")).unwrap();
    };
    version("..1", "one");
    std::os::unix::fs::symlink("..data/a.yaml", dir.path().join("a.yaml")).unwrap();
    std::os::unix::fs::symlink(".", dir.path().join("loop")).unwrap();
    let watched = watch(&[dir.path().to_owned()]).unwrap();
    wait_for(&watched, &[("a", "one")]);
    version("..2", "two");
    wait_for(&watched, &[("a", "two")]);
}

#[test]
fn a_thousand_quick_edits_end_in_the_right_state() {
    let dir = tempfile::tempdir().unwrap();
    let watched = watch(&[dir.path().to_owned()]).unwrap();
    for n in 0..1000 {
        fs::write(dir.path().join(format!("{}.yaml", n % 3)), config_map(&format!("m{}", n % 3), &format!("v{n}"))).unwrap();
    }
    wait_for(&watched, &[("m0", "v999"), ("m1", "v997"), ("m2", "v998")]);
}

#[test]
fn an_emptied_file_keeps_what_it_gave() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.yaml");
    fs::write(&file, config_map("a", "one")).unwrap();
    let watched = watch(&[dir.path().to_owned()]).unwrap();
    fs::write(&file, "").unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while watched.reads.borrow().problems.is_empty() {
        assert!(Instant::now() < deadline, "no problem");
        std::thread::yield_now();
    }
    wait_for(&watched, &[("a", "one")]);
}

#[test]
fn a_root_that_is_missing_is_an_error() {
    assert!(matches!(watch(&[PathBuf::from("/nonexistent/manifests")]), Err(SourceError::Unreadable { .. })));
}
