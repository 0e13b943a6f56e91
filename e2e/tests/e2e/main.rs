//! The program as a whole. One binary for all tests: each starts a program of its own.
#![allow(clippy::unwrap_used, clippy::panic)]

mod addresses;
mod certificates;
mod chaos;
mod configuration;
mod demo;
mod life;
mod manifests;
mod metrics;
mod page;
mod web;
