//! A medium that fails, and files that move while they are written to.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use nfs3_types::nfs3::{
    Nfs3Option, createhow3, createverf3, nfs_fh3, nfsstat3, sattr3, stable_how,
};
use pxe_tree::{
    Attributes, Blob, Cookie, Creation, DirPage, DirTree, ErrorKind, Name, NodeId, NodeKey,
    NodeKind, Result, SetAttributes, Stability, Tree, WriteTree,
};

use super::writer::{Writer, mode};

/// A directory whose changes fail as the test wants it.
#[derive(Debug)]
struct OddDir {
    inner: DirTree,
    says: ErrorKind,
    /// How often it says that before it does what it should.
    times: AtomicUsize,
    lost: AtomicU64,
    /// What is removed before the next creation.
    to_remove: Mutex<Option<PathBuf>>,
}

impl OddDir {
    fn fail(&self) -> Result<()> {
        let less = |left: usize| left.checked_sub(1);
        let order = Ordering::Relaxed;
        match self.times.fetch_update(order, order, less) {
            Ok(_) => Err(self.says.into()),
            Err(_) => Ok(()),
        }
    }
}

#[async_trait]
impl Tree for OddDir {
    fn root(&self) -> NodeId {
        self.inner.root()
    }

    async fn lookup(&self, dir: NodeId, name: &Name) -> Result<Attributes> {
        self.inner.lookup(dir, name).await
    }

    async fn attributes(&self, node: NodeId) -> Result<Attributes> {
        self.inner.attributes(node).await
    }

    async fn read_dir(&self, dir: NodeId, after: Cookie, entries_max: usize) -> Result<DirPage> {
        self.inner.read_dir(dir, after, entries_max).await
    }

    async fn read_link(&self, node: NodeId) -> Result<Bytes> {
        self.inner.read_link(node).await
    }

    async fn open(&self, node: NodeId) -> Result<Arc<dyn Blob>> {
        self.inner.open(node).await
    }

    fn key(&self, node: NodeId) -> Result<NodeKey> {
        self.inner.key(node)
    }

    async fn resolve_key(&self, key: &NodeKey) -> Result<NodeId> {
        self.inner.resolve_key(key).await
    }
}

#[async_trait]
impl WriteTree for OddDir {
    async fn create(
        &self,
        dir: NodeId,
        name: &Name,
        creation: Creation,
        attributes: &SetAttributes,
    ) -> Result<Attributes> {
        self.fail()?;
        let to_remove = self.to_remove.lock().expect("no panic").take();
        if let Some(path) = to_remove {
            std::fs::remove_file(path).expect("there");
        }
        self.inner.create(dir, name, creation, attributes).await
    }

    async fn make_directory(
        &self,
        dir: NodeId,
        name: &Name,
        attributes: &SetAttributes,
    ) -> Result<Attributes> {
        self.fail()?;
        self.inner.make_directory(dir, name, attributes).await
    }

    async fn make_link(
        &self,
        dir: NodeId,
        name: &Name,
        target: &[u8],
        attributes: &SetAttributes,
    ) -> Result<Attributes> {
        self.fail()?;
        self.inner.make_link(dir, name, target, attributes).await
    }

    async fn make_special(
        &self,
        dir: NodeId,
        name: &Name,
        kind: NodeKind,
        rdev: (u32, u32),
        attributes: &SetAttributes,
    ) -> Result<Attributes> {
        self.fail()?;
        let made = self.inner.make_special(dir, name, kind, rdev, attributes);
        made.await
    }

    async fn add_name(&self, node: NodeId, dir: NodeId, name: &Name) -> Result<Attributes> {
        self.fail()?;
        self.inner.add_name(node, dir, name).await
    }

    async fn remove(&self, dir: NodeId, name: &Name) -> Result<()> {
        self.fail()?;
        self.inner.remove(dir, name).await
    }

    async fn remove_directory(&self, dir: NodeId, name: &Name) -> Result<()> {
        self.fail()?;
        self.inner.remove_directory(dir, name).await
    }

    async fn rename(&self, from_dir: NodeId, from: &Name, to_dir: NodeId, to: &Name) -> Result<()> {
        self.fail()?;
        self.inner.rename(from_dir, from, to_dir, to).await
    }

    async fn set_attributes(&self, node: NodeId, attributes: &SetAttributes) -> Result<Attributes> {
        self.fail()?;
        self.inner.set_attributes(node, attributes).await
    }

    async fn write(
        &self,
        node: NodeId,
        offset: u64,
        data: Bytes,
        stability: Stability,
    ) -> Result<Attributes> {
        self.fail()?;
        self.inner.write(node, offset, data, stability).await
    }

    async fn commit(&self, node: NodeId) -> Result<Attributes> {
        self.fail()?;
        self.inner.commit(node).await
    }

    fn writes_lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

fn odd(says: ErrorKind) -> (Writer, Arc<OddDir>) {
    let mut kept = None;
    let writer = Writer::over(|inner| {
        let odd = Arc::new(OddDir {
            inner,
            says,
            times: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            to_remove: Mutex::default(),
        });
        kept = Some(Arc::clone(&odd));
        odd
    });
    (writer, kept.expect("made"))
}

/// Each change once, on what the one before left behind.
async fn change_all(writer: &Writer, root: &nfs_fh3, next: impl Fn()) -> Vec<Option<nfsstat3>> {
    let existing = writer.look_up(root, "existing").await.expect("there");
    let mut said = Vec::new();
    next();
    let how = createhow3::GUARDED(mode(0o644));
    said.push(writer.create(root, "file", how).await.err());
    next();
    said.push(writer.mkdir(root, "dir", mode(0o755)).await.err());
    next();
    said.push(writer.symlink(root, "link", "x").await.err());
    next();
    said.push(writer.link(&existing, root, "other").await.err());
    next();
    said.push(writer.rename((root, "other"), (root, "moved")).await.err());
    next();
    said.push(writer.remove(root, "moved").await.err());
    next();
    said.push(writer.rmdir(root, "dir").await.err());
    next();
    said.push(writer.set(&existing, mode(0o600)).await.err());
    next();
    said.push(
        writer
            .write(&existing, 0, b"x", stable_how::UNSTABLE)
            .await
            .err(),
    );
    next();
    said.push(writer.commit(&existing).await.err());
    said
}

/// What is stale for a moment (a directory above was renamed, the tree forgot a node) is looked
/// for anew; what stays so is told, and nothing goes round for ever.
#[tokio::test]
async fn changes_follow_what_moves() {
    for (times, status) in [(1, None), (1000, Some(nfsstat3::NFS3ERR_JUKEBOX))] {
        let (writer, tree) = odd(ErrorKind::Stale);
        let root = writer.root().await;
        writer.file(&root, "existing", 0o644).await;
        let next = || tree.times.store(times, Ordering::Relaxed);
        assert_eq!(change_all(&writer, &root, next).await, [status; 10]);
    }
}

/// A file that was found, and was replaced before it was cut.
#[tokio::test]
async fn a_file_that_is_cut_by_its_creation_may_move() {
    let (writer, tree) = odd(ErrorKind::Stale);
    let root = writer.root().await;
    writer.file(&root, "f", 0o644).await;
    tree.times.store(1, Ordering::Relaxed);
    let empty = sattr3 {
        size: Nfs3Option::Some(0),
        ..sattr3::default()
    };
    let found = writer.create(&root, "f", createhow3::UNCHECKED(empty));
    found.await.expect("found anew");
}

/// A file that is found and gone a moment later is made only by who may make it, and is his.
#[tokio::test]
async fn an_exclusive_creation_of_what_goes_is_one_like_others() {
    let (writer, tree) = odd(ErrorKind::Io);
    let root = writer.root().await;
    let stranger = writer.stranger();
    let exclusive = || createhow3::EXCLUSIVE(createverf3([7; 8]));
    let vanishes = || {
        let path = writer.dir.path().join("f");
        *tree.to_remove.lock().expect("no panic") = Some(path);
    };
    writer.file(&root, "f", 0o644).await;
    vanishes();
    let refused = stranger.create(&root, "f", exclusive()).await;
    assert_eq!(refused.err(), Some(nfsstat3::NFS3ERR_EXIST));
    assert!(writer.dir.path().join("f").exists(), "nothing was done");
    writer.set(&root, mode(0o777)).await.expect("set");
    vanishes();
    let made = stranger
        .create(&root, "f", exclusive())
        .await
        .expect("made");
    // Where this process may give files away.
    if writer.client.uid == 0 {
        let (uid, gid) = (stranger.client.uid, stranger.client.gid);
        assert_eq!((made.1.uid, made.1.gid), (uid, gid));
    }
}

#[tokio::test]
async fn what_the_medium_says_is_told() {
    for (says, status) in [
        (ErrorKind::NoSpace, nfsstat3::NFS3ERR_NOSPC),
        (ErrorKind::ReadOnly, nfsstat3::NFS3ERR_ROFS),
        (ErrorKind::Io, nfsstat3::NFS3ERR_IO),
        (ErrorKind::NotPermitted, nfsstat3::NFS3ERR_PERM),
    ] {
        let (writer, tree) = odd(says);
        let root = writer.root().await;
        writer.file(&root, "existing", 0o644).await;
        for name in ["other", "moved"] {
            writer.file(&root, name, 0o644).await;
        }
        writer.mkdir(&root, "dir", mode(0o755)).await.expect("made");
        let said = change_all(&writer, &root, || tree.times.store(1, Ordering::Relaxed)).await;
        assert_eq!(said, [Some(status); 10]);
    }
}

/// RFC 1813 section 3.3.21: a client writes again what it did not commit when the verifier is
/// another one, after a restart or because something was lost.
#[tokio::test]
async fn the_verifier_tells_that_writes_were_lost() {
    let (writer, tree) = odd(ErrorKind::Io);
    let root = writer.root().await;
    let file = writer.file(&root, "f", 0o644).await;
    let write = async || {
        let done = writer.write(&file, 0, b"x", stable_how::UNSTABLE).await;
        done.expect("written").verf
    };
    let first = write().await;
    assert_eq!(write().await, first);
    assert_eq!(writer.commit(&file).await.expect("committed").verf, first);
    tree.lost.store(1, Ordering::Relaxed);
    let committed = writer.commit(&file).await.expect("committed").verf;
    assert_ne!(committed, first);
    assert_eq!(write().await, committed);
}
