//! Everything that is wrong with a configuration file that cannot be read. Pure.

use serde_json::Value;

use super::load::{AddressError, Finding};
use super::{Config, options};
use crate::field::{self, Located, Step};
use crate::source::{Misfit, read_without};

/// The faults of a text whose reading ended with `error`, in the order of the file.
pub(super) fn of(text: &str, error: &serde_saphyr::Error) -> Vec<Finding> {
    let value = match serde_saphyr::from_str_with_options::<Value>(text, crate::source::yaml_options()) {
        Ok(value) => value,
        Err(error) => return vec![syntax(&error)],
    };
    let Some(located) = Located::read(text) else { return vec![syntax(error)] };
    let mut found = options::unknown_keys(&located);
    let unknown = found.iter().map(|finding| finding.key.clone()).collect();
    let mut misfits = read_without::<Config>(&value, "", unknown).misfits;
    misfits.retain(|misfit| !is_coerced(misfit, &value));
    // What is a number instead of a mapping has no keys that could be wrong.
    let replaced = |key: &str| misfits.iter().any(|misfit| !misfit.cause.starts_with("missing field") && misfit.is_above(key));
    found.retain(|finding| !replaced(&finding.key));
    found.extend(misfits.into_iter().map(|misfit| finding(misfit, &located, &value)));
    found.sort_by_key(|finding| finding.position);
    if found.is_empty() { vec![syntax(error)] } else { found }
}

fn syntax(error: &serde_saphyr::Error) -> Finding {
    let position = error.location().map(|at| (at.line(), at.column()));
    Finding { key: String::new(), position, message: crate::source::yaml_message(error) }
}

fn value_at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    field::steps(path).into_iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.get(&key),
        Step::Index(index) => value.get(index),
    })
}

/// YAML lets a scalar be read as what is asked for (`name: 123`, `drainSeconds: "30"`), which is only known where the type is.
fn is_coerced(misfit: &Misfit, value: &Value) -> bool {
    let is_expected = |what: &str| misfit.cause.ends_with(&format!("expected {what}"));
    match value_at(value, &misfit.field) {
        Some(Value::Number(_) | Value::Bool(_)) => is_expected("a string") || is_expected("a path"),
        Some(Value::String(text)) if text.parse::<u64>().is_ok() => misfit.cause.contains("expected a whole number"),
        Some(Value::String(text)) => text.parse::<bool>().is_ok() && is_expected("true or false"),
        _ => false,
    }
}

fn finding(Misfit { field, cause }: Misfit, located: &Located, value: &Value) -> Finding {
    let position = located.position(&field);
    let cause = match value_at(value, &field) {
        Some(address) if cause == "invalid IP address syntax" => format!("{address} is no IP address"),
        _ => cause,
    };
    let message = match options::doc(&field).filter(|_| !cause.contains(AddressError::EXPECTED)) {
        Some(doc) => format!("{cause}; what belongs here: {doc}"),
        None => cause,
    };
    Finding { key: field, position: Some((position.line, position.column)), message }
}
