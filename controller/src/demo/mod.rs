//! `vrata demo`: everything at once on loopback, with example applications, a local CA and a directory of examples.

mod backends;
mod platform;
mod tour;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

pub use platform::{Authority, Platform, PlatformError, set_up};
pub use tour::render as tour;

use crate::config::{Config, Pool, Zone};

pub(crate) use backends::start as start_backends;

/// The zone that the examples live in.
pub const ZONE: &str = "dyn.cloud.e-infra.cz";

/// The demo's configuration, before flags: all on loopback and on ports that need no privilege.
#[must_use]
pub fn config() -> Config {
    let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut config = Config { state: PathBuf::from("./state"), ..Config::default() };
    config.source.manifests = vec![PathBuf::from("./examples")];
    config.gateway.http = vec![loopback(8080)];
    config.gateway.https = vec![loopback(8443)];
    config.gateway.public_addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    config.gateway.public_https_port = 8443;
    config.dns.listen = vec![loopback(5353)];
    config.dns.zones = vec![Zone { name: ZONE.into(), file: None, cname: None, ttl: 60 }];
    config.addresses.pools = vec![Pool { name: "default".into(), ranges: vec!["127.0.10.0/24".into()], auto_assign: true }];
    config
}
