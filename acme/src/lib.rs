//! Certificates: what is wanted against what is held gives a plan; orders carry it out and survive any interruption.
//!
//! The pure part (`plan`, `backoff`, `certificate`) names no tokio and no clock. This crate knows neither Kubernetes nor its sibling crates: it is
//! given a [`WantedSet`] and publishes [`Held`]; who answers the challenges is not its business, but it looks at the answers before it asks the CA.

pub mod engine;
pub mod held;
pub mod store;
pub mod wanted;

pub use engine::{Clock, Engine, Options, SelfCheck, StartError};
pub use held::{CertificateState, Challenges, Failure, Held, HeldCertificate};
pub use store::{Store, StoreError};
pub use wanted::{AcmeIssuer, CaKeyPair, ChallengeKind, Issuer, IssuerId, KeyKind, RenewBefore, SecretName, Wanted, WantedSet};
