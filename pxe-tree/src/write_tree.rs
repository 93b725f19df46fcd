//! The trait of trees that can be written to.

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Attributes, Name, NodeId, NodeKind, Result, Timestamp, Tree};

/// A tree that can be changed: what NFS needs to write (RFC 1813 section 3.3).
///
/// A tree checks no credentials: who may write what is for the protocol to decide. Names that are
/// links are never followed. Each method has been done **when it returns, and would survive a power
/// cut** (but for [`Stability::Unstable`] writes): directories are flushed too.
///
/// What is made gets the owner that the attributes say, or else that of this process. Where the
/// operating system does not let this process give it away (Linux: without `CAP_CHOWN`), it stays
/// its own, and gets no bits to run as its owner or group; the attributes that come back tell it.
/// [`conformance::check_writable`](crate::conformance::check_writable) tests what is written here.
#[async_trait]
pub trait WriteTree: Tree {
    /// Makes a regular file, or finds it.
    ///
    /// # Errors
    /// `Exists` as [`Creation`] says; `NotFound`, `NotADirectory`, `PermissionDenied`, `NoSpace`,
    /// `ReadOnly`, `Stale`, `Io`.
    async fn create(
        &self,
        dir: NodeId,
        name: &Name,
        creation: Creation,
        attributes: &SetAttributes,
    ) -> Result<Attributes>;

    /// Makes a directory.
    ///
    /// # Errors
    /// `Exists`, and those of [`create`](Self::create).
    async fn make_directory(
        &self,
        dir: NodeId,
        name: &Name,
        attributes: &SetAttributes,
    ) -> Result<Attributes>;

    /// Makes a symbolic link; its target is not looked at.
    ///
    /// # Errors
    /// `Exists`, and those of [`create`](Self::create).
    async fn make_link(
        &self,
        dir: NodeId,
        name: &Name,
        target: &[u8],
        attributes: &SetAttributes,
    ) -> Result<Attributes>;

    /// Makes a pipe, a socket or a device.
    ///
    /// # Errors
    /// `Exists`, `Unsupported` for other kinds, `InvalidName` for a device number that cannot be,
    /// and those of [`create`](Self::create).
    async fn make_special(
        &self,
        dir: NodeId,
        name: &Name,
        kind: NodeKind,
        rdev: (u32, u32),
        attributes: &SetAttributes,
    ) -> Result<Attributes>;

    /// Gives a node one more name.
    ///
    /// # Errors
    /// `Exists`, `CrossDevice`, and those of [`create`](Self::create).
    async fn add_name(&self, node: NodeId, dir: NodeId, name: &Name) -> Result<Attributes>;

    /// Removes a name of what is no directory.
    ///
    /// # Errors
    /// `IsADirectory`, and those of [`create`](Self::create).
    async fn remove(&self, dir: NodeId, name: &Name) -> Result<()>;

    /// Removes an empty directory.
    ///
    /// # Errors
    /// `NotEmpty`, and those of [`create`](Self::create).
    async fn remove_directory(&self, dir: NodeId, name: &Name) -> Result<()>;

    /// Gives a node another name, replacing what had it, as `rename(2)` does.
    ///
    /// # Errors
    /// `Exists`, `NotEmpty`, `IsADirectory`, `CrossDevice`, `InvalidName` (a directory into
    /// itself), and those of [`create`](Self::create).
    async fn rename(&self, from_dir: NodeId, from: &Name, to_dir: NodeId, to: &Name) -> Result<()>;

    /// Changes attributes; of a link, its own.
    ///
    /// # Errors
    /// `Stale`, `PermissionDenied`, `NotPermitted`, `NoSpace`, `ReadOnly`, `Io`.
    async fn set_attributes(&self, node: NodeId, attributes: &SetAttributes) -> Result<Attributes>;

    /// Writes all of `data` at an offset.
    ///
    /// # Errors
    /// `Stale`, `IsADirectory`, `NotAFile`, `PermissionDenied`, `NoSpace`, `TooLarge`, `Io`.
    async fn write(
        &self,
        node: NodeId,
        offset: u64,
        data: Bytes,
        stability: Stability,
    ) -> Result<Attributes>;

    /// Brings to the medium what was written unstably.
    ///
    /// # Errors
    /// Those of [`write`](Self::write). What could not be written is told once.
    async fn commit(&self, node: NodeId) -> Result<Attributes>;

    /// How often unstable writes were lost since the tree was built, because the medium failed: a
    /// client that has not committed all has to write again when this number changes.
    fn writes_lost(&self) -> u64;
}

/// What [`WriteTree::create`] does where the name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Creation {
    /// It finds the file, if that is a regular one, and sets its length if the attributes say one.
    Unchecked,
    /// `Exists`.
    Guarded,
    /// `Exists`, unless the file was made with this same verifier, which is kept with the file.
    Exclusive([u8; 8]),
}

/// How far what is written has come when the answer leaves (`stable_how` of RFC 1813).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Stability {
    /// Not far: a power cut may lose it until it is committed.
    Unstable,
    /// The data are on the medium, with all that is needed to read them.
    Data,
    /// All is on the medium.
    File,
}

/// Attributes to be set; those that are `None` stay as they are, or as the tree makes them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SetAttributes {
    /// Permission bits, `0o7777` at most.
    pub mode: Option<u32>,
    /// The owner.
    pub uid: Option<u32>,
    /// The group.
    pub gid: Option<u32>,
    /// The length of a file's content, in bytes.
    pub len: Option<u64>,
    /// Last read.
    pub accessed: Option<SetTime>,
    /// Last change of content.
    pub modified: Option<SetTime>,
}

/// A time to be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SetTime {
    /// The server's own.
    Now,
    /// This one.
    To(Timestamp),
}
