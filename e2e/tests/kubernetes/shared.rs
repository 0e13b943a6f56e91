//! What breaks nothing: these tests have a cluster in common, which may be one that was there before. Each has namespaces of its own.

mod ingress;
mod metrics;
mod operator;
mod tenants;
