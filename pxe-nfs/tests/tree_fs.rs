//! Two servers, one tree, one client: nfs3_server with [`TreeFs`], and our own, are asked the same
//! questions, and their answers compared.
//!
//! Handles and verifiers are each server's own. What else differs is listed here, each with its
//! reason, and nothing else may:
//!
//! - `fsid`: ours is of the export as well as of the tree, since one tree may be exported twice.
//! - ACCESS: nfs3_server grants READ, LOOKUP and EXECUTE of whatever is asked, without a look at the node.
//! - FSSTAT: nfs3_server says a TiB of everything. PATHCONF: it says 0 links, and names of
//!   32,768 bytes. Neither can be told otherwise.
//! - FSINFO: nfs3_server does not know LINK, so `TreeFs` does not say that there are links.
//! - READDIR and READDIRPLUS: how many entries fit into a reply. A page that is too small for
//!   any entry is refused by both, at another size.
//! - Procedures that write: nfs3_server does not know LINK and MKNOD; and what is told of the
//!   directory beside NFS3ERR_ROFS.
//! - LOOKUP: ours tells nothing of the directory if it looked at that a moment ago (here it is told
//!   to look each time).
//! - MNT: the flavors; and nfs3_server mounts whatever there is, where ours mounts directories.
//! - A handle that was tampered with: ours is signed.
#![cfg(all(feature = "nfs3-server", feature = "tokio"))]

use std::fmt::Debug;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nfs3_server::tcp::{NFSTcp, NFSTcpListener};
use nfs3_types::mount::{dirpath, mountres3, mountstat3};
use nfs3_types::nfs3::*;
use nfs3_types::rpc::{auth_unix, call_body, msg_body, opaque_auth, rpc_msg};
use nfs3_types::xdr_codec::{Opaque, Pack, Unpack, Void};
use pxe_nfs::{
    Export, ExportClient, ExportOptions, HandleKey, Network, Programs, Server, Service, Squash,
    TreeFs,
};
use pxe_tree::{DirOptions, DirTree, MemEntry, MemTree, Timestamp, Tree};
use tokio::runtime::Runtime;

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const NFS: u32 = 100_003;
const MOUNT: u32 = 100_005;
/// What nfs3_server calls its export.
const EXPORT: &str = "/";

/// A client of one of the servers.
struct Client {
    stream: TcpStream,
    xid: u32,
    /// Whether the time of the last read is compared: asking moves it, where a file system keeps
    /// it.
    compares_accessed: bool,
}

impl Client {
    fn new(address: SocketAddr, compares_accessed: bool) -> Self {
        Self {
            stream: TcpStream::connect(address).expect("a server"),
            xid: 0,
            compares_accessed,
        }
    }

    /// The results of a call; if it was not done, its `accept_stat`.
    fn call(&mut self, prog: u32, proc: u32, args: &impl Pack) -> Result<Vec<u8>, u32> {
        self.xid += 1;
        let user = auth_unix {
            machinename: Opaque::borrowed(b"client"),
            ..auth_unix::default()
        };
        let body = msg_body::CALL(call_body {
            rpcvers: 2,
            prog,
            vers: 3,
            proc,
            cred: opaque_auth::auth_unix(&user),
            verf: opaque_auth::default(),
        });
        let mut record = vec![0; 4];
        let xid = self.xid;
        rpc_msg { xid, body }.pack(&mut record).expect("memory");
        args.pack(&mut record).expect("memory");
        let mark = 1 << 31 | (record.len() as u32 - 4);
        record[..4].copy_from_slice(&mark.to_be_bytes());
        self.stream.write_all(&record).expect("the call is taken");
        let mut mark = [0; 4];
        self.stream.read_exact(&mut mark).expect("a reply");
        let len = u32::from_be_bytes(mark) & !(1 << 31);
        let mut reply = vec![0; len as usize];
        self.stream.read_exact(&mut reply).expect("a whole reply");
        let word = |at: usize| u32::from_be_bytes(reply[at * 4..][..4].try_into().expect("four"));
        assert_eq!([word(0), word(1), word(2)], [xid, 1, 0], "accepted");
        match word(5) {
            0 => Ok(reply.split_off(24)),
            stat => Err(stat),
        }
    }

    fn nfs<T: Unpack>(&mut self, procedure: NFS_PROGRAM, args: &impl Pack) -> T {
        let results = self.call(NFS, procedure as u32, args).expect("it is done");
        unpacked(&results)
    }

    fn plain(&self, mut attributes: fattr3) -> fattr3 {
        attributes.fsid = 0;
        if !self.compares_accessed {
            attributes.atime = nfstime3::default();
        }
        attributes
    }

    fn told(&self, attributes: post_op_attr) -> Option<fattr3> {
        match attributes {
            Nfs3Option::Some(attributes) => Some(self.plain(attributes)),
            Nfs3Option::None => None,
        }
    }

    fn mount(&mut self, path: &str) -> Result<nfs_fh3, mountstat3> {
        let path = dirpath(Opaque::borrowed(path.as_bytes()));
        let results = self.call(MOUNT, 1, &path).expect("it is done");
        match unpacked(&results) {
            mountres3::Ok(mounted) => Ok(nfs_fh3 {
                data: Opaque::owned(mounted.fhandle.0.to_vec()),
            }),
            mountres3::Err(status) => Err(status),
        }
    }

    fn getattr(&mut self, node: &nfs_fh3) -> Result<fattr3, nfsstat3> {
        let args = GETATTR3args::from(node.clone());
        match self.nfs(NFS_PROGRAM::NFSPROC3_GETATTR, &args) {
            Nfs3Result::<GETATTR3resok, Void>::Ok(ok) => Ok(self.plain(ok.obj_attributes)),
            Nfs3Result::Err((status, _)) => Err(status),
        }
    }

    /// What is found, and what is told of it and of the directory.
    fn lookup(&mut self, dir: &nfs_fh3, name: &[u8]) -> (Option<nfs_fh3>, impl Debug + use<>) {
        let what = place(dir, name);
        match self.nfs(NFS_PROGRAM::NFSPROC3_LOOKUP, &LOOKUP3args { what }) {
            Nfs3Result::<LOOKUP3resok, LOOKUP3resfail>::Ok(ok) => (
                Some(ok.object),
                (
                    nfsstat3::NFS3_OK,
                    self.told(ok.obj_attributes),
                    self.told(ok.dir_attributes),
                ),
            ),
            Nfs3Result::Err((status, fail)) => {
                (None, (status, None, self.told(fail.dir_attributes)))
            }
        }
    }

    fn access(&mut self, object: &nfs_fh3, access: u32) -> (nfsstat3, Option<fattr3>, u32) {
        let object = object.clone();
        match self.nfs(
            NFS_PROGRAM::NFSPROC3_ACCESS,
            &ACCESS3args { object, access },
        ) {
            Nfs3Result::<ACCESS3resok, ACCESS3resfail>::Ok(ok) => {
                (nfsstat3::NFS3_OK, self.told(ok.obj_attributes), ok.access)
            }
            Nfs3Result::Err((status, fail)) => (status, self.told(fail.obj_attributes), 0),
        }
    }

    fn readlink(&mut self, node: &nfs_fh3) -> impl Debug + use<> {
        let symlink = node.clone();
        let args = READLINK3args { symlink };
        match self.nfs(NFS_PROGRAM::NFSPROC3_READLINK, &args) {
            Nfs3Result::<READLINK3resok<'_>, READLINK3resfail>::Ok(ok) => {
                (Ok(ok.data), self.told(ok.symlink_attributes))
            }
            Nfs3Result::Err((status, fail)) => (Err(status), self.told(fail.symlink_attributes)),
        }
    }

    fn read(&mut self, file: &nfs_fh3, offset: u64, count: u32) -> impl Debug + use<> {
        let file = file.clone();
        let args = READ3args {
            file,
            offset,
            count,
        };
        match self.nfs(NFS_PROGRAM::NFSPROC3_READ, &args) {
            Nfs3Result::<READ3resok<'_>, READ3resfail>::Ok(ok) => {
                assert_eq!(ok.count as usize, ok.data.len());
                (Ok((ok.eof, ok.data)), self.told(ok.file_attributes))
            }
            Nfs3Result::Err((status, fail)) => (Err(status), self.told(fail.file_attributes)),
        }
    }

    /// A whole directory by pages of so many bytes: names, numbers and cookies.
    fn readdir(&mut self, dir: &nfs_fh3, count: u32) -> (nfsstat3, Vec<(Vec<u8>, u64, u64)>) {
        let mut entries: Vec<(Vec<u8>, u64, u64)> = Vec::new();
        let mut cookieverf = cookieverf3([0; 8]);
        loop {
            let args = READDIR3args {
                dir: dir.clone(),
                cookie: entries.last().map_or(0, |last| last.2),
                cookieverf,
                count,
            };
            let results = self.nfs(NFS_PROGRAM::NFSPROC3_READDIR, &args);
            let page: READDIR3resok<'_> = match results {
                Nfs3Result::<READDIR3resok<'_>, READDIR3resfail>::Ok(ok) => ok,
                Nfs3Result::Err((status, _)) => return (status, entries),
            };
            cookieverf = page.cookieverf;
            let listed = page.reply.entries.0.into_iter();
            entries.extend(listed.map(|entry| (entry.name.0.to_vec(), entry.fileid, entry.cookie)));
            if page.reply.eof {
                return (nfsstat3::NFS3_OK, entries);
            }
        }
    }

    /// The same with what is told of each entry.
    fn readdirplus(&mut self, dir: &nfs_fh3, maxcount: u32) -> (nfsstat3, Vec<Entry>) {
        let mut entries: Vec<Entry> = Vec::new();
        let mut cookieverf = cookieverf3([0; 8]);
        loop {
            let args = READDIRPLUS3args {
                dir: dir.clone(),
                cookie: entries.last().map_or(0, |last| last.cookie),
                cookieverf,
                dircount: maxcount,
                maxcount,
            };
            let results = self.nfs(NFS_PROGRAM::NFSPROC3_READDIRPLUS, &args);
            let page: READDIRPLUS3resok<'_> = match results {
                Nfs3Result::<READDIRPLUS3resok<'_>, READDIRPLUS3resfail>::Ok(ok) => ok,
                Nfs3Result::Err((status, _)) => return (status, entries),
            };
            cookieverf = page.cookieverf;
            for entry in page.reply.entries.0 {
                entries.push(Entry {
                    name: entry.name.0.to_vec(),
                    fileid: entry.fileid,
                    cookie: entry.cookie,
                    attributes: self.told(entry.name_attributes),
                    handle: match entry.name_handle {
                        Nfs3Option::Some(handle) => Some(handle),
                        Nfs3Option::None => None,
                    },
                });
            }
            if page.reply.eof {
                return (nfsstat3::NFS3_OK, entries);
            }
        }
    }

    fn fsinfo(&mut self, node: &nfs_fh3) -> impl Debug + use<> {
        let args = FSINFO3args::from(node.clone());
        let results = self.nfs(NFS_PROGRAM::NFSPROC3_FSINFO, &args);
        let mut ok = Nfs3Result::<FSINFO3resok, FSINFO3resfail>::expect(results, "FSINFO");
        ok.properties &= !FSF3_LINK;
        let attributes = std::mem::take(&mut ok.obj_attributes);
        (self.told(attributes), ok)
    }

    fn fsstat(&mut self, node: &nfs_fh3) -> Option<fattr3> {
        let args = FSSTAT3args::from(node.clone());
        let results = self.nfs(NFS_PROGRAM::NFSPROC3_FSSTAT, &args);
        let ok = Nfs3Result::<FSSTAT3resok, FSSTAT3resfail>::expect(results, "FSSTAT");
        self.told(ok.obj_attributes)
    }

    fn pathconf(&mut self, node: &nfs_fh3) -> impl Debug + use<> {
        let args = PATHCONF3args::from(node.clone());
        let results = self.nfs(NFS_PROGRAM::NFSPROC3_PATHCONF, &args);
        let mut ok = Nfs3Result::<PATHCONF3resok, PATHCONF3resfail>::expect(results, "PATHCONF");
        (ok.linkmax, ok.name_max) = (0, 0);
        let attributes = std::mem::take(&mut ok.obj_attributes);
        (self.told(attributes), ok)
    }

    /// The status of a call that would write.
    fn status(&mut self, procedure: NFS_PROGRAM, args: &impl Pack) -> nfsstat3 {
        let results = self.call(NFS, procedure as u32, args);
        let (status, _) = Unpack::unpack(&mut &results.expect("it is done")[..]).expect("one");
        status
    }
}

#[derive(Debug)]
struct Entry {
    name: Vec<u8>,
    fileid: u64,
    cookie: u64,
    attributes: Option<fattr3>,
    handle: Option<nfs_fh3>,
}

impl Entry {
    /// But for the handle, of which it is compared only whether there is one.
    fn plain(&self) -> impl Debug + use<'_> {
        let has_handle = self.handle.is_some();
        (
            &self.name,
            self.fileid,
            self.cookie,
            &self.attributes,
            has_handle,
        )
    }
}

fn unpacked<T: Unpack>(mut results: &[u8]) -> T {
    let (value, _) = T::unpack(&mut results).expect("results as RFC 1813 has them");
    assert_eq!(results, [], "nothing follows");
    value
}

fn place<'a>(dir: &nfs_fh3, name: &'a [u8]) -> diropargs3<'a> {
    diropargs3 {
        dir: dir.clone(),
        name: name.into(),
    }
}

#[track_caller]
fn same(what: &str, ours: &impl Debug, theirs: &impl Debug) {
    assert_eq!(format!("{ours:?}"), format!("{theirs:?}"), "{what}");
}

/// Both servers over one tree, and a client of each.
struct Both {
    ours: Client,
    theirs: Client,
    _servers: (Runtime, pxe_nfs::Handle),
}

impl Both {
    fn start(tree: &Arc<dyn Tree>, compares_accessed: bool) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let (server, address, port) = runtime.block_on(async {
            let mut options = ExportOptions::default();
            options.is_secure = false;
            options.squash = Squash::None;
            let export = Export::new(EXPORT, Arc::clone(tree));
            let export = export.to(ExportClient::new(Network::Any, options));
            let service = Service::builder(HandleKey::new([7; HandleKey::LEN])).export(export);
            let bound = Server::bind_tcp(LOOPBACK).expect("a port");
            let address = bound.local_addr();
            let server = Server::new(service.build().expect("one export"));
            let server = server
                .listen(bound, Programs::Nfs)
                .start()
                .expect("a server");
            let files = TreeFs::new(Arc::clone(tree)).expect("a root with a key");
            let listener = NFSTcpListener::bind_with_generation("127.0.0.1:0", files, 1).await;
            let listener = listener.expect("a port");
            let port = listener.get_listen_port();
            tokio::spawn(async move { listener.handle_forever().await });
            (server, address, port)
        });
        Self {
            ours: Client::new(address, compares_accessed),
            theirs: Client::new((Ipv4Addr::LOCALHOST, port).into(), compares_accessed),
            _servers: (runtime, server),
        }
    }

    /// Asks both all that a client can ask of a tree; gives the number of nodes.
    fn compare(&mut self) -> usize {
        let ours = self.ours.mount(EXPORT).expect("an export");
        let theirs = self.theirs.mount(EXPORT).expect("an export");
        for path in ["/missing", "/links/out/../../..", "/deep/missing/x"] {
            let statuses =
                [&mut self.ours, &mut self.theirs].map(|client| client.mount(path).err());
            same(path, &statuses[0], &statuses[1]);
        }
        for path in ["/deep", "/deep/er", "/links/deep", "//deep//er/"] {
            let ours = self.ours.mount(path).expect(path);
            let theirs = self.theirs.mount(path).expect(path);
            same(
                path,
                &self.ours.getattr(&ours),
                &self.theirs.getattr(&theirs),
            );
        }
        self.file_systems(&ours, &theirs);
        self.writes(&ours, &theirs);
        self.names(&ours, &theirs);
        self.node("", &ours, &theirs)
    }

    fn file_systems(&mut self, a: &nfs_fh3, b: &nfs_fh3) {
        same("FSINFO", &self.ours.fsinfo(a), &self.theirs.fsinfo(b));
        same("FSSTAT", &self.ours.fsstat(a), &self.theirs.fsstat(b));
        same("PATHCONF", &self.ours.pathconf(a), &self.theirs.pathconf(b));
    }

    /// What would write is refused, with the same status.
    fn writes(&mut self, a: &nfs_fh3, b: &nfs_fh3) {
        use NFS_PROGRAM::*;
        let ask = |client: &mut Client, dir: &nfs_fh3| {
            let attributes = sattr3::default;
            let what = || place(dir, b"new");
            let file = client.lookup(dir, b"empty").0.expect("a file");
            [
                client.status(
                    NFSPROC3_SETATTR,
                    &SETATTR3args {
                        object: file.clone(),
                        new_attributes: attributes(),
                        guard: Nfs3Option::None,
                    },
                ),
                client.status(
                    NFSPROC3_WRITE,
                    &WRITE3args {
                        file,
                        offset: 0,
                        count: 1,
                        stable: stable_how::FILE_SYNC,
                        data: Opaque::borrowed(b"x"),
                    },
                ),
                client.status(
                    NFSPROC3_CREATE,
                    &CREATE3args {
                        where_: what(),
                        how: createhow3::UNCHECKED(attributes()),
                    },
                ),
                client.status(
                    NFSPROC3_MKDIR,
                    &MKDIR3args {
                        where_: what(),
                        attributes: attributes(),
                    },
                ),
                client.status(
                    NFSPROC3_SYMLINK,
                    &SYMLINK3args {
                        where_: what(),
                        symlink: symlinkdata3 {
                            symlink_attributes: attributes(),
                            symlink_data: b"target"[..].into(),
                        },
                    },
                ),
                client.status(NFSPROC3_REMOVE, &REMOVE3args { object: what() }),
                client.status(NFSPROC3_RMDIR, &RMDIR3args { object: what() }),
                client.status(
                    NFSPROC3_RENAME,
                    &RENAME3args {
                        from: place(dir, b"empty"),
                        to: what(),
                    },
                ),
            ]
        };
        let (ours, theirs) = (ask(&mut self.ours, a), ask(&mut self.theirs, b));
        assert_eq!(ours, theirs);
        assert_eq!(ours, [nfsstat3::NFS3ERR_ROFS; 8]);
    }

    /// Names that nothing has, or that no file can have.
    fn names(&mut self, a: &nfs_fh3, b: &nfs_fh3) {
        let (long, longest) = ([b'n'; 256], [b'n'; 255]);
        let names = [
            &b"missing"[..],
            b"",
            b".",
            b"..",
            b"a/b",
            b"nul\0",
            &long,
            &longest,
            b"\xff",
        ];
        for name in names {
            let (found, ours) = self.ours.lookup(a, name);
            let (other, theirs) = self.theirs.lookup(b, name);
            let what = format!("LOOKUP {:?}", name.escape_ascii().to_string());
            same(&what, &ours, &theirs);
            assert_eq!(found.is_some(), other.is_some(), "{what}");
        }
    }

    /// One node and all below it.
    fn node(&mut self, path: &str, a: &nfs_fh3, b: &nfs_fh3) -> usize {
        let known = self.ours.getattr(a).expect(path);
        same(path, &Ok::<_, nfsstat3>(&known), &self.theirs.getattr(b));
        let asked = 0x3f;
        let (ours, theirs) = (self.ours.access(a, asked), self.theirs.access(b, asked));
        same(path, &(ours.0, ours.1), &(theirs.0, theirs.1));
        assert_eq!(theirs.2, 0x23, "what nfs3_server grants of anything");
        assert_eq!(ours.2 & 0x1, 0x1, "{path}: root may read");
        same(path, &self.ours.readlink(a), &self.theirs.readlink(b));
        let len = known.size;
        for (offset, count) in [
            (0, 0),
            (0, 1),
            (0, 1 << 20),
            (len / 2, 1000),
            (len.saturating_sub(1), 2),
            (len, 10),
            (len + 1, 10),
            (u64::MAX, u32::MAX),
            (0, u32::MAX),
        ] {
            let what = format!("READ {path} at {offset}, {count}");
            let ours = self.ours.read(a, offset, count);
            same(&what, &ours, &self.theirs.read(b, offset, count));
        }
        for count in [400, 4096, 1 << 16] {
            let ours = self.ours.readdir(a, count);
            same(path, &ours, &self.theirs.readdir(b, count));
        }
        let mut entries = Vec::new();
        for count in [1024, 8192, 1 << 16] {
            let (status, ours) = self.ours.readdirplus(a, count);
            let (other, theirs) = self.theirs.readdirplus(b, count);
            assert_eq!(status, other, "{path}");
            let plain = |entries: &[Entry]| -> Vec<String> {
                entries
                    .iter()
                    .map(|entry| format!("{:?}", entry.plain()))
                    .collect()
            };
            assert_eq!(plain(&ours), plain(&theirs), "{path}");
            entries = ours.into_iter().zip(theirs).collect();
        }
        let (_, too_deep) = self.ours.lookup(a, b"x");
        same(path, &too_deep, &self.theirs.lookup(b, b"x").1);
        let mut nodes = 1;
        for (ours, theirs) in entries {
            if matches!(&ours.name[..], b"." | b"..") {
                continue;
            }
            let path = format!("{path}/{}", ours.name.escape_ascii());
            let (by_name, told) = self.ours.lookup(a, &ours.name);
            let (other_by_name, other_told) = self.theirs.lookup(b, &theirs.name);
            same(&path, &told, &other_told);
            assert_eq!(by_name, ours.handle, "{path}: LOOKUP and READDIRPLUS agree");
            assert_eq!(other_by_name, theirs.handle, "{path}");
            let (Some(ours), Some(theirs)) = (ours.handle, theirs.handle) else {
                panic!("{path} has no handle");
            };
            nodes += self.node(&path, &ours, &theirs);
        }
        nodes
    }
}

/// Bytes of which no two runs are alike.
fn content(len: u32) -> Vec<u8> {
    let words = (0..len.div_ceil(4)).map(|word| word.wrapping_mul(0x9e37_79b1));
    words
        .flat_map(u32::to_le_bytes)
        .take(len as usize)
        .collect()
}

const FILES: u32 = 300;

#[test]
fn both_servers_say_the_same_of_a_tree_in_memory() {
    let tree = MemTree::new();
    let insert = |path: &str, entry: MemEntry| tree.insert(path, entry).expect(path);
    insert("empty", MemEntry::file(""));
    insert("large", MemEntry::file(content((1 << 20) + 5)));
    let modified = Timestamp {
        seconds: 1_700_000_000,
        nanos: 123_456_789,
    };
    let old = Timestamp::from_seconds(-5);
    insert(
        "modes",
        MemEntry::file("abc")
            .with_mode(0o6751)
            .with_modified(modified),
    );
    insert("old", MemEntry::file("abc").with_modified(old));
    insert("deep/er/file", MemEntry::file(content(70_000)));
    insert("links/deep", MemEntry::link("../deep"));
    insert("links/out", MemEntry::link("/../../etc/passwd"));
    insert("links/dangling", MemEntry::link("nowhere"));
    for number in 0..FILES {
        insert(
            &format!("many/file-{number}"),
            MemEntry::file(content(number)),
        );
    }
    let tree: Arc<dyn Tree> = Arc::new(tree);
    let nodes = Both::start(&tree, true).compare();
    assert_eq!(nodes, 13 + FILES as usize);
}

#[test]
fn both_servers_say_the_same_of_a_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path();
    let write = |path: &Path, len: u32| {
        fs::create_dir_all(path.parent().expect("below the root")).expect("a directory");
        fs::write(path, content(len)).expect("a file");
    };
    write(&root.join("empty"), 0);
    write(&root.join("large"), (1 << 20) + 5);
    write(&root.join("deep/er/file"), 70_000);
    let bytes = std::ffi::OsStr::from_bytes(b"name \xff\xfe of no encoding");
    write(&root.join(bytes), 10);
    write(&root.join("modes"), 10);
    fs::set_permissions(root.join("modes"), fs::Permissions::from_mode(0o4751)).expect("a mode");
    fs::create_dir(root.join("links")).expect("a directory");
    symlink("../deep", root.join("links/deep")).expect("a link");
    symlink("/../../etc/passwd", root.join("links/out")).expect("a link");
    symlink(bytes, root.join("links/dangling")).expect("a link");
    fs::hard_link(root.join("modes"), root.join("links/another name")).expect("a name");
    for number in 0..FILES {
        write(&root.join(format!("many/file-{number}")), number);
    }
    // Else ours would tell nothing of directories that it has just looked at.
    let exact = DirOptions::default().with_settled_for(Duration::ZERO);
    let tree = DirTree::with_options(root, exact).expect("a tree");
    let tree: Arc<dyn Tree> = Arc::new(tree);
    let nodes = Both::start(&tree, false).compare();
    assert_eq!(nodes, 14 + FILES as usize);
}
