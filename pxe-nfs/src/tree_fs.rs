//! A tree behind the trait of the crate nfs3_server: another engine for the same files.

use std::collections::VecDeque;
use std::sync::Arc;

use nfs3_server::nfs3_types::nfs3::{
    FSF3_CANSETTIME, FSF3_HOMOGENEOUS, FSF3_SYMLINK, FSINFO3resok, createverf3, fattr3, filename3,
    ftype3, nfspath3, nfsstat3, nfstime3, post_op_attr, sattr3, specdata3, stable_how,
};
use nfs3_server::nfs3_types::xdr_codec::Unpack;
use nfs3_server::vfs::{
    DirEntry, DirEntryPlus, FileHandle, NextResult, NfsFileSystem, NfsReadFileSystem,
    ReadDirIterator, ReadDirPlusIterator, VFSCapabilities,
};
use pxe_tree::{
    Attributes, Cookie, Error, ErrorKind, ListedEntry, ListedPage, Name, NodeKey, NodeKind,
    Timestamp, Tree, TreePath,
};

use crate::Limits;
use crate::nfs::{FILE_LEN_MAX, MULTIPLE, Position, cookies};

/// How often a node that was lost between two steps is looked for anew.
const TRIES: usize = 4;
/// Entries of a directory that are asked for at once: a page of READDIRPLUS has about as many.
const ENTRIES_PER_PAGE: usize = 256;

/// A tree as the crate nfs3_server serves it: its NFS, MOUNT, RPC and sockets, our files.
///
/// Whatever implements [`Tree`] is served, read-only, with handles that are the tree's own
/// [`NodeKey`]s. nfs3_server puts the time of its start before each of them, unless it is bound
/// with a generation of its own: do that, and clients do not notice a restart.
///
/// The trait is told neither who calls nor from where, so nobody is refused anything: mode bits are
/// for the client to heed, and every file that the server itself can read is given out. Handles
/// are not signed, but lead to nodes of this tree alone. [`Service`](crate::Service) checks both,
/// and the crate's README says when to use which.
///
/// # Example
///
/// ```no_run
/// use std::sync::Arc;
///
/// use nfs3_server::tcp::{NFSTcp, NFSTcpListener};
/// use pxe_nfs::TreeFs;
/// use pxe_tree::DirTree;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let files = TreeFs::new(Arc::new(DirTree::new("/srv/tftp")?))?;
/// // Any number does that stays the same.
/// let listener = NFSTcpListener::bind_with_generation("0.0.0.0:2049", files, 1).await?;
/// listener.handle_forever().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct TreeFs {
    tree: Arc<dyn Tree>,
    root: NodeHandle,
    /// The most bytes that a READ gives, and what FSINFO says of lists.
    limits: Limits,
}

/// A node's [`NodeKey`], as nfs3_server's handles carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeHandle(NodeKey);

impl FileHandle for NodeHandle {
    fn len(&self) -> usize {
        self.0.as_bytes().len()
    }

    fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        NodeKey::new(bytes).ok().map(Self)
    }
}

impl TreeFs {
    /// All of a tree; a part of one is a [`Subtree`](pxe_tree::Subtree).
    ///
    /// # Errors
    /// If the tree's root has no key.
    pub fn new(tree: Arc<dyn Tree>) -> Result<Self, Error> {
        let root = NodeHandle(tree.key(tree.root())?);
        Ok(Self {
            tree,
            root,
            limits: Limits::default(),
        })
    }

    async fn attributes(&self, handle: &NodeHandle) -> Result<Attributes, Error> {
        again(|| self.tree.attributes_of_key(&handle.0)).await
    }

    async fn directory(&self, handle: &NodeHandle) -> Result<Attributes, Error> {
        let attributes = self.attributes(handle).await?;
        match attributes.kind {
            NodeKind::Directory => Ok(attributes),
            _ => Err(ErrorKind::NotADirectory.into()),
        }
    }

    async fn parent(&self, dir: &Attributes) -> Result<Attributes, Error> {
        let above = self.tree.parent(dir.node).await?;
        self.tree.attributes(above).await
    }

    async fn find(&self, dir: &NodeHandle, name: &[u8]) -> Result<NodeHandle, Error> {
        let dir = self.directory(dir).await?;
        let found = match name {
            b"." => dir,
            b".." => self.parent(&dir).await?,
            name => match Name::new(name) {
                Ok(name) => self.tree.lookup(dir.node, name).await?,
                // Nothing can be called so.
                Err(ErrorKind::InvalidName) => return Err(ErrorKind::NotFound.into()),
                Err(kind) => return Err(kind.into()),
            },
        };
        Ok(NodeHandle(self.tree.key(found.node)?))
    }

    async fn content(
        &self,
        file: &NodeHandle,
        offset: u64,
        count: u32,
    ) -> Result<(Vec<u8>, bool), Error> {
        let node = self.tree.resolve_key(&file.0).await?;
        let blob = self.tree.open(node).await?;
        let count = count.min(self.limits.read_bytes_max) as usize;
        let bytes = blob.read_at(offset, count).await?;
        let end = offset.saturating_add(bytes.len() as u64);
        Ok((bytes.into(), end >= blob.attributes().len))
    }

    async fn listing(&self, dir: &NodeHandle, cookie: u64, plus: bool) -> Result<Listing, Error> {
        self.directory(dir).await?;
        Ok(Listing {
            fs: self.clone(),
            dir: *dir,
            position: Position::of(cookie),
            page: VecDeque::new(),
            is_last_page: false,
            plus,
        })
    }

    async fn page(&self, dir: &NodeHandle, after: Cookie) -> Result<ListedPage, Error> {
        let node = self.tree.resolve_key(&dir.0).await?;
        let page = self.tree.read_dir(node, after, ENTRIES_PER_PAGE).await?;
        let entries = page.entries.into_iter();
        let bare = entries.map(|entry| ListedEntry::new(entry, None));
        Ok(ListedPage::new(bare.collect(), page.end))
    }

    async fn page_with_attributes(
        &self,
        dir: &NodeHandle,
        after: Cookie,
    ) -> Result<ListedPage, Error> {
        let node = self.tree.resolve_key(&dir.0).await?;
        let tree = &self.tree;
        tree.read_dir_attributes(node, after, ENTRIES_PER_PAGE)
            .await
    }
}

/// Does something until what it is done to stays in place: files are replaced while they are
/// read.
async fn again<T, F: Future<Output = Result<T, Error>>>(
    mut attempt: impl FnMut() -> F,
) -> Result<T, Error> {
    let mut tries_left = TRIES;
    loop {
        tries_left -= 1;
        match attempt().await {
            Err(error) if error.kind() == ErrorKind::Stale && tries_left > 0 => {}
            done => return done,
        }
    }
}

impl NfsReadFileSystem for TreeFs {
    type Handle = NodeHandle;

    fn root_dir(&self) -> NodeHandle {
        self.root
    }

    async fn lookup(
        &self,
        dirid: &NodeHandle,
        filename: &filename3<'_>,
    ) -> Result<NodeHandle, nfsstat3> {
        let found = again(|| self.find(dirid, filename.as_ref())).await;
        found.map_err(|error| status(&error))
    }

    /// Follows links, which stay in the tree.
    async fn lookup_by_path(&self, path: &str) -> Result<NodeHandle, nfsstat3> {
        let path = TreePath::parse(path).map_err(|_| nfsstat3::NFS3ERR_NOENT)?;
        let found = pxe_tree::resolve(&*self.tree, &path).await;
        let key = found.and_then(|found| self.tree.key(found.attributes.node));
        key.map(NodeHandle).map_err(|error| status(&error))
    }

    async fn getattr(&self, id: &NodeHandle) -> Result<fattr3, nfsstat3> {
        let attributes = self.attributes(id).await;
        attributes.map_or_else(|error| Err(status(&error)), |known| Ok(fattr(&known)))
    }

    async fn read(
        &self,
        id: &NodeHandle,
        offset: u64,
        count: u32,
    ) -> Result<(Vec<u8>, bool), nfsstat3> {
        let content = again(|| self.content(id, offset, count)).await;
        content.map_err(|error| status(&error))
    }

    async fn readdir(
        &self,
        dirid: &NodeHandle,
        cookie: u64,
    ) -> Result<impl ReadDirIterator, nfsstat3> {
        let listing = self.listing(dirid, cookie, false).await;
        listing.map_err(|error| status(&error))
    }

    async fn readdirplus(
        &self,
        dirid: &NodeHandle,
        cookie: u64,
    ) -> Result<impl ReadDirPlusIterator<NodeHandle>, nfsstat3> {
        let listing = self.listing(dirid, cookie, true).await;
        listing.map_err(|error| status(&error))
    }

    async fn readlink(&self, id: &NodeHandle) -> Result<nfspath3<'_>, nfsstat3> {
        let target = again(|| async {
            let node = self.tree.resolve_key(&id.0).await?;
            self.tree.read_link(node).await
        });
        match target.await {
            Ok(target) => Ok(Vec::from(target).into()),
            Err(error) => Err(status(&error)),
        }
    }

    async fn fsinfo(&self, root_fileid: &NodeHandle) -> Result<FSINFO3resok, nfsstat3> {
        let Limits {
            read_bytes_max,
            write_bytes_max,
            list_bytes_max,
            ..
        } = self.limits;
        Ok(FSINFO3resok {
            obj_attributes: post_op_attr::Some(self.getattr(root_fileid).await?),
            rtmax: read_bytes_max,
            rtpref: read_bytes_max,
            rtmult: MULTIPLE,
            wtmax: write_bytes_max,
            wtpref: write_bytes_max,
            wtmult: MULTIPLE,
            dtpref: list_bytes_max,
            maxfilesize: FILE_LEN_MAX,
            time_delta: nfstime3 {
                seconds: 0,
                nseconds: 1,
            },
            // Without FSF3_LINK: nfs3_server does not know LINK.
            properties: FSF3_SYMLINK | FSF3_HOMOGENEOUS | FSF3_CANSETTIME,
        })
    }
}

/// Nothing can be written: nfs3_server has what needs it (a generation of one's own, the mode bits
/// as they are) for file systems alone that have these methods.
impl NfsFileSystem for TreeFs {
    fn capabilities(&self) -> VFSCapabilities {
        VFSCapabilities::ReadOnly
    }

    async fn setattr(&self, _id: &NodeHandle, _setattr: sattr3) -> Result<fattr3, nfsstat3> {
        Err(nfsstat3::NFS3ERR_ROFS)
    }

    async fn write(
        &self,
        _id: &NodeHandle,
        _offset: u64,
        _data: &[u8],
        _stable: stable_how,
    ) -> Result<(fattr3, stable_how), nfsstat3> {
        Err(nfsstat3::NFS3ERR_ROFS)
    }

    async fn create(
        &self,
        _dirid: &NodeHandle,
        _filename: &filename3<'_>,
        _attr: sattr3,
    ) -> Result<(NodeHandle, fattr3), nfsstat3> {
        Err(nfsstat3::NFS3ERR_ROFS)
    }

    async fn create_exclusive(
        &self,
        _dirid: &NodeHandle,
        _filename: &filename3<'_>,
        _createverf: createverf3,
    ) -> Result<NodeHandle, nfsstat3> {
        Err(nfsstat3::NFS3ERR_ROFS)
    }

    async fn mkdir(
        &self,
        _dirid: &NodeHandle,
        _dirname: &filename3<'_>,
    ) -> Result<(NodeHandle, fattr3), nfsstat3> {
        Err(nfsstat3::NFS3ERR_ROFS)
    }

    async fn remove(&self, _dirid: &NodeHandle, _filename: &filename3<'_>) -> Result<(), nfsstat3> {
        Err(nfsstat3::NFS3ERR_ROFS)
    }

    async fn rename<'a>(
        &self,
        _from_dirid: &NodeHandle,
        _from_filename: &filename3<'a>,
        _to_dirid: &NodeHandle,
        _to_filename: &filename3<'a>,
    ) -> Result<(), nfsstat3> {
        Err(nfsstat3::NFS3ERR_ROFS)
    }

    async fn symlink<'a>(
        &self,
        _dirid: &NodeHandle,
        _linkname: &filename3<'a>,
        _symlink: &nfspath3<'a>,
        _attr: &sattr3,
    ) -> Result<(NodeHandle, fattr3), nfsstat3> {
        Err(nfsstat3::NFS3ERR_ROFS)
    }

    /// There is nothing that could be lost.
    async fn commit(&self, _id: &NodeHandle, _offset: u64, _count: u32) -> Result<(), nfsstat3> {
        Ok(())
    }
}

/// The entries of a directory, from a position on.
#[derive(Debug)]
struct Listing {
    fs: TreeFs,
    dir: NodeHandle,
    /// Of the next entry.
    position: Position,
    /// What the tree listed from there on.
    page: VecDeque<ListedEntry>,
    is_last_page: bool,
    /// Whether attributes are wanted as well.
    plus: bool,
}

/// An entry as a client sees it.
struct Listed {
    name: Vec<u8>,
    cookie: u64,
    fileid: u64,
    node: Option<Attributes>,
}

impl Listing {
    async fn next(&mut self) -> Result<Option<Listed>, nfsstat3> {
        loop {
            let (name, cookie) = match self.position {
                Position::Dot => (".", cookies::AFTER_DOT),
                Position::DotDot => ("..", cookies::AFTER_DOT_DOT),
                Position::Tree(after) => match self.page.pop_front() {
                    Some(listed) => return self.listed(listed).map(Some),
                    None if self.is_last_page => return Ok(None),
                    None => {
                        self.turn_page(after).await?;
                        continue;
                    }
                },
            };
            self.position = Position::of(cookie);
            let node = self.special(name).await.map_err(|error| status(&error))?;
            return Ok(Some(Listed {
                name: name.into(),
                cookie,
                fileid: node.fileid,
                node: Some(node),
            }));
        }
    }

    /// `.` and `..`, which trees do not list.
    async fn special(&self, name: &str) -> Result<Attributes, Error> {
        let dir = self.fs.attributes(&self.dir).await?;
        match name {
            "." => Ok(dir),
            // A tree that cannot tell it has one nevertheless.
            _ => Ok(self.fs.parent(&dir).await.unwrap_or(dir)),
        }
    }

    fn listed(
        &mut self,
        ListedEntry {
            entry, attributes, ..
        }: ListedEntry,
    ) -> Result<Listed, nfsstat3> {
        self.position = Position::Tree(entry.cookie);
        Ok(Listed {
            cookie: Position::cookie(entry.cookie).ok_or(nfsstat3::NFS3ERR_SERVERFAULT)?,
            name: entry.name.as_bytes().into(),
            fileid: entry.fileid,
            node: attributes,
        })
    }

    async fn turn_page(&mut self, after: Cookie) -> Result<(), nfsstat3> {
        let (fs, dir) = (&self.fs, &self.dir);
        let page = match self.plus {
            true => again(|| fs.page_with_attributes(dir, after)).await,
            false => again(|| fs.page(dir, after)).await,
        };
        let page = page.map_err(|error| status(&error))?;
        // Only the last page is empty; a tree that breaks that would be asked for ever.
        self.is_last_page = page.end || page.entries.is_empty();
        self.page = page.entries.into();
        Ok(())
    }
}

impl ReadDirIterator for Listing {
    async fn next(&mut self) -> NextResult<DirEntry> {
        match Self::next(self).await {
            Ok(Some(listed)) => NextResult::Ok(DirEntry {
                fileid: listed.fileid,
                name: listed.name.into(),
                cookie: listed.cookie,
            }),
            Ok(None) => NextResult::Eof,
            Err(status) => NextResult::Err(status),
        }
    }
}

impl ReadDirPlusIterator<NodeHandle> for Listing {
    async fn next(&mut self) -> NextResult<DirEntryPlus<NodeHandle>> {
        match Self::next(self).await {
            Ok(Some(listed)) => {
                let node = listed.node.as_ref();
                // A node that lies too deep for a key has no handle here; LOOKUP says why.
                let key = node.and_then(|node| self.fs.tree.key(node.node).ok());
                NextResult::Ok(DirEntryPlus {
                    fileid: listed.fileid,
                    name_attributes: node.map(fattr),
                    name: listed.name.into(),
                    cookie: listed.cookie,
                    name_handle: key.map(NodeHandle),
                })
            }
            Ok(None) => NextResult::Eof,
            Err(status) => NextResult::Err(status),
        }
    }
}

fn fattr(node: &Attributes) -> fattr3 {
    let (specdata1, specdata2) = node.rdev;
    fattr3 {
        type_: match node.kind {
            NodeKind::Directory => ftype3::NF3DIR,
            NodeKind::BlockDevice => ftype3::NF3BLK,
            NodeKind::CharDevice => ftype3::NF3CHR,
            NodeKind::Link => ftype3::NF3LNK,
            NodeKind::Socket => ftype3::NF3SOCK,
            NodeKind::Fifo => ftype3::NF3FIFO,
            // A regular file; there are no kinds but these.
            _ => ftype3::NF3REG,
        },
        mode: node.mode,
        nlink: node.nlink,
        uid: node.uid,
        gid: node.gid,
        size: node.len,
        used: node.used.unwrap_or(node.len),
        rdev: specdata3 {
            specdata1,
            specdata2,
        },
        fsid: node.fsid,
        fileid: node.fileid,
        atime: nfstime(node.accessed),
        mtime: nfstime(node.modified),
        ctime: nfstime(node.changed),
    }
}

/// It knows no time before 1970 and none after 2106.
fn nfstime(time: Timestamp) -> nfstime3 {
    nfstime3 {
        seconds: u32::try_from(time.seconds.max(0)).unwrap_or(u32::MAX),
        nseconds: time.nanos,
    }
}

fn status(error: &Error) -> nfsstat3 {
    let code = error.kind().nfs3_status().to_be_bytes();
    let known = nfsstat3::unpack(&mut &code[..]);
    known.map_or(nfsstat3::NFS3ERR_SERVERFAULT, |(status, _)| status)
}
