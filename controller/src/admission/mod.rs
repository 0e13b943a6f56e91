//! The ValidatingWebhook: it answers for one Ingress or Service what the next pass would say of it, before it is stored.
//!
//! `review` decides (pure) from the object and from what is published; `certificate` makes and rotates the serving certificate, which is kept in the state
//! directory or, in a cluster, where all replicas find it (`shared`); `listener` is the thin edge.
//! It reads nothing else and writes nothing, so a dry run is answered like any other request.

mod certificate;
mod listener;
mod review;
pub mod shared;

pub use certificate::{CertificateError, Certificates, Kept, renew};
pub use listener::{Listener, PATH};
pub use review::{ReviewError, review};
