//! Any rules and any request: the routing table picks the rule that a linear search picks, or refuses an ambiguous path.

#![no_main]

use gateway::RoutingTable;
use gateway::table::{Selection, path};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Some(case) = fuzz::hosts::parse(text) else { return };
    let table = RoutingTable::build(case.rules.iter().cloned());
    let selected = table.select(&case.host, &case.path);
    if path::check(&case.path).is_err() || matches!(selected, Selection::Ambiguous { .. }) {
        return;
    }
    let expected = fuzz::hosts::winner(&case.rules, &case.host, &case.path);
    let found = table.find(&case.host, &case.path);
    assert_eq!(found.map(|route| &route.id), expected.map(|rule| &rule.route.id), "{} {}", case.host, case.path);
});
