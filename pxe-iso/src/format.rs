//! What [`ImageTree`](crate::ImageTree) asks of ISO 9660 and of UDF.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use pxe_tree::{Attributes, NameBuf, NodeId};

use crate::extent::Extents;
use crate::{ImageError, Unsupported};

/// A file system in an image.
///
/// A node's number is where its record lies in the image, so that it needs no table; any number may
/// be asked for, since numbers come from peers (in keys), and each look reads and checks the record
/// again. The root's number is that of its record too.
#[async_trait]
pub(crate) trait Format: Debug + Send + Sync + 'static {
    /// The name that people know it by: `ISO 9660, Rock Ridge`.
    fn name(&self) -> &'static str;

    /// The volume identifier, as text.
    fn volume_id(&self) -> &str;

    /// How many bytes the volume has, by its own descriptors, if they tell.
    fn declared_len(&self) -> Option<u64>;

    /// What tells this volume from others: the descriptors' bytes, hashed by
    /// [`fingerprint`]. It must not depend on where or when the image was copied.
    fn fingerprint(&self) -> Fingerprint;

    /// The root directory.
    fn root(&self) -> NodeId;

    /// Whether a number may be a node's: what can be said of it without reading.
    fn may_be(&self, node: NodeId) -> bool {
        let _ = node;
        true
    }

    /// The node of a number.
    ///
    /// # Errors
    /// `Stale` (as [`ImageError::Tree`]) if no record can lie there, damage if the record is
    /// damaged.
    async fn node(&self, node: NodeId) -> Result<Node, ImageError>;

    /// All entries of a directory in the order of the medium, without `.` and `..`. Names may come
    /// twice: the first is taken. An entry whose name is no [`Name`](pxe_tree::Name), or whose
    /// record is damaged, is left out; the rest of the directory is not.
    ///
    /// # Errors
    /// `NotADirectory`, and as [`node`](Self::node).
    async fn entries(&self, dir: NodeId) -> Result<Vec<Entry>, ImageError>;

    /// The directory above a directory; the root's is the root.
    ///
    /// # Errors
    /// `NotADirectory`, and as [`node`](Self::node).
    async fn parent(&self, dir: NodeId) -> Result<NodeId, ImageError>;
}

/// A node and what is in it.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// `fsid` and `change` are set by the tree; `node` and `fileid` are the node's number.
    pub(crate) attributes: Attributes,
    pub(crate) content: Content,
}

/// What is in a node.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    Directory,
    /// Their sum is the node's `len`; the tree checks that they lie in the image when the file is
    /// opened.
    /// Content that lies in its record (UDF's embedded data) is an extent as well.
    File(Arc<Extents>),
    Link(Bytes),
    /// A device, a pipe, a socket.
    Special,
    /// A file whose content this crate does not read. It is listed, and opening it says why.
    Refused(Unsupported),
}

/// An entry of a directory.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: NameBuf,
    /// As [`Node::attributes`].
    pub(crate) attributes: Attributes,
}

/// What tells volumes apart.
pub(crate) type Fingerprint = [u8; 16];

/// The fingerprint of these descriptors' bytes. The same bytes give the same for ever.
pub(crate) fn fingerprint(parts: &[&[u8]]) -> Fingerprint {
    use std::hash::Hasher as _;

    use siphasher::sip128::{Hasher128 as _, SipHasher24};

    // "pxe-iso." and "volume.."
    let mut hasher = SipHasher24::new_with_keys(0x7078_652d_6973_6f2e, 0x766f_6c75_6d65_2e2e);
    for part in parts {
        hasher.write(part);
        hasher.write(&(part.len() as u64).to_le_bytes());
    }
    hasher.finish128().as_bytes()
}
