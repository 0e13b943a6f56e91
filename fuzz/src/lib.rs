//! What the fuzz targets check their subjects against: slow and obvious models, and how bytes become structured input. Each target is a binary in
//! `targets/` that libFuzzer drives; `cargo xtask test --only fuzz` builds and runs them.

pub mod hosts;
pub mod ingress;
pub mod zone;
