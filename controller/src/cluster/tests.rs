//! What is written to a cluster, over simulated ones and a scripted API server.
#![allow(clippy::unwrap_used, clippy::panic)]

mod addresses;
mod api_server;
mod events;
mod simulation;
mod statuses;
mod world;
mod writer;
