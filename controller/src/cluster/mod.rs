//! What is written to a cluster, and nothing else writes there but the certificates' store and the lease. While this process leads, the status of Ingresses,
//! Services and Certificates is brought to what a pass decided, and Events tell tenants what they wait for.
//!
//! ```text
//! pass ─ Pass ─→ plan(pass, settings, memory, now) ─→ Vec<Write> ─→ Writer ─→ API server ─→ watch ─→ next pass
//!                (pure)                                     └ Outcome ─→ memory, conflicts ─→ next pass
//! ```
//! - [`plan`] compares what was decided with what the watched objects hold: a second pass writes nothing.
//! - Server-side apply as [`FIELD_MANAGER`], never with force, always with the `uid` and `resourceVersion` that the decision was made on: a leader that
//!   was paused writes nothing over what changed since. A field that another manager owns becomes a [`Problem`](crate::problem::Problem).
//! - A Service's status is the durable allocation: [`held_allocations`](crate::addresses::held_allocations) reads it back, and only what is held is served.
//!   Where another controller writes over it, the condition remembers it.
//! - No object gets a finalizer: all of this can be made again from the objects alone.
//!
//! # For who wires it
//! Once a process: [`Writer::new`] and a receiver of [`crate::pass::Outlets::cluster`] that is kept all the time; the receiver of [`Writer::conflicts`] is one of
//! the inputs of a pass ([`crate::pass::Inputs::conflicts`]). Each time the lease is won: `writer.lead(passes.clone(), may_write, stop).await`, where `may_write`
//! is asked before every request (`false` once the lease may have run out) and `stop` is cancelled when the lease is lost or given up. It returns once
//! nothing is under way any more. [`crate::effects::Effects::in_cluster`] and [`crate::compile::Settings::serves_held_only`] belong to it.

mod certificates;
mod events;
mod ingresses;
mod memory;
mod metrics;
mod pace;
mod pass;
mod plan;
mod promise;
mod request;
mod services;
mod subject;
mod told;
mod write;
mod writer;

pub use memory::Memory;
pub use metrics::Metrics;
pub use pass::{Pass, Settings};
pub use plan::{Plan, plan};
pub use write::{EventWrite, Outcome, Regarding, StatusKind, StatusWrite, Target, Write};
pub use writer::{MayWrite, Writer};

/// Name under which fields are owned (`metadata.managedFields[].manager`).
pub const FIELD_MANAGER: &str = "vrata";

#[cfg(test)]
mod tests;
