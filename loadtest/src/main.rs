//! Measures Vrata beside its peers.

fn main() {}
