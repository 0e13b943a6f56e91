//! The program: it reads manifests, compiles them to snapshots for the data planes, keeps tenants apart, and tells people what became of their objects.
//!
//! `source/` reads objects, `compile/` (pure) turns them into a [`compile::Compiled`], `effects` and `cluster/`
//! write what must survive, `run` wires it together.

pub mod address_condition;
pub mod addresses;
pub mod admin;
pub mod admission;
pub mod assemble;
pub mod assumed;
pub mod check;
pub mod cli;
pub mod cluster;
pub mod cluster_store;
pub mod commands;
pub mod compile;
pub mod config;
pub mod demo;
pub mod effects;
pub mod explain;
mod field;
#[cfg(test)]
mod fixtures;
pub mod lease;
mod log;
pub mod metrics;
pub mod migration;
pub mod object_status;
pub mod objects;
pub mod ownership;
pub mod pass;
pub mod places;
pub mod problem;
pub mod replicas;
pub mod run;
pub mod source;
pub mod state;
pub mod status;
pub mod summary;
