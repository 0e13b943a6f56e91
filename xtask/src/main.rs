//! Runs the checks and the demo.

fn main() {}
