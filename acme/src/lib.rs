//! Certificates: what is wanted against what is held gives a plan; orders carry it out and survive any interruption.
//!
//! The pure part (`plan`, `renewal`, `backoff`, `certificate`) names no tokio and no clock. This crate knows neither Kubernetes nor its sibling
//! crates: it is given a [`WantedSet`] and publishes [`Held`]; who answers the challenges is not its business, but it looks at the answers before it
//! asks the CA.

mod account;
mod ari;
mod ask;
mod attempt;
mod authorize;
pub mod backoff;
mod board;
pub mod certificate;
pub mod check;
pub mod engine;
pub mod failure;
mod file_store;
mod files;
pub mod held;
mod job;
pub mod ledger;
mod listed;
mod metrics;
pub mod plan;
pub mod renewal;
pub mod secret;
pub mod sign;
pub mod store;
mod transport;
pub mod wanted;

pub use check::{Listeners, SelfCheck};
pub use engine::{Clock, Engine, Options};
pub use file_store::FileStore;
pub use held::{CertificateState, Challenges, Failure, Held, HeldCertificate};
pub use listed::listed;
pub use metrics::Metrics;
pub use store::{Store, StoreError};
pub use wanted::{AcmeIssuer, CaKeyPair, ChallengeKind, Issuer, IssuerId, KeyKind, RenewBefore, SecretName, Wanted, WantedSet};
