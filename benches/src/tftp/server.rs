//! The servers that are compared: how each is configured and started.
//!
//! All alike: read-only, one directory, IPv4, as many transfers at once as the load asks for, no
//! word about each file where that can be chosen.

use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use pxe_test_lab::{Namespace, Output, Process};

use super::load::SERVER;
use super::programs::Programs;
use crate::processor::{Account, Placement};
use crate::running::on_cpus;

/// Transfers at once, where a server has a bound.
const TRANSFERS_MAX: &str = "8192";
/// The same of atftpd, whose transfers have two files each: with one above 1023 it aborts, since
/// that is what select(2) can take.
const ATFTPD_TRANSFERS_MAX: &str = "500";

/// One of the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// This project's.
    #[value(name = "pxe-server")]
    PxeServer,
    /// Its crate alone, as a process of this program.
    #[value(name = "pxe-tftp")]
    PxeTftp,
    /// The least possible server, of one client at a time: two system calls a window.
    #[value(name = "reference")]
    Reference,
    /// tftpd-hpa, a process for each transfer.
    #[value(name = "tftpd-hpa")]
    TftpdHpa,
    /// dnsmasq, one thread.
    #[value(name = "dnsmasq")]
    Dnsmasq,
    /// atftpd, a thread for each transfer.
    #[value(name = "atftpd")]
    Atftpd,
    /// rs-tftpd, a thread for each transfer.
    #[value(name = "rs-tftpd")]
    RsTftpd,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [
        Self::PxeServer,
        Self::TftpdHpa,
        Self::Dnsmasq,
        Self::Atftpd,
        Self::RsTftpd,
    ];
    /// The libraries are those of tftpd-hpa and atftpd (see `programs`).
    pub(super) const PACKAGES: [&str; 3] = ["dnsmasq-base", "libwrap0", "libpcre2-8-0"];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::PxeServer => "pxe-server",
            Self::PxeTftp => "pxe-tftp",
            Self::Reference => "reference",
            Self::TftpdHpa => "tftpd-hpa",
            Self::Dnsmasq => "dnsmasq",
            Self::Atftpd => "atftpd",
            Self::RsTftpd => "rs-tftpd",
        }
    }

    /// Whether it is one that others are compared with.
    pub(super) const fn is_peer(self) -> bool {
        !matches!(self, Self::PxeServer | Self::PxeTftp | Self::Reference)
    }
}

/// A server that runs.
#[derive(Debug)]
pub(super) struct Running {
    process: Process,
    account: Account,
    kind: Kind,
    log: PathBuf,
}

impl Running {
    /// Starts a server in a namespace, on the CPUs of a placement. It serves `root`, and has a
    /// directory of its own.
    ///
    /// # Errors
    /// A text that names the server.
    pub(super) fn start(
        kind: Kind,
        programs: &Programs,
        namespace: &Namespace,
        directory: &Path,
        root: &Path,
        placement: Placement,
    ) -> Result<Self, String> {
        let own = directory.join(kind.name());
        let at = |error: std::io::Error| format!("{}: {error}", kind.name());
        fs::create_dir_all(&own).map_err(at)?;
        let log = own.join("log");
        let (ip, port) = (SERVER.ip().to_string(), SERVER.port().to_string());
        let (cpus, _) = placement.cpus();
        let mut command = on_cpus(namespace, cpus);
        match kind {
            Kind::PxeServer => {
                let config = own.join("config");
                fs::write(&config, pxe_server_config(root, &own)).map_err(at)?;
                command.arg(&programs.pxe_server).arg("serve").arg(config)
            }
            Kind::PxeTftp | Kind::Reference => {
                let program = std::env::current_exe().map_err(at)?;
                command
                    .arg(program)
                    .args(["tftp-serve", kind.name()])
                    .arg(root)
            }
            Kind::TftpdHpa => command
                .arg(&programs.tftpd_hpa)
                .args(["--foreground", "--ipv4", "--secure", "--user", "nobody"])
                .args(["--address", &SERVER.to_string()])
                .arg(root),
            Kind::Dnsmasq => command
                .args(["dnsmasq", "--conf-file=/dev/null", "--keep-in-foreground"])
                .args([
                    "--user=root",
                    "--pid-file=",
                    "--port=0",
                    "--bind-interfaces",
                ])
                .arg(format!("--listen-address={ip}"))
                .arg(format!("--log-facility={}", own.join("messages").display()))
                .args(["--enable-tftp", "--quiet-tftp"])
                .arg(format!("--tftp-max={TRANSFERS_MAX}"))
                .arg(format!("--tftp-root={}", root.display())),
            Kind::Atftpd => command
                .arg(&programs.atftpd)
                .args(["--daemon", "--no-fork", "--user", "root", "--group", "root"])
                .args([
                    "--maxthread",
                    ATFTPD_TRANSFERS_MAX,
                    "--verbose=3",
                    "--no-multicast",
                ])
                .args(["--bind-address", &ip, "--port", &port])
                .arg(root),
            Kind::RsTftpd => command
                .arg(&programs.rs_tftpd)
                .args(["-i", &ip, "-p", &port, "-q", "-r", "-d"])
                .arg(root),
        };
        let process = Process::spawn(command, kind.name(), &log, Output::Log)?;
        let account = Account::open(process.id())?;
        Ok(Self {
            process,
            account,
            kind,
            log,
        })
    }

    /// Processor time that all its processes used, in seconds, also those that have ended.
    ///
    /// # Errors
    /// A text, if the kernel does not say.
    pub(super) fn cpu_seconds(&self) -> Result<f64, String> {
        self.account.seconds()
    }

    /// # Errors
    /// A text with the log's end, if it has ended already.
    pub(super) fn stop(mut self) -> Result<(), String> {
        match self.process.ended() {
            Some(status) => Err(self.failed(&format!("ended: {status}"))),
            // Dropped, it is killed, and what it started with its namespace: there is nothing that
            // a server of files read-only would keep.
            None => Ok(()),
        }
    }

    /// What went wrong, with the end of the server's log.
    pub(super) fn failed(&self, error: &str) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let tail = log.get(log.len().saturating_sub(2000)..);
        let tail = String::from_utf8_lossy(tail.unwrap_or_default());
        format!("{}: {error}\n{tail}", self.kind.name())
    }
}

fn pxe_server_config(root: &Path, own: &Path) -> String {
    format!(
        r#"[server]
user = "root"
control = "{own}/control"
[log]
level = "error"
[tree]
root = "{root}"
[tftp]
listen = "{SERVER}"
"#,
        own = own.display(),
        root = root.display(),
    )
}
