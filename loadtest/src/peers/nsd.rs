//! NSD with one server process.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use crate::process::{SERVER_CORE, Server};
use crate::setting::{Setting, ZONE};

/// Starts it with the zone file.
pub(crate) fn start(setting: &Setting, listen: SocketAddr, zone_file: &Path) -> Result<Server> {
    let directory = setting.directory.join("nsd");
    fs::create_dir_all(&directory)?;
    let configuration = format!(
        "server:
  ip-address: {ip}@{port}
  server-count: 1
  username: \"\"
  chroot: \"\"
  pidfile: \"{dir}/nsd.pid\"
  database: \"\"
  xfrdfile: \"{dir}/xfrd.state\"
  xfrdir: \"{dir}\"
  zonelistfile: \"{dir}/zone.list\"
  zonesdir: \"{dir}\"
  hide-version: yes
  rrl-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: {ZONE}
  zonefile: {file}
",
        dir = directory.display(),
        ip = listen.ip(),
        port = listen.port(),
        file = zone_file.display(),
    );
    let file = directory.join("nsd.conf");
    fs::write(&file, configuration)?;
    let mut server = Server::start(SERVER_CORE, "nsd", &["-d", "-c", &file.to_string_lossy()], &directory.join("log"))?;
    server.wait_for(listen)?;
    Ok(server)
}
