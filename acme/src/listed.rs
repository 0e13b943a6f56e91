//! Several values in one line, as people write them. Pure.

use std::fmt::Display;

/// The values with commas between.
pub fn listed<T: Display>(values: impl IntoIterator<Item = T>) -> String {
    values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join(", ")
}
