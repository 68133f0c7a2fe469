//! The proxies, each configured for the same work: one process, one core, connections to the backend kept, the headers
//! added that our router adds, no access log.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;

use crate::backend;
use crate::case::{Case, DOMAIN, host};
use crate::process::{PROXY_CORE, Proxy, pinned};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Nginx,
    Paas,
    Haproxy,
    H2o,
}

impl Peer {
    pub(crate) const ALL: [Self; 4] = [Self::Nginx, Self::Paas, Self::Haproxy, Self::H2o];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Paas => "paas",
            Self::Haproxy => "haproxy",
            Self::H2o => "h2o",
        }
    }

    pub(crate) const fn http(self) -> u16 {
        18_100 + self as u16
    }

    pub(crate) const fn https(self) -> u16 {
        18_200 + self as u16
    }

    /// `dir` holds certificates and configurations, see [`prepare`].
    pub(crate) fn start(self, dir: &Path, case: &Case) -> anyhow::Result<Proxy> {
        let dir = dir.to_str().context("a path of text")?;
        let hosts = case.hosts;
        let file = format!("{dir}/{}.conf", self.name());
        let mut command = match self {
            Self::Paas => {
                let program = std::env::current_exe()?;
                let mut command = pinned(PROXY_CORE, program.to_str().context("a path of text")?);
                command.args(["subject", dir, &hosts.to_string()]);
                if case.is_limited {
                    command.arg("--limited");
                }
                command
            }
            Self::Nginx => {
                fs_err::write(&file, nginx(dir, hosts))?;
                let mut command = pinned(PROXY_CORE, "nginx");
                command.args(["-p", dir, "-e", "/dev/null", "-c", &file]);
                command
            }
            Self::Haproxy => {
                fs_err::write(&file, haproxy(dir, hosts)?)?;
                let mut command = pinned(PROXY_CORE, "haproxy");
                command.args(["-q", "-db", "-f", &file]);
                command
            }
            Self::H2o => {
                fs_err::write(&file, h2o(dir, case))?;
                let mut command = pinned(PROXY_CORE, "h2o");
                command.args(["-c", &file]);
                command.stdout(std::process::Stdio::null());
                command.stderr(std::process::Stdio::null());
                command
            }
        };
        command.env("H2O_ROOT", "/usr");
        Proxy::start(command, &[self.http(), self.https()])
    }
}

/// The certificate all of them use: ECDSA on P-256, for the domain and the names below it.
pub(crate) fn prepare(dir: &Path) -> anyhow::Result<()> {
    let names = vec![DOMAIN.to_owned(), format!("*.{DOMAIN}")];
    let made = rcgen::generate_simple_self_signed(names)?;
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    fs_err::write(dir.join("cert.pem"), &cert)?;
    fs_err::write(dir.join("key.pem"), &key)?;
    fs_err::write(dir.join("both.pem"), format!("{cert}{key}"))?;
    Ok(())
}

fn nginx(dir: &str, hosts: usize) -> String {
    let (backend, http, https) = (backend::PORT, Peer::Nginx.http(), Peer::Nginx.https());
    let mut servers = String::new();
    for index in 0..hosts {
        let name = host(index);
        let _ = writeln!(servers, "{name} app;");
    }
    format!(
        "daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log /dev/null;\n\
         events {{ worker_connections 16384; }}\n\
         http {{\n\
           access_log off; keepalive_requests 100000000; keepalive_timeout 75s; tcp_nodelay on;\n\
           client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;\n\
           fastcgi_temp_path {dir}/fastcgi; uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;\n\
           map_hash_max_size 65536; map_hash_bucket_size 128;\n\
           map $host $app {{ hostnames; default none;\n{servers}}}\n\
           upstream app {{ server 127.0.0.1:{backend}; keepalive 512; keepalive_requests 100000000; }}\n\
           ssl_certificate {dir}/cert.pem; ssl_certificate_key {dir}/key.pem;\n\
           ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:s:10m;\n\
           server {{\n\
             listen 127.0.0.1:{http} backlog=4096; listen 127.0.0.1:{https} ssl http2 backlog=4096;\n\
             location / {{\n\
               proxy_pass http://$app; proxy_http_version 1.1; proxy_set_header Connection '';\n\
               proxy_set_header Host $host;\n\
               proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
               proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Port $server_port;\n\
               proxy_set_header X-Request-Start $msec; proxy_set_header X-Request-Id $request_id;\n\
               proxy_set_header Via '1.1 vegur';\n\
             }}\n\
           }}\n\
         }}\n"
    )
}

fn haproxy(dir: &str, hosts: usize) -> anyhow::Result<String> {
    let map = (0..hosts).fold(String::new(), |mut map, index| {
        let _ = writeln!(map, "{} app", host(index));
        map
    });
    fs_err::write(format!("{dir}/haproxy.map"), map)?;
    let (backend, http, https) = (backend::PORT, Peer::Haproxy.http(), Peer::Haproxy.https());
    Ok(format!(
        "global\n  nbthread 1\n  maxconn 4000\n  ssl-default-bind-options ssl-min-ver TLSv1.2\n\
         defaults\n  mode http\n  timeout client 60s\n  timeout server 60s\n  timeout connect 5s\n  option http-keep-alive\n\
         frontend f\n  bind 127.0.0.1:{http}\n  bind 127.0.0.1:{https} ssl crt {dir}/both.pem alpn h2,http/1.1\n\
           option forwardfor\n  http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]\n\
           http-request set-header X-Forwarded-Port %[dst_port]\n  http-request set-header X-Request-Id %[uuid()]\n\
           http-request set-header X-Request-Start %[date()]\n  http-request set-header Via '1.1 vegur'\n\
           use_backend %[req.hdr(host),lower,field(1,:),map({dir}/haproxy.map,none)]\n\
         backend app\n  http-reuse always\n  server s 127.0.0.1:{backend}\n\
         backend none\n  http-request return status 404\n"
    ))
}

/// What h2o counts clients with, its own.
const DOS_DETECTOR: &str = "        mruby.handler: |\n          \
     require 'dos_detector.rb'\n          \
     DoSDetector.new({:strategy => DoSDetector::CountingStrategy.new({\n            \
     :period => 1, :threshold => 1000000, :ban_period => 60})})\n";

fn h2o(dir: &str, case: &Case) -> String {
    let hosts = case.hosts;
    let detector = if case.is_limited { DOS_DETECTOR } else { "" };
    let (backend, http, https) = (backend::PORT, Peer::H2o.http(), Peer::H2o.https());
    let mut known = String::new();
    for index in 0..hosts {
        let name = host(index);
        let _ = write!(
            known,
            "  \"{name}\":\n    paths:\n      \"/\":\n{detector}        proxy.reverse.url: \"http://127.0.0.1:{backend}/\"\n"
        );
    }
    format!(
        "user: root\nnum-threads: 1\npid-file: {dir}/h2o.pid\nproxy.preserve-host: ON\nproxy.timeout.keepalive: 60000\n\
         proxy.emit-via-header: ON\nproxy.emit-x-forwarded-headers: ON\n\
         listen:\n  host: 127.0.0.1\n  port: {http}\n\
         listen:\n  host: 127.0.0.1\n  port: {https}\n  ssl:\n\
         \x20   certificate-file: {dir}/cert.pem\n    key-file: {dir}/key.pem\n    minimum-version: TLSv1.2\n\
         hosts:\n{known}"
    )
}
