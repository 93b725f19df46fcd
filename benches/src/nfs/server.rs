//! The servers that are compared: how each is configured and started.
//!
//! All alike: one export, read-only, TCP, NFS version 3 alone, nobody refused.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use pxe_test_lab::{Namespace, Output, Process};

use crate::processor::{cpu_seconds, pin_process};

const NFS_PORT: u16 = 2049;
const GANESHA_MOUNT_PORT: u16 = 20048;

/// One of the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// pxe-nfs with its driver, over a `DirTree`.
    #[value(name = "pxe-nfs")]
    PxeNfs,
    /// nfs-ganesha with its file system VFS.
    #[value(name = "nfs-ganesha")]
    Ganesha,
    /// nfs3_server over a mirror of the directory.
    #[value(name = "nfs3_server")]
    Nfs3Server,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::PxeNfs, Self::Ganesha, Self::Nfs3Server];
    /// rpcbind: ganesha does not start without.
    pub(crate) const PACKAGES: [&str; 3] = ["nfs-ganesha", "nfs-ganesha-vfs", "rpcbind"];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::PxeNfs => "pxe-nfs",
            Self::Ganesha => "nfs-ganesha",
            Self::Nfs3Server => "nfs3_server",
        }
    }

    /// What clients mount.
    pub(crate) fn export(self, root: &Path) -> String {
        match self {
            // It has no name of its own for an export without version 4.
            Self::PxeNfs | Self::Ganesha => root.display().to_string(),
            Self::Nfs3Server => "/".to_owned(),
        }
    }

    pub(crate) const fn nfs(self) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, NFS_PORT)
    }

    pub(crate) const fn mount(self) -> SocketAddrV4 {
        let port = match self {
            Self::Ganesha => GANESHA_MOUNT_PORT,
            Self::PxeNfs | Self::Nfs3Server => NFS_PORT,
        };
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
    }
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Running {
    process: Process,
    kind: Kind,
    log: PathBuf,
}

impl Running {
    /// Starts a server in a namespace: it serves `root`, and has a directory of its own.
    ///
    /// # Errors
    /// A text that names the server.
    pub(crate) fn start(
        kind: Kind,
        namespace: &Namespace,
        directory: &Path,
        root: &Path,
    ) -> Result<Self, String> {
        let log = directory.join(format!("{}.log", kind.name()));
        let at = |error: std::io::Error| format!("{}: {error}", kind.name());
        let command = match kind {
            Kind::PxeNfs | Kind::Nfs3Server => {
                let program = std::env::current_exe().map_err(at)?;
                let mut command = namespace.command(&program.display().to_string());
                command.args(["nfs-serve", kind.name()]).arg(root);
                command
            }
            Kind::Ganesha => {
                let config = directory.join("ganesha.conf");
                fs::write(&config, ganesha_config(root)).map_err(at)?;
                let mut command = namespace.command("unshare");
                // With a /run of its own, so that this rpcbind and this ganesha meet no other.
                let script = "mount -t tmpfs tmpfs /run && mkdir /run/rpcbind /run/ganesha \
                    && rpcbind && exec ganesha.nfsd -F -L STDERR -N WARN -p /run/pid -f \"$0\"";
                command.args(["--mount", "sh", "-c", script]).arg(config);
                command
            }
        };
        let process = Process::spawn(command, kind.name(), &log, Output::Log)?;
        Ok(Self { process, kind, log })
    }

    /// Processor time used since it started, in seconds.
    pub(crate) fn cpu_seconds(&self) -> Option<f64> {
        cpu_seconds(self.process.id())
    }

    /// Puts it on these processors.
    ///
    /// # Errors
    /// A text that names them.
    pub(crate) fn pin(&self, cpus: &[usize]) -> Result<(), String> {
        // setpriv, `ip netns exec`, unshare and the shell replace themselves.
        pin_process(self.process.id(), cpus)
    }

    /// # Errors
    /// A text with the log's end, if it has ended already.
    pub(crate) fn stop(mut self) -> Result<(), String> {
        match self.process.ended() {
            Some(status) => Err(self.failed(&format!("ended: {status}"))),
            // Dropped, it is killed: there is nothing that a server of files read-only would keep.
            None => Ok(()),
        }
    }

    /// What went wrong, with the end of the server's log.
    pub(crate) fn failed(&self, error: &str) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let tail = log.get(log.len().saturating_sub(2000)..);
        let tail = String::from_utf8_lossy(tail.unwrap_or_default());
        format!("{}: {error}\n{tail}", self.kind.name())
    }
}

/// Its defaults, but for what the comparison is not about: no other version, no locks and quotas.
fn ganesha_config(root: &Path) -> String {
    format!(
        "NFS_CORE_PARAM {{
  Protocols = 3;
  NFS_Port = {NFS_PORT};
  MNT_Port = {GANESHA_MOUNT_PORT};
  Enable_NLM = false;
  Enable_RQUOTA = false;
  Enable_UDP = false;
}}
EXPORT {{
  Export_Id = 1;
  Path = {root};
  Pseudo = /export;
  Protocols = 3;
  Transports = TCP;
  Access_Type = RO;
  SecType = sys;
  FSAL {{ Name = VFS; }}
}}
",
        root = root.display()
    )
}
