//! What the parts are told of the configuration. Pure.

use std::time::Duration;

use super::Addresses;
use crate::config::{AccessLog, Config};

/// The gateway's options.
pub(super) fn gateway(config: &Config) -> gateway::Options {
    let gateway = &config.gateway;
    gateway::Options {
        http: gateway.http.clone(),
        https: gateway.https.clone(),
        public_https_port: gateway.public_https_port,
        drain_timeout: Duration::from_secs(gateway.drain_seconds),
        access_log: match gateway.access_log {
            AccessLog::Off => gateway::options::AccessLog::Off,
            AccessLog::Json => gateway::options::AccessLog::Json,
            AccessLog::Nginx => gateway::options::AccessLog::Nginx,
        },
        max_connections: gateway.max_connections,
        ..gateway::Options::default()
    }
}

/// Where challenges are answered here.
pub(super) fn listeners(addresses: &Addresses) -> acme::Listeners {
    acme::Listeners { dns: addresses.dns.clone(), http: addresses.http.clone(), https: addresses.https.clone() }
}
