//! What goes back to the caller.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use pxe_tree::Blob;

/// A reply: `head`, then `data` with its padding (RFC 4506 section 4.10).
///
/// The record mark of RFC 5531 section 11 is the transport's: it is not in `head`.
#[derive(Debug)]
#[non_exhaustive]
pub struct Reply {
    /// The reply's header and its results, up to the data of a file.
    pub head: Vec<u8>,
    /// What follows, in replies to READ.
    pub data: Data,
}

/// The data of a file in a reply.
#[non_exhaustive]
pub enum Data {
    /// None: the head is all.
    None,
    /// In memory.
    Bytes(Bytes),
    /// In a file of the operating system, as its [`Blob::direct`] says, and in the page cache a
    /// moment ago: to be sent by `sendfile`, which waits for the medium if it left that since. If
    /// fewer bytes come, the file was cut off meanwhile: the reply cannot be finished, and the
    /// connection is to be closed, so that the client asks again. Only in replies over TCP.
    File {
        /// The open file.
        blob: Arc<dyn Blob>,
        /// Where the data begins, in bytes.
        offset: u64,
        /// How many bytes.
        len: u32,
    },
}

impl Data {
    /// How many bytes, without padding.
    pub fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Bytes(bytes) => bytes.len(),
            Self::File { len, .. } => usize::try_from(*len).unwrap_or(usize::MAX),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Reply {
    /// How many bytes the reply has, with padding and without a record mark.
    pub fn len(&self) -> usize {
        let data = self.data.len();
        self.head.len() + data + crate::xdr::padding(data)
    }

    /// A reply has a header at least.
    pub fn is_empty(&self) -> bool {
        false
    }
}

impl From<Vec<u8>> for Reply {
    fn from(head: Vec<u8>) -> Self {
        let data = Data::None;
        Self { head, data }
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::File { offset, len, .. } => write!(f, "File({offset}, {len})"),
        }
    }
}
