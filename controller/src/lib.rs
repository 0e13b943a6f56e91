//! The program: it reads manifests, compiles them to snapshots for the data planes, keeps tenants apart, and tells people what became of their objects.
//!
//! `source/` reads objects, `compile/` (pure) turns them into a [`compile::Compiled`], `effects` writes what must survive, `run` wires it together.

pub mod addresses;
pub mod check;
pub mod cli;
pub mod compile;
pub mod config;
mod field;
pub mod objects;
pub mod ownership;
pub mod problem;
pub mod source;
