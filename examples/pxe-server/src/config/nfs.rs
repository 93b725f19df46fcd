//! `[nfs]`: directories that machines mount.

use std::net::SocketAddr;
use std::path::PathBuf;

use pxe_nfs::{ExportClient, Squash};
use pxe_tree::{DirKeys, TreePath};

/// `[nfs]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Nfs {
    /// The addresses to listen at, by TCP and by UDP; at least one. NFS, MOUNT and NLM share them.
    pub listen: Vec<SocketAddr>,
    /// How clients find out the port.
    pub portmap: Portmap,
    /// Ports where MOUNT is answered too, for clients that ask nobody for its port.
    pub mount_ports: Vec<u16>,
    /// The file of the key that signs file handles; `None`:
    /// [`HANDLE_KEY_DEFAULT`](super::HANDLE_KEY_DEFAULT) if the server is started as root, else a
    /// new key at each start.
    pub handle_key: Option<PathBuf>,
    /// By what file handles know a file, in the tree and in exports' own directories.
    pub handles: DirKeys,
    /// The greatest number of connections at once.
    pub connections_max: usize,
    /// The greatest number of connections of one client.
    pub connections_per_client_max: usize,
    /// The greatest number of bytes that a READ gives.
    pub read_bytes_max: u32,
    /// Each `[[nfs.export]]`; at least one.
    pub exports: Vec<NfsExport>,
}

/// How clients find out the port of NFS and MOUNT.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Portmap {
    /// By asking us at port 111 where that is free, else the rpcbind that holds it, with which we
    /// register. Where neither can be done, a warning says what clients need.
    Auto,
    /// By asking us at these addresses, by TCP and by UDP.
    At(Vec<SocketAddr>),
    /// They have to know it.
    Off,
}

/// `[[nfs.export]]`: a directory that machines may mount, and every one below it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NfsExport {
    /// What clients call it: an absolute path, without a slash at its end; `/` is one.
    pub path: String,
    /// Where its files are.
    pub files: ExportedFiles,
    /// Who may mount it, and how.
    pub clients: Vec<ExportClient>,
    /// Whether `showmount -e` does not tell it.
    pub is_hidden: bool,
}

/// Where an export's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExportedFiles {
    /// In this directory of the tree, which TFTP and HTTP serve too.
    InTree(TreePath),
    /// In a directory of its own.
    Directory(PathBuf),
    /// In the images of `[images]`, and in what lies beside them.
    Images,
}

impl NfsExport {
    /// Whether anybody may write.
    pub fn is_writable(&self) -> bool {
        let mut clients = self.clients.iter();
        clients.any(|client| client.options.is_writable)
    }

    /// Whether somebody is root here.
    pub(crate) fn has_root(&self) -> bool {
        let mut clients = self.clients.iter();
        clients.any(|client| client.options.squash == Squash::None)
    }
}
