//! The servers that are compared: how each is configured and started.
//!
//! All alike: one directory, as many workers as CPUs, no log of requests, nothing compressed, no
//! end of a connection after a number of requests or a short time. All else is as each is shipped:
//! nginx keeps no files open (`open_file_cache` is off), lighttpd remembers what it found out about
//! them (`server.stat-cache-engine`).

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use pxe_test_lab::Namespace;

use super::content::IMAGES_PATH;
use super::load::What;
use crate::processor::Placement;
use crate::running::{Running, on_cpus};

/// Where all of them listen.
pub(super) const ADDRESS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 80);
/// How many connections each can have at least.
pub(super) const CONNECTIONS_MAX: usize = 12_000;
/// How many files and sockets each can have open, and the load.
pub(super) const FILES_MAX: usize = 16_000;

/// One of the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// This project's.
    #[value(name = "pxe-server")]
    PxeServer,
    /// Its crate alone, as a process of this program.
    #[value(name = "pxe-http")]
    PxeHttp,
    /// nginx, with sendfile, as Debian configures it.
    Nginx,
    /// nginx without sendfile, for the ranges alone: copying is faster there.
    #[value(name = "nginx-copying")]
    NginxCopying,
    /// lighttpd.
    Lighttpd,
    /// static-web-server.
    #[value(name = "static-web-server")]
    StaticWebServer,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [
        Self::PxeServer,
        Self::Nginx,
        Self::NginxCopying,
        Self::Lighttpd,
        Self::StaticWebServer,
    ];
    pub(super) const PACKAGES: [&str; 3] = ["lighttpd", "nginx", "xorriso"];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::PxeServer => "pxe-server",
            Self::PxeHttp => "pxe-http",
            Self::Nginx => "nginx",
            Self::NginxCopying => "nginx-copying",
            Self::Lighttpd => "lighttpd",
            Self::StaticWebServer => "static-web-server",
        }
    }

    /// Whether this is measured of it.
    pub(super) fn takes_part_in(self, what: What) -> bool {
        match (self, what) {
            (Self::NginxCopying, what) => what == What::Range,
            (server, What::LargeInImage) => server == Self::PxeServer,
            _ => true,
        }
    }
}

/// The programs that are no packages.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    pub(super) pxe_server: PathBuf,
    pub(super) static_web_server: PathBuf,
}

/// What is served.
#[derive(Debug, Clone, Copy)]
pub(super) struct Roots<'a> {
    /// The directory.
    pub(super) tree: &'a Path,
    /// The folder of images, to servers that have such.
    pub(super) images: &'a Path,
}

/// Starts a server in a namespace, on the CPUs of a placement and with as many threads or
/// processes. It gets a directory of its own below `directory`.
///
/// # Errors
/// A text that names the server.
pub(super) fn start(
    kind: Kind,
    programs: &Programs,
    namespace: &Namespace,
    directory: &Path,
    roots: Roots<'_>,
    placement: Placement,
) -> Result<Running, String> {
    let own = directory.join(kind.name());
    let at = |error: std::io::Error| format!("{}: {error}", kind.name());
    fs::create_dir_all(&own).map_err(at)?;
    // static-web-server reads no file of another ending.
    let config = own.join("config.toml");
    let (cpus, _) = placement.cpus();
    fs::write(&config, config_text(kind, &own, roots, cpus.len())).map_err(at)?;
    let mut command = on_cpus(namespace, cpus);
    match kind {
        Kind::PxeServer => command.arg(&programs.pxe_server).arg("serve").arg(config),
        Kind::PxeHttp => {
            let program = std::env::current_exe().map_err(at)?;
            command.arg(program).arg("http-serve").arg(roots.tree)
        }
        Kind::Nginx | Kind::NginxCopying => command.args(["nginx", "-c"]).arg(config),
        Kind::Lighttpd => command.args(["lighttpd", "-D", "-f"]).arg(config),
        Kind::StaticWebServer => {
            command.arg(&programs.static_web_server);
            command.arg("--config-file").arg(config)
        }
    };
    Running::start(command, kind.name(), &own.join("log"))
}

fn config_text(kind: Kind, own: &Path, roots: Roots<'_>, workers: usize) -> String {
    let (own, root, images) = (own.display(), roots.tree.display(), roots.images.display());
    let (ip, port) = (ADDRESS.ip(), ADDRESS.port());
    match kind {
        Kind::PxeServer => format!(
            r#"[server]
user = "root"
control = "{own}/control"
[log]
level = "error"
[tree]
root = "{root}"
[http]
listen = "{ADDRESS}"
connections_max = {CONNECTIONS_MAX}
[images]
dir = "{images}"
path = "{IMAGES_PATH}"
settle_seconds = 0
"#
        ),
        Kind::PxeHttp => String::new(),
        Kind::Nginx | Kind::NginxCopying => {
            let sendfile = match kind {
                Kind::Nginx => "on",
                _ => "off",
            };
            format!(
                "user root;
worker_processes {workers};
worker_rlimit_nofile {FILES_MAX};
daemon off;
pid {own}/pid;
error_log stderr crit;
events {{ worker_connections {CONNECTIONS_MAX}; }}
http {{
  include /etc/nginx/mime.types;
  default_type application/octet-stream;
  types_hash_max_size 2048;
  sendfile {sendfile};
  tcp_nopush on;
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {own};
  proxy_temp_path {own};
  fastcgi_temp_path {own};
  uwsgi_temp_path {own};
  scgi_temp_path {own};
  server {{
    listen {ADDRESS};
    root {root};
  }}
}}
"
            )
        }
        Kind::Lighttpd => format!(
            r#"server.bind = "{ip}"
server.port = {port}
server.document-root = "{root}"
server.errorlog = "/dev/stderr"
server.max-worker = {workers}
server.max-fds = {FILES_MAX}
server.max-connections = {connections}
server.max-keep-alive-requests = 65535
server.max-keep-alive-idle = 75
include_shell "/usr/share/lighttpd/create-mime.conf.pl"
server.modules = ( "mod_staticfile" )
"#,
            // One worker alone needs no process that watches it.
            workers = if workers > 1 { workers } else { 0 },
            // Of each; it takes no more than this.
            connections = FILES_MAX / 2,
        ),
        Kind::StaticWebServer => format!(
            r#"[general]
host = "{ip}"
port = {port}
root = "{root}"
log-level = "error"
threads-multiplier = 1
"#
        ),
    }
}
