//! Any bytes as the content of a manifest file: reading them is total, and the same twice.

#![no_main]

use std::path::Path;

libfuzzer_sys::fuzz_target!(|content: &[u8]| {
    let file = Path::new("fuzz.yaml");
    let first = controller::source::parse(content, file);
    assert_eq!(first, controller::source::parse(content, file), "reading the same bytes twice differs");
});
