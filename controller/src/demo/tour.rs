//! What the demo prints once it serves: commands to copy, and what each shows. Pure.

use std::path::Path;

use super::Platform;
use crate::run::Addresses;

/// Renders the tour.
#[must_use]
pub fn render(_addresses: &Addresses, _platform: &Platform, _examples: &Path) -> String {
    String::new()
}
