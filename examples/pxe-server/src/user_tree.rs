//! A tree as a user sees it, for a process that can see more.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use nix::unistd::{Gid, Uid, getegid, geteuid, getgroups};
use pxe_tree::{Attributes, Blob, Cookie, DirPage, ErrorKind, Name, NodeId, NodeKey, Result, Tree};

/// A user, and the groups that count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reader {
    uid: u32,
    groups: Vec<u32>,
}

/// Permission to read, in a class of `mode`'s bits.
const READ: u32 = 0o4;
/// Permission to search a directory.
const SEARCH: u32 = 0o1;

impl Reader {
    /// A user with these groups.
    pub(crate) fn new(uid: Uid, groups: impl IntoIterator<Item = Gid>) -> Self {
        Self {
            uid: uid.as_raw(),
            groups: groups.into_iter().map(Gid::as_raw).collect(),
        }
    }

    /// The user that this process is.
    pub(crate) fn of_process() -> io::Result<Self> {
        let groups = getgroups()?.into_iter().chain([getegid()]);
        Ok(Self::new(geteuid(), groups))
    }

    pub(crate) const fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Whether the mode lets this user read what it is the mode of.
    pub(crate) fn may_read(&self, mode: u32, owner: u32, group: u32) -> bool {
        self.may(READ, mode, owner, group)
    }

    /// Whether the mode lets this user list a directory and reach what is in it.
    pub(crate) fn may_enter(&self, mode: u32, owner: u32, group: u32) -> bool {
        self.may(READ | SEARCH, mode, owner, group)
    }

    /// The class that a user is in decides alone (POSIX.1-2024, section 4.7).
    fn may(&self, wanted: u32, mode: u32, owner: u32, group: u32) -> bool {
        let class = if self.uid == owner {
            mode >> 6
        } else if self.groups.contains(&group) {
            mode >> 3
        } else {
            mode
        };
        self.is_root() || class & wanted == wanted
    }
}

/// A tree of which nothing is shown that the modes of its files keep from a user.
///
/// An export of NFS may make the process keep the power to read all files, for clients that may.
/// Those of TFTP and HTTP say not who they are, and get what the server's user can read.
#[derive(Debug)]
pub(crate) struct UserTree {
    tree: Arc<dyn Tree>,
    reader: Reader,
}

impl UserTree {
    pub(crate) fn new(tree: Arc<dyn Tree>, reader: Reader) -> Self {
        Self { tree, reader }
    }

    async fn check(&self, node: NodeId, wanted: u32) -> Result<()> {
        let Attributes { mode, uid, gid, .. } = self.tree.attributes(node).await?;
        match self.reader.may(wanted, mode, uid, gid) {
            true => Ok(()),
            false => Err(ErrorKind::PermissionDenied.into()),
        }
    }
}

#[async_trait]
impl Tree for UserTree {
    fn root(&self) -> NodeId {
        self.tree.root()
    }

    async fn lookup(&self, dir: NodeId, name: &Name) -> Result<Attributes> {
        self.check(dir, SEARCH).await?;
        self.tree.lookup(dir, name).await
    }

    async fn attributes(&self, node: NodeId) -> Result<Attributes> {
        self.tree.attributes(node).await
    }

    async fn read_dir(&self, dir: NodeId, after: Cookie, entries_max: usize) -> Result<DirPage> {
        self.check(dir, READ).await?;
        self.tree.read_dir(dir, after, entries_max).await
    }

    async fn read_link(&self, node: NodeId) -> Result<Bytes> {
        self.tree.read_link(node).await
    }

    async fn open(&self, node: NodeId) -> Result<Arc<dyn Blob>> {
        self.check(node, READ).await?;
        self.tree.open(node).await
    }

    fn key(&self, node: NodeId) -> Result<NodeKey> {
        self.tree.key(node)
    }

    async fn resolve_key(&self, key: &NodeKey) -> Result<NodeId> {
        self.tree.resolve_key(key).await
    }

    async fn parent(&self, dir: NodeId) -> Result<NodeId> {
        self.tree.parent(dir).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pxe_tree::{DirTree, TreePath, resolve};
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn one_class_decides() {
        let reader = Reader::new(Uid::from_raw(5), [Gid::from_raw(7)]);
        for (mode, owner, group, may) in [
            (0o400, 5, 0, true),
            (0o044, 5, 7, false),
            (0o040, 0, 7, true),
            (0o404, 0, 7, false),
            (0o004, 0, 0, true),
            (0o440, 0, 0, false),
        ] {
            assert_eq!(reader.may_read(mode, owner, group), may, "{mode:o}");
        }
        assert!(!reader.may_enter(0o004, 0, 0) && reader.may_enter(0o005, 0, 0));
        assert!(Reader::new(Uid::from_raw(0), []).may_read(0, 5, 5));
    }

    /// The files are the test's own, and its user is another one than the reader.
    #[tokio::test]
    async fn what_modes_keep_from_the_user_is_not_shown() {
        let directory = tempfile::tempdir().expect("a directory");
        let set = |path: &str, mode| {
            let path = directory.path().join(path);
            std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("ours");
        };
        std::fs::create_dir(directory.path().join("private")).expect("writable");
        for path in ["open", "secret", "private/open"] {
            std::fs::write(directory.path().join(path), "x").expect("writable");
            set(path, 0o644);
        }
        for (path, mode) in [("", 0o755), ("secret", 0o640), ("private", 0o750)] {
            set(path, mode);
        }
        let tree: Arc<dyn Tree> = Arc::new(DirTree::new(directory.path()).expect("a tree"));
        let stranger = Reader::new(Uid::from_raw(geteuid().as_raw() + 1), []);
        let seen = UserTree::new(Arc::clone(&tree), stranger);
        let open = async |tree: &dyn Tree, path: &str| {
            let path = TreePath::parse(path).expect("valid");
            let found = resolve(tree, &path).await.map_err(|error| error.kind())?;
            let opened = tree.open(found.attributes.node).await;
            opened.map(drop).map_err(|error| error.kind())
        };
        let denied = Err(ErrorKind::PermissionDenied);
        assert_eq!(open(&seen, "open").await, Ok(()));
        assert_eq!(open(&seen, "secret").await, denied);
        assert_eq!(open(&seen, "private/open").await, denied);
        let private = tree.lookup(tree.root(), Name::new(b"private").expect("valid"));
        let private = private.await.expect("there").node;
        let listed = seen.read_dir(private, Cookie::START, 10).await;
        assert_eq!(listed.map(drop).map_err(|error| error.kind()), denied);
        for path in ["secret", "private/open"] {
            assert_eq!(open(&*tree, path).await, Ok(()), "{path}");
        }
    }
}
