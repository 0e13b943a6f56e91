//! The golden cases, for every test that goes through them. What is compared is the test's business.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

/// The directories of all cases, in order.
pub(crate) fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases: Vec<_> = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    cases.sort();
    cases
}
