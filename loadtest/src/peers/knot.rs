//! Knot DNS with one UDP worker.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use crate::process::{SERVER_CORE, Server};
use crate::setting::{Setting, ZONE};

/// Starts it with the zone file.
pub(crate) fn start(setting: &Setting, listen: SocketAddr, zone_file: &Path) -> Result<Server> {
    let directory = setting.directory.join("knot");
    fs::create_dir_all(&directory)?;
    let configuration = format!(
        "server:
  rundir: {dir}
  listen: {ip}@{port}
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
log:
  - target: stderr
    any: warning
database:
  storage: {dir}
zone:
  - domain: {ZONE}
    file: {file}
    journal-content: none
    zonefile-sync: -1
",
        dir = directory.display(),
        ip = listen.ip(),
        port = listen.port(),
        file = zone_file.display(),
    );
    let file = directory.join("knot.conf");
    fs::write(&file, configuration)?;
    let mut server = Server::start(SERVER_CORE, "knotd", &["-c", &file.to_string_lossy()], &directory.join("log"))?;
    server.wait_for(listen)?;
    Ok(server)
}
