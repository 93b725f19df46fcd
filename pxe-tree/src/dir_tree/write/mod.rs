//! Changing what lies below the root.
//!
//! Every name is taken in a directory that was opened through the wall, and no call here follows
//! a link, so nothing outside the root can be changed. What is opened for writing was looked at
//! before, so it is never a pipe or a device.

mod content;
mod names;
mod settings;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

pub(super) use self::content::Uncommitted;
use super::look::Reached;
use super::stat::{Halt, Stat, Wait};
use super::table::Place;
use super::{DirTree, Shared, blocking, keys};
use crate::{
    Attributes, Creation, Error, ErrorKind, Name, NodeId, NodeKind, Result, SetAttributes,
    Stability, WriteTree,
};

/// What the kernel says when nothing could be changed.
fn write_error(errno: Errno) -> Error {
    let kind = match errno {
        Errno::PERM => ErrorKind::NotPermitted,
        // A directory that something is mounted on: it will not pass soon.
        Errno::BUSY => ErrorKind::PermissionDenied,
        Errno::OPNOTSUPP | Errno::NOSYS => ErrorKind::Unsupported,
        // A directory that is to be moved into itself.
        Errno::INVAL => ErrorKind::InvalidName,
        _ => return super::stat::os_error(errno),
    };
    Error::with_source(kind, errno.into())
}

/// The same for `?`.
fn failed(errno: Errno) -> Halt {
    Halt::Error(write_error(errno))
}

/// A directory whose names are changed.
struct Directory {
    place: Place,
    reached: OwnedFd,
    /// Open for flushing, if it may be read.
    listed: Option<OwnedFd>,
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reached.as_fd()
    }
}

impl Directory {
    /// Brings changed names to the medium.
    fn flush(&self) -> Result<(), Halt> {
        match &self.listed {
            Some(listed) => flush(listed.as_fd()),
            // Who may not read a directory cannot flush it alone.
            None => {
                rustix::fs::sync();
                Ok(())
            }
        }
    }
}

/// Brings a file or directory to the medium, if its file system can.
fn flush(fd: BorrowedFd<'_>) -> Result<(), Halt> {
    match rustix::fs::fsync(fd) {
        // Nothing there has a medium (procfs and the like).
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(errno) => Err(failed(errno)),
    }
}

impl Shared {
    fn directory(&self, node: NodeId) -> Result<Directory, Halt> {
        let place = self.place(node)?;
        let (reached, stat) = self.reach(&place, Wait::Allowed)?;
        if stat.kind != NodeKind::Directory {
            return Err(ErrorKind::NotADirectory.into());
        }
        let listed = match keys::open_dir(reached.as_fd(), b".") {
            Ok(listed) => Some(listed),
            Err(Errno::ACCESS | Errno::PERM) => None,
            Err(errno) => return Err(errno.into()),
        };
        let reached = match reached {
            Reached::Root(root) => rustix::io::fcntl_dupfd_cloexec(root, 0)?,
            Reached::Opened(fd) => fd,
        };
        Ok(Directory {
            place,
            reached,
            listed,
        })
    }

    /// The node of a name that was made or found just now.
    fn known_as(&self, dir: NodeId, above: &Place, name: &Name, fd: BorrowedFd<'_>) -> Known {
        let stat = Stat::of(fd)?;
        let fs = self.file_system(stat.identity.dev, fd)?;
        let path = keys::join(&above.path, name);
        let stamp = keys::stamp(self.options.keys, &stat.identity, fs.tag, &path);
        let node = self.table().intern(dir, name, stat.identity, stamp)?;
        Ok(stat.attributes(node, fs.fsid))
    }

    /// Opens a regular file's content.
    fn open_content(&self, place: &Place, flags: OFlags) -> Result<OwnedFd, Halt> {
        let (_, stat) = self.reach(place, Wait::Allowed)?;
        match stat.kind {
            NodeKind::File => {}
            NodeKind::Directory => return Err(ErrorKind::IsADirectory.into()),
            _ => return Err(ErrorKind::NotAFile.into()),
        }
        let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = self.open_place(place, flags, Wait::Allowed)?;
        let stat = Stat::of(&fd)?;
        if stat.identity != place.identity || stat.kind != NodeKind::File {
            return Err(ErrorKind::Stale.into());
        }
        Ok(fd)
    }
}

type Known = Result<Attributes, Halt>;

/// The path of the directory above, and the last name.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => {
            let (above, name) = path.split_at(slash);
            (above, name.get(1..).unwrap_or_default())
        }
        None => (b"", path),
    }
}

/// Permission bits for a system call.
const fn bits(mode: u32) -> Mode {
    Mode::from_raw_mode(mode & 0o7777)
}

impl DirTree {
    /// Changes something, on a thread that may wait.
    async fn change<T, F>(&self, change: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Shared) -> Result<T, Halt> + Send + 'static,
    {
        let turn = Arc::clone(&self.shared.changes).acquire_owned().await;
        let turn = turn.map_err(|_| ErrorKind::Io)?;
        let shared = Arc::clone(&self.shared);
        // The turn ends when the thread is free again, even if nobody waits for the answer.
        let (done, _turn) = blocking(move || Ok((change(&shared), turn))).await?;
        Ok(done?)
    }
}

#[async_trait]
impl WriteTree for DirTree {
    async fn create(
        &self,
        dir: NodeId,
        name: &Name,
        creation: Creation,
        attributes: &SetAttributes,
    ) -> Result<Attributes> {
        let (name, attributes) = (name.to_buf(), attributes.clone());
        self.change(move |shared| shared.create(dir, &name, creation, &attributes))
            .await
    }

    async fn make_directory(
        &self,
        dir: NodeId,
        name: &Name,
        attributes: &SetAttributes,
    ) -> Result<Attributes> {
        let (name, attributes) = (name.to_buf(), attributes.clone());
        self.change(move |shared| shared.make_directory(dir, &name, &attributes))
            .await
    }

    async fn make_link(
        &self,
        dir: NodeId,
        name: &Name,
        target: &[u8],
        attributes: &SetAttributes,
    ) -> Result<Attributes> {
        let (name, target) = (name.to_buf(), target.to_vec());
        let attributes = attributes.clone();
        self.change(move |shared| shared.make_link(dir, &name, &target, &attributes))
            .await
    }

    async fn make_special(
        &self,
        dir: NodeId,
        name: &Name,
        kind: NodeKind,
        rdev: (u32, u32),
        attributes: &SetAttributes,
    ) -> Result<Attributes> {
        let (name, attributes) = (name.to_buf(), attributes.clone());
        self.change(move |shared| shared.make_special(dir, &name, kind, rdev, &attributes))
            .await
    }

    async fn add_name(&self, node: NodeId, dir: NodeId, name: &Name) -> Result<Attributes> {
        let name = name.to_buf();
        self.change(move |shared| shared.add_name(node, dir, &name))
            .await
    }

    async fn remove(&self, dir: NodeId, name: &Name) -> Result<()> {
        let name = name.to_buf();
        self.change(move |shared| shared.remove(dir, &name)).await
    }

    async fn remove_directory(&self, dir: NodeId, name: &Name) -> Result<()> {
        let name = name.to_buf();
        self.change(move |shared| shared.remove_directory(dir, &name))
            .await
    }

    async fn rename(&self, from_dir: NodeId, from: &Name, to_dir: NodeId, to: &Name) -> Result<()> {
        let (from, to) = (from.to_buf(), to.to_buf());
        self.change(move |shared| shared.rename((from_dir, &from), (to_dir, &to)))
            .await
    }

    async fn set_attributes(&self, node: NodeId, attributes: &SetAttributes) -> Result<Attributes> {
        let attributes = attributes.clone();
        self.change(move |shared| shared.set_attributes(node, &attributes))
            .await
    }

    async fn write(
        &self,
        node: NodeId,
        offset: u64,
        data: Bytes,
        stability: Stability,
    ) -> Result<Attributes> {
        self.change(move |shared| shared.write(node, offset, &data, stability))
            .await
    }

    async fn commit(&self, node: NodeId) -> Result<Attributes> {
        self.change(move |shared| shared.commit(node)).await
    }

    fn writes_lost(&self) -> u64 {
        self.shared.uncommitted.lost()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::super::CHANGES_MAX;
    use crate::{DirTree, Name, Tree, WriteTree};

    /// Clients that write leave threads to those who read. Without a runtime a change is made
    /// while it is polled, unless it has to wait for its turn.
    #[test]
    fn changes_wait_for_their_turn() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(dir.path().join("f"), "x").expect("write");
        let mut context = Context::from_waker(Waker::noop());
        let tree = DirTree::new(dir.path()).expect("a directory");
        let name = Name::new("f").expect("valid");
        let turns = u32::try_from(CHANGES_MAX).expect("few");
        let turns = tree.shared.changes.try_acquire_many(turns).expect("free");
        let mut removed = pin!(tree.remove(tree.root(), name));
        assert!(removed.as_mut().poll(&mut context).is_pending());
        // Who reads does not wait.
        let mut found = pin!(tree.lookup(tree.root(), name));
        assert!(matches!(
            found.as_mut().poll(&mut context),
            Poll::Ready(Ok(_))
        ));
        drop(turns);
        let removed = removed.as_mut().poll(&mut context);
        assert!(matches!(removed, Poll::Ready(Ok(()))));
    }
}
