//! nginx as a reverse proxy with kept-alive upstream connections, one worker, no access log; it tells upstreams and browsers what ingress-nginx would have it
//! tell them, which is what Vrata tells.

use std::fs;
use std::net::SocketAddr;

use anyhow::Result;

use crate::process::{SERVER_CORE, Server};
use crate::setting::Setting;

/// Starts it with a plain and a TLS listener.
pub(crate) fn start(setting: &Setting, plain: SocketAddr, tls: SocketAddr) -> Result<Server> {
    let directory = setting.directory.join("nginx");
    fs::create_dir_all(&directory)?;
    let configuration = format!(
        "daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  keepalive_requests 1000000;
  map $https $hsts {{ on \"max-age=31536000; includeSubDomains\"; }}
  upstream origin {{ server {origin}; keepalive 320; keepalive_requests 1000000; }}
  server {{
    listen {plain}; listen {tls} ssl http2;
    ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.3; ssl_session_tickets off;
    location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $http_host;
      proxy_set_header X-Request-ID $request_id; proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Forwarded-Port $server_port; proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Scheme $scheme; proxy_set_header X-Scheme $scheme; proxy_set_header Proxy \"\";
      proxy_set_header X-Original-Forwarded-For $http_x_forwarded_for; proxy_set_header X-Original-Forwarded-Host $http_x_forwarded_host;
      proxy_buffering off; add_header Strict-Transport-Security $hsts; }}
  }}
}}
",
        dir = directory.display(),
        origin = setting.origin,
        certificate = setting.certificate.display(),
        key = setting.key.display(),
    );
    let file = directory.join("nginx.conf");
    fs::write(&file, configuration)?;
    let mut server = Server::start(SERVER_CORE, "nginx", &["-c", &file.to_string_lossy()], &directory.join("log"))?;
    server.wait_for(plain)?;
    Ok(server)
}
