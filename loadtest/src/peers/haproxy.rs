//! `HAProxy` as a reverse proxy with reused upstream connections, one thread, no log; it tells upstreams and browsers the same as nginx beside it.

use std::fs;
use std::net::SocketAddr;

use anyhow::Result;

use crate::process::{SERVER_CORE, Server};
use crate::setting::Setting;

/// Starts it with a plain and a TLS listener.
pub(crate) fn start(setting: &Setting, plain: SocketAddr, tls: SocketAddr) -> Result<Server> {
    let directory = setting.directory.join("haproxy");
    fs::create_dir_all(&directory)?;
    let bundle = directory.join("bundle.pem");
    fs::write(&bundle, format!("{}{}", fs::read_to_string(&setting.certificate)?, fs::read_to_string(&setting.key)?))?;
    let configuration = format!(
        "global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend f
  bind {plain}
  bind {tls} ssl crt {bundle} alpn h2,http/1.1 ssl-min-ver TLSv1.3
  http-request set-header X-Request-ID %[uuid]
  http-request set-header X-Original-Forwarded-For %[req.hdr(x-forwarded-for)] if {{ req.hdr(x-forwarded-for) -m found }}
  http-request set-header X-Original-Forwarded-Host %[req.hdr(x-forwarded-host)] if {{ req.hdr(x-forwarded-host) -m found }}
  http-request set-header X-Real-IP %[src]
  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
  http-request set-header X-Forwarded-Scheme %[ssl_fc,iif(https,http)]
  http-request set-header X-Scheme %[ssl_fc,iif(https,http)]
  http-request del-header Proxy
  http-response set-header Strict-Transport-Security \"max-age=31536000; includeSubDomains\" if {{ ssl_fc }}
  default_backend b
backend b
  http-reuse always
  server origin {origin} pool-max-conn 320
",
        bundle = bundle.display(),
        origin = setting.origin,
    );
    let file = directory.join("haproxy.cfg");
    fs::write(&file, configuration)?;
    let mut server = Server::start(SERVER_CORE, "haproxy", &["-f", &file.to_string_lossy()], &directory.join("log"))?;
    server.wait_for(plain)?;
    Ok(server)
}
