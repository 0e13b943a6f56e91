//! Command lines and what they are read as.
#![allow(clippy::unwrap_used, clippy::panic)]

use clap::CommandFactory as _;

use super::*;

fn parse(line: &str) -> Result<Command, clap::error::ErrorKind> {
    Cli::try_parse_from(line.split(' ')).map(|cli| cli.command).map_err(|error| error.kind())
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn flags_become_overrides() {
    let Command::Run(run) = parse("vrata run --manifests a --manifests b --zone z.example --http 127.0.0.1:1,[::1]:2 --role dns").unwrap() else {
        panic!("not run")
    };
    let expected = Overrides {
        manifests: vec!["a".into(), "b".into()],
        zones: vec!["z.example".into()],
        http: vec!["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()],
        role: Some(Role::Dns),
        ..Overrides::default()
    };
    assert_eq!(run.overrides(), expected);
}

#[test]
fn a_cluster_is_checked_with_or_without_a_file() {
    for (line, expected) in [
        ("vrata check --kubeconfig f --zone z.example", Some(Some("f".into()))),
        ("vrata check --kubeconfig --zone z.example", Some(None)),
        ("vrata check manifests", None),
    ] {
        let Command::Check(check) = parse(line).unwrap() else { panic!("not check") };
        assert_eq!(check.kubeconfig, expected, "{line}");
    }
}

#[test]
fn wrong_lines_are_refused() {
    use clap::error::ErrorKind::{ArgumentConflict, InvalidValue, MissingRequiredArgument, UnknownArgument, ValueValidation};
    let table = [
        ("vrata check", MissingRequiredArgument),
        ("vrata check manifests --kubeconfig f", ArgumentConflict),
        ("vrata check manifests --zone z.example", ArgumentConflict),
        ("vrata check --zone z.example", MissingRequiredArgument),
        ("vrata run --http 80", ValueValidation),
        ("vrata run --role some", InvalidValue),
        ("vrata run --manifests a --kubernetes", ArgumentConflict),
        ("vrata run --manifests a --kubeconfig f", ArgumentConflict),
        ("vrata explain x --manifests a --admin 127.0.0.1:1", ArgumentConflict),
        ("vrata status --colour", UnknownArgument),
        ("vrata demo --acme-ca f", MissingRequiredArgument),
    ];
    for (line, kind) in table {
        assert_eq!(parse(line).err(), Some(kind), "{line}");
    }
}

/// `UPDATE_GOLDEN=1` writes the file anew.
#[test]
fn the_help_is_as_written() {
    let mut text = String::new();
    let mut command = Cli::command().term_width(100);
    command.build();
    text.push_str(&command.render_long_help().to_string());
    for sub in command.get_subcommands_mut().filter(|sub| sub.get_name() != "help") {
        let help = sub.render_long_help().to_string();
        text.push_str(&format!("\n$ vrata {} --help\n{help}", sub.get_name()));
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(&path).unwrap_or_default(), "UPDATE_GOLDEN=1 writes tests/help.txt anew");
}
