//! MOUNT, version 3 (RFC 1813 appendix I): from a path to a handle.

mod mounts;

use std::sync::Arc;

use pxe_tree::{ErrorKind, NodeKind, Resolver, TreePath};

pub(crate) use self::mounts::Mounts;
use self::mounts::{Forgotten, Mount};
use crate::event::{Failed, Limited, Mounted, Refused};
use crate::export::Export;
use crate::handle::Handle;
use crate::rpc::{AUTH_SYS, Call, Rejected};
use crate::service::{Exports, Inner, results};
use crate::xdr::{Malformed, Reader, Write};
use crate::{Event, Network, Peer, Refusal, Transport};

pub(crate) const PROGRAM: u32 = 100_005;
pub(crate) const VERSION: u32 = 3;

const PROC_NULL: u32 = 0;
const PROC_MNT: u32 = 1;
const PROC_DUMP: u32 = 2;
const PROC_UMNT: u32 = 3;
const PROC_UMNTALL: u32 = 4;
const PROC_EXPORT: u32 = 5;

/// `MNTPATHLEN` and `MNTNAMLEN` (RFC 1813 appendix I.4), in bytes.
const PATH_LEN_MAX: usize = 1024;
const NAME_LEN_MAX: usize = 255;

/// `mountstat3` (RFC 1813 appendix I.5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Ok = 0,
    NoEntry = 2,
    Io = 5,
    Access = 13,
    NotDirectory = 20,
    Invalid = 22,
    NameTooLong = 63,
    NotSupported = 10004,
    ServerFault = 10006,
}

/// What a procedure is called.
pub(crate) const fn procedure_name(number: u32) -> &'static str {
    match number {
        PROC_NULL => "NULL",
        PROC_MNT => "MNT",
        PROC_DUMP => "DUMP",
        PROC_UMNT => "UMNT",
        PROC_UMNTALL => "UMNTALL",
        PROC_EXPORT => "EXPORT",
        _ => "?",
    }
}

pub(crate) async fn answer(
    service: &Inner,
    peer: &Peer,
    call: &Call<'_>,
) -> Result<Vec<u8>, Rejected> {
    if call.version != VERSION {
        return Err(Rejected::ProgramMismatch {
            low: VERSION,
            high: VERSION,
        });
    }
    match call.procedure {
        PROC_NULL => {}
        PROC_MNT => return mnt(service, peer, call).await,
        PROC_DUMP => return Ok(dump(service, peer, call).await),
        PROC_UMNT => umnt(service, peer, call).await?,
        PROC_UMNTALL => {
            for mount in service.mounts.remove_all(peer.remote.ip()) {
                let (peer, path) = (*peer, mount.path);
                service.tell(&Event::Unmounted(Mounted { peer, path }));
            }
        }
        PROC_EXPORT => return Ok(exports(service, peer, call).await),
        _ => return Err(Rejected::ProcedureUnavailable),
    }
    Ok(results(call, 0))
}

/// MNT (appendix I.5.1), with the answers of Linux's rpc.mountd (utils/mountd/mountd.c,
/// `get_rootfh`): whoever may mount nothing at a path learns nothing about it but that.
async fn mnt(service: &Inner, peer: &Peer, call: &Call<'_>) -> Result<Vec<u8>, Rejected> {
    let asked = path(call)?;
    let mut reply = results(call, 96);
    match handle(service, peer, asked).await {
        Ok(handle) => {
            let (client, path) = (peer.remote.ip(), normal(asked));
            if let Some(Forgotten) = service.mounts.add(Mount { client, path }) {
                limited(service, peer, "mounts_max");
            }
            reply.put_u32(Status::Ok as u32);
            reply.put_opaque(handle.as_bytes());
            // Not AUTH_NONE, although it is taken: Linux's rpc.mountd leaves it out as well
            // (`set_authflavors`), as old Linux clients take the last flavor of the list, and
            // would then do everything as the anonymous user.
            reply.put_u32(1);
            reply.put_u32(AUTH_SYS);
            let (peer, path) = (*peer, asked.to_vec());
            service.tell(&Event::Mounted(Mounted { peer, path }));
        }
        Err(refused) => {
            reply.put_u32(refused.status() as u32);
            let peer = *peer;
            service.tell(&match refused {
                NoHandle::Refused(reason) => Event::Refused(Refused {
                    peer,
                    path: Some(asked.to_vec()),
                    reason,
                }),
                NoHandle::Failed(error) => Event::Failed(Failed {
                    peer,
                    procedure: "MNT",
                    error: error_text(&error),
                }),
            });
        }
    }
    Ok(reply)
}

/// Why there is no handle for a path.
enum NoHandle {
    Refused(Refusal),
    Failed(pxe_tree::Error),
}

impl From<Refusal> for NoHandle {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<pxe_tree::Error> for NoHandle {
    fn from(error: pxe_tree::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::Refused(Refusal::NotFound),
            ErrorKind::NotADirectory => Self::Refused(Refusal::NotADirectory),
            _ => Self::Failed(error),
        }
    }
}

impl NoHandle {
    fn status(&self) -> Status {
        let error = match self {
            Self::Refused(Refusal::NotFound) => return Status::NoEntry,
            Self::Refused(Refusal::NotADirectory) => return Status::NotDirectory,
            Self::Refused(_) => return Status::Access,
            Self::Failed(error) => error,
        };
        match error.kind() {
            ErrorKind::PermissionDenied => Status::Access,
            ErrorKind::InvalidName | ErrorKind::LinkLoop => Status::Invalid,
            ErrorKind::NameTooLong => Status::NameTooLong,
            ErrorKind::Unsupported => Status::NotSupported,
            ErrorKind::Io => Status::Io,
            _ => Status::ServerFault,
        }
    }
}

/// The handle of a directory for this client.
async fn handle(service: &Inner, peer: &Peer, asked: &[u8]) -> Result<Handle, NoHandle> {
    let (export, below) = admitted(service, peer, asked).await?;
    let below = TreePath::parse(&below).map_err(pxe_tree::Error::from)?;
    // As in a chroot: neither `..` nor a link leads out of the export.  Links were made by those
    // who see the export where it is on the server.
    let mut resolver = Resolver::new().with_root(export.root_node().await?);
    if let Ok(root_path) = TreePath::parse(&export.path) {
        resolver = resolver.with_root_path(root_path);
    }
    let found = resolver.resolve(&*export.tree, &below).await?.attributes;
    if found.kind != NodeKind::Directory {
        return Err(Refusal::NotADirectory.into());
    }
    let key = export.tree.key(found.node)?;
    Ok(service.key.sign(export.id, &key))
}

/// The export that a path is in, and what is left of the path below it; asked before anything is
/// looked up.
async fn admitted(
    service: &Inner,
    peer: &Peer,
    asked: &[u8],
) -> Result<(Arc<Export>, Vec<u8>), Refusal> {
    let asked = normal(asked);
    let all = service.exports();
    let (export, below) = longest(&all, &asked).ok_or(Refusal::NoSuchExport)?;
    export.allows(peer)?;
    match service.admits(peer).await {
        true => Ok((Arc::clone(export), below.to_vec())),
        false => Err(Refusal::NotAdmitted),
    }
}

/// The export whose path has the most of this path's names, and what is left of it. Whether a
/// client may use it is asked of that one alone, as rpc.mountd does (`auth_authenticate`).
fn longest<'a, 'p>(all: &'a Exports, path: &'p [u8]) -> Option<(&'a Arc<Export>, &'p [u8])> {
    let matching = all.values().filter_map(|export| {
        let below = match &export.path[..] {
            b"/" => path,
            whole => path.strip_prefix(whole)?,
        };
        matches!(below.first(), None | Some(b'/')).then_some((export, below))
    });
    matching.max_by_key(|(export, _)| export.path.len())
}

/// UMNT (appendix I.5.3): from those who may mount what they say to have mounted.
async fn umnt(service: &Inner, peer: &Peer, call: &Call<'_>) -> Result<(), Rejected> {
    let asked = path(call)?;
    if admitted(service, peer, asked).await.is_ok() {
        let (client, path) = (peer.remote.ip(), normal(asked));
        service.mounts.remove(&Mount { client, path });
        let (peer, path) = (*peer, asked.to_vec());
        service.tell(&Event::Unmounted(Mounted { peer, path }));
    }
    Ok(())
}

/// DUMP (appendix I.5.2): `showmount -a`.
async fn dump(service: &Inner, peer: &Peer, call: &Call<'_>) -> Vec<u8> {
    let mut list = List::new(service, peer, call);
    if is_told(service, peer).await {
        for mount in service.mounts.all() {
            let mut entry = Vec::with_capacity(64 + mount.path.len());
            entry.put_opaque(mount.client.to_string().as_bytes());
            entry.put_opaque(&mount.path);
            list.push(&entry);
        }
    }
    list.finish()
}

/// EXPORT (appendix I.5.5): `showmount -e`. As with rpc.mountd, it shows the exports for others
/// too; `*` stands for all others.
async fn exports(service: &Inner, peer: &Peer, call: &Call<'_>) -> Vec<u8> {
    let mut list = List::new(service, peer, call);
    if is_told(service, peer).await {
        let all = service.exports();
        let mut listed: Vec<&Export> = all.values().map(|export| &**export).collect();
        listed.retain(|export| export.is_listed && export.path.len() <= PATH_LEN_MAX);
        listed.sort_by(|one, other| one.path.cmp(&other.path));
        for export in listed {
            let mut entry = Vec::with_capacity(64 + export.path.len());
            entry.put_opaque(&export.path);
            for network in networks(export) {
                entry.put_bool(true);
                entry.put_opaque(network.as_bytes());
            }
            entry.put_bool(false);
            list.push(&entry);
        }
    }
    list.finish()
}

/// Who may mount an export, for people.
fn networks(export: &Export) -> Vec<String> {
    let networks = || export.clients.iter().map(|rule| rule.network);
    if networks().any(|network| network == Network::Any) {
        return vec![Network::Any.to_string()];
    }
    let mut names: Vec<String> = networks().map(|network| network.to_string()).collect();
    names.retain(|name| name.len() <= NAME_LEN_MAX);
    names.sort();
    names.dedup();
    names
}

/// Whether a client is told lists at all: only if something is exported to it, or it is this
/// machine. So a datagram with somebody else's address draws no list on him.
async fn is_told(service: &Inner, peer: &Peer) -> bool {
    let client = peer.remote.ip();
    let is_here = client.is_loopback() || client == peer.local.ip();
    let may_mount = || {
        let all = service.exports();
        all.values().any(|export| export.options(client).is_some())
    };
    (is_here || may_mount()) && service.admits(peer).await
}

/// A list in a reply (RFC 4506 section 4.19), of which what exceeds the bound is left out.
struct List<'a> {
    service: &'a Inner,
    peer: &'a Peer,
    reply: Vec<u8>,
    limit: &'static str,
    room: usize,
    is_whole: bool,
}

impl<'a> List<'a> {
    fn new(service: &'a Inner, peer: &'a Peer, call: &Call<'_>) -> Self {
        let limits = &service.limits;
        let (limit, room) = match peer.transport {
            Transport::Tcp => ("mount_list_bytes_max", limits.mount_list_bytes_max),
            Transport::Udp => ("udp_mount_list_bytes_max", limits.udp_mount_list_bytes_max),
        };
        Self {
            service,
            peer,
            reply: results(call, 64),
            limit,
            room,
            is_whole: true,
        }
    }

    fn push(&mut self, entry: &[u8]) {
        match self.room.checked_sub(4 + entry.len()) {
            Some(room) => {
                self.room = room;
                self.reply.put_bool(true);
                self.reply.put_bytes(entry);
            }
            None => self.is_whole = false,
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.reply.put_bool(false);
        if !self.is_whole {
            limited(self.service, self.peer, self.limit);
        }
        self.reply
    }
}

fn limited(service: &Inner, peer: &Peer, limit: &'static str) {
    let peer = Some(*peer);
    service.tell(&Event::Limited(Limited { peer, limit }));
}

/// A call's only argument, a path; none at all is the root, as to rpc.mountd.
fn path<'a>(call: &Call<'a>) -> Result<&'a [u8], Malformed> {
    match Reader::new(call.args).opaque(PATH_LEN_MAX)? {
        b"" => Ok(b"/"),
        path => Ok(path),
    }
}

/// A path with one slash between names and none at its end, without `.`.
pub(crate) fn normal(path: &[u8]) -> Vec<u8> {
    let is_absolute = path.starts_with(b"/");
    let mut normal = Vec::with_capacity(path.len());
    for name in path.split(|byte| *byte == b'/') {
        if matches!(name, b"" | b".") {
            continue;
        }
        if is_absolute || !normal.is_empty() {
            normal.push(b'/');
        }
        normal.extend_from_slice(name);
    }
    if normal.is_empty() && is_absolute {
        normal.push(b'/');
    }
    normal
}

/// An error with what the operating system says.
fn error_text(error: &pxe_tree::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
