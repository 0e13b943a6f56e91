//! The program in a Kubernetes cluster: real API server, real controllers, `kubectl`. Tests share a lab, each with namespaces of its own; those that break
//! something have one to themselves.
#![allow(clippy::unwrap_used, clippy::panic)]

mod api_server;
mod chart;
mod check;
mod ingress;
mod kinds;
mod lab;
mod load_balancer;
mod metrics;
mod migration;
mod operator;
mod replicas;
mod tenants;
