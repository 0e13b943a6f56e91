//! Any annotations on an Ingress: compiling is total, and the same twice.

#![no_main]

use controller::compile::{Facts, Settings, compile};
use controller::objects::Objects;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let objects: Objects = fuzz::ingress::objects(text);
    let (first, second) = (compile(&objects, &Settings::default(), &Facts::default()), compile(&objects, &Settings::default(), &Facts::default()));
    assert_eq!(first.table.rules_in_order(), second.table.rules_in_order());
    assert_eq!(first.problems, second.problems);
});
