//! The procedures as a client sees them, whose calls and replies nfs3_types packs and unpacks.

mod files;
mod lists;
mod nodes;
mod odd_tree;
mod odd_writes;
mod refusals;
mod repeated;
mod restarts;
mod write_model;
mod write_permissions;
mod writer;
mod writes;

use std::sync::Arc;

use nfs3_types::nfs3::{
    GETATTR3args, LOOKUP3args, LOOKUP3resok, Nfs3Option, Nfs3Result, diropargs3, fattr3, nfs_fh3,
    nfsstat3,
};
use nfs3_types::xdr_codec::{Opaque, Pack, Unpack, Void};
use pxe_tree::{Attributes, MemEntry, MemTree, NodeKind, Timestamp, Tree, TreePath};

use super::{PROGRAM, VERSION};
use crate::oracle::{self, Procedure};
use crate::{
    Export, ExportClient, ExportOptions, HandleKey, Network, Peer, Programs, Service, Squash,
};

const PATH: &str = "/srv/tftp";

/// What a client may do without being root, but is let in from any port.
fn options() -> ExportOptions {
    ExportOptions {
        is_secure: false,
        ..ExportOptions::default()
    }
}

fn service(tree: Arc<dyn Tree>, options: ExportOptions) -> Service {
    let export = Export::new(PATH, tree).to(ExportClient::new(Network::Any, options));
    builder().export(export).build().expect("one export")
}

fn builder() -> crate::ServiceBuilder {
    Service::builder(HandleKey::new(*b"0123456789abcdef"))
}

/// A client and its user.
#[derive(Clone)]
struct Client {
    service: Service,
    peer: Peer,
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

impl Client {
    /// Root of a machine whom `root_squash` makes anonymous.
    fn new(tree: Arc<dyn Tree>) -> Self {
        Self::of(service(tree, options()))
    }

    fn of(service: Service) -> Self {
        Self {
            service,
            peer: oracle::peer([192, 168, 150, 7]),
            uid: 0,
            gid: 0,
            groups: Vec::new(),
        }
    }

    fn user(&self, uid: u32, gid: u32, groups: &[u32]) -> Self {
        Self {
            uid,
            gid,
            groups: groups.to_vec(),
            ..self.clone()
        }
    }

    /// The results of a call as bytes, after the RPC header.
    async fn raw(&self, procedure: u32, args: &impl Pack) -> Vec<u8> {
        let user = oracle::auth_sys(self.uid, self.gid, &self.groups);
        let message = oracle::call(Procedure(PROGRAM, VERSION, procedure), user, args);
        let reply = self.service.answer(&self.peer, Programs::Nfs, message);
        oracle::bytes(reply.await.expect("a reply")).await
    }

    async fn ask<T: Unpack>(&self, procedure: u32, args: &impl Pack) -> T {
        oracle::results(&self.raw(procedure, args).await)
    }

    /// The handle of the first export's root.
    async fn root(&self) -> nfs_fh3 {
        self.root_of(PATH).await
    }

    async fn root_of(&self, path: &str) -> nfs_fh3 {
        let exports = self.service.inner.exports();
        let export = exports
            .values()
            .find(|export| export.path == path.as_bytes());
        let export = export.expect("exported");
        let root = export.root_node().await.expect("there");
        let key = export.tree.key(root).expect("a key");
        handle(self.service.inner.key.sign(export.id, &key).as_bytes())
    }

    async fn look_up(&self, dir: &nfs_fh3, name: &[u8]) -> Result<LOOKUP3resok, nfsstat3> {
        let what = diropargs3 {
            dir: dir.clone(),
            name: name.into(),
        };
        match self.ask(3, &LOOKUP3args { what }).await {
            Nfs3Result::Ok(ok) => Ok(ok),
            Nfs3Result::Err((status, fail)) => {
                let _: nfs3_types::nfs3::LOOKUP3resfail = fail;
                Err(status)
            }
        }
    }

    /// The handle of a path below the root.
    async fn walk(&self, path: &str) -> nfs_fh3 {
        let mut here = self.root().await;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let found = self.look_up(&here, name.as_bytes()).await;
            here = found
                .unwrap_or_else(|status| panic!("{path}: {status}"))
                .object;
        }
        here
    }

    async fn attributes(&self, node: &nfs_fh3) -> Result<fattr3, nfsstat3> {
        let object = node.clone();
        match self.ask(1, &GETATTR3args { object }).await {
            Nfs3Result::Ok(ok) => {
                let ok: nfs3_types::nfs3::GETATTR3resok = ok;
                Ok(ok.obj_attributes)
            }
            Nfs3Result::Err((status, Void)) => Err(status),
        }
    }
}

fn handle(bytes: &[u8]) -> nfs_fh3 {
    nfs_fh3 {
        data: Opaque::owned(bytes.to_vec()),
    }
}

fn some<T: Pack + Unpack>(option: Nfs3Option<T>) -> T {
    match option {
        Nfs3Option::Some(value) => value,
        Nfs3Option::None => panic!("nothing"),
    }
}

/// Every kind of node, names of any bytes, and modes that keep some users out.
fn tree() -> Arc<MemTree> {
    let tree = MemTree::new();
    let time = Timestamp {
        seconds: 1_700_000_000,
        nanos: 123_456_789,
    };
    let file = |content: &'static str, mode, uid, gid| {
        let file = MemEntry::file(content).with_mode(mode).with_owner(uid, gid);
        file.with_modified(time)
    };
    let special = |kind, rdev| {
        let special = MemEntry::special(kind, rdev).expect("special");
        special.with_mode(0o666)
    };
    let dir = |mode, uid, gid| MemEntry::directory().with_mode(mode).with_owner(uid, gid);
    let entries = [
        ("open", dir(0o755, 0, 0)),
        ("open/all", file("for all", 0o644, 1000, 100)),
        ("open/owner", file("for 1000", 0o600, 1000, 100)),
        ("open/group", file("for group 100", 0o040, 1000, 100)),
        ("open/program", file("#!/bin/sh", 0o711, 0, 0)),
        ("open/nobody", file("for none", 0o000, 1000, 100)),
        ("open/empty", file("", 0o644, 1000, 100)),
        ("open/link", MemEntry::link("../open/all")),
        ("open/disk", special(NodeKind::BlockDevice, (8, 1))),
        ("open/null", special(NodeKind::CharDevice, (1, 3))),
        ("open/fifo", special(NodeKind::Fifo, (0, 0))),
        ("open/socket", special(NodeKind::Socket, (0, 0))),
        ("closed", dir(0o700, 1000, 100)),
        ("closed/file", file("inside", 0o644, 1000, 100)),
        ("listed", dir(0o744, 1000, 100)),
        ("listed/file", file("inside", 0o644, 1000, 100)),
        ("searched", dir(0o711, 1000, 100)),
        ("searched/file", file("inside", 0o644, 1000, 100)),
    ];
    for (path, entry) in entries {
        tree.insert(path, entry).expect("free");
    }
    tree.insert_file(b"open/\xff\xfe.bin", "no text")
        .expect("free");
    Arc::new(tree)
}

async fn found(tree: &dyn Tree, path: &str) -> Attributes {
    let path = TreePath::parse(path).expect("valid");
    let found = pxe_tree::resolve(tree, &path).await;
    found.expect("there").attributes
}
