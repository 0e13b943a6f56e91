//! Values of annotations and their misspellings.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use super::table::KEYS;
use super::{Verdict, documentation, values};

#[test]
fn the_table_is_sorted_and_fails_closed_where_ignoring_would_weaken_protection() {
    assert!(KEYS.is_sorted_by(|a, b| a.name < b.name));
    for key in KEYS {
        let guards = ["auth-", "limit-", "satisfy", "denylist", "enable-modsecurity"].iter().any(|guard| key.name.starts_with(guard))
            || key.name.contains("list-");
        // How often and over which connection a server is asked changes nothing about its answer.
        let asking = ["auth-keepalive", "auth-cache-"].iter().any(|asking| key.name.starts_with(asking));
        let harmless = asking || key.verdict == Verdict::Supported;
        if guards && !harmless {
            assert!(matches!(key.verdict, Verdict::FailsClosed | Verdict::Refused), "{}", key.name);
        }
        if key.name.ends_with("-snippet") {
            assert_eq!(key.verdict, Verdict::Refused, "{}", key.name);
        }
    }
}

#[test]
fn the_page_of_the_documentation_is_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/annotations.md");
    if std::env::var_os("VRATA_BLESS").is_some() {
        std::fs::create_dir_all(std::path::Path::new(path).parent().unwrap()).unwrap();
        std::fs::write(path, documentation()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), documentation(), "write docs/annotations.md anew with VRATA_BLESS=1");
}

#[test]
fn sizes_are_nginx_sizes() {
    for (text, expected) in [
        ("0", Some(0)),
        ("1024", Some(1024)),
        ("8k", Some(8192)),
        ("10M", Some(10 << 20)),
        ("2g", Some(2 << 30)),
        ("1.5m", None),
        ("-1", None),
        ("", None),
        ("m", None),
        ("5mb", None),
        ("99999999999g", None),
    ] {
        assert_eq!(values::size(text), expected, "{text}");
    }
}

#[test]
fn networks_are_addresses_and_cidrs_and_nothing_else() {
    let parse = |text: &str| values::cidrs(text).map(|networks| networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    assert_eq!(parse("10.0.0.1/8, 192.0.2.1,2001:db8::/32"), Ok("10.0.0.0/8 192.0.2.1/32 2001:db8::/32".to_owned()));
    assert_eq!(parse("10.0.0.0/8,"), Err(String::new()));
    assert_eq!(parse("10.0.0.0/33"), Err("10.0.0.0/33".to_owned()));
    assert_eq!(parse("all"), Err("all".to_owned()));
}

#[test]
fn durations_are_those_of_go() {
    let seconds = Duration::from_secs;
    for (text, expected) in [
        ("2160h", Some(seconds(7_776_000))),
        ("1h30m", Some(seconds(5400))),
        ("1.5s", Some(Duration::from_millis(1500))),
        ("0", Some(seconds(0))),
        ("90", None),
        ("", None),
        ("-1h", None),
        ("1d", None),
    ] {
        assert_eq!(values::go_duration(text), expected, "{text}");
    }
}

#[test]
fn a_misspelt_key_finds_its_neighbour() {
    let names = || KEYS.iter().map(|key| key.name);
    assert_eq!(values::nearest("proxy-bodysize", names()), Some("proxy-body-size"));
    assert_eq!(values::nearest("something-else-entirely", names()), None);
}
