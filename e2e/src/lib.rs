//! The program from outside, as its users have it: the real binary as a child process, real clients, real backends, a real ACME server. The tests stand in
//! `tests/e2e/`; this is what they are written with. It knows nothing of the crates of the product.
//!
//! ```text
//! Vrata::start(Setup) ── child process, its own ports, manifests and state in a temporary directory, ended on drop
//!   .apply(file, text)  .remove(file)  .status()  .get(host, path)
//! Lab::shared().run(…)  ── a Kubernetes cluster with the program in pods; see `lab`
//! Backend::http() …     small servers on loopback          Pebble::start()   an ACME server whose names resolve here
//! ```

pub mod backend;
pub mod browser;
pub mod client;
pub mod demo;
pub mod dns;
pub mod kubectl;
pub mod lab;
pub mod manifest;
pub mod metrics;
pub mod pebble;
pub mod process;
pub mod shell;
pub mod vrata;
pub mod wait;

pub use backend::Backend;
pub use client::{Answer, Client};
pub use demo::Demo;
pub use kubectl::Kubectl;
pub use lab::Lab;
pub use pebble::Pebble;
pub use vrata::{Ports, Setup, Vrata};
pub use wait::eventually;
