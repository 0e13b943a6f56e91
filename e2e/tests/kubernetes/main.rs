//! The program in a Kubernetes cluster: real API server, real controllers, `kubectl`. Tests share a lab, each with namespaces of its own; those that break
//! something have one to themselves.
#![allow(clippy::unwrap_used, clippy::panic)]

mod admission;
mod api_server;
mod chart;
mod check;
mod examples;
mod existing;
mod faults;
mod kinds;
mod lab;
mod load_balancer;
mod migration;
mod replicas;
mod rounds;
mod secrets;
mod shared;
