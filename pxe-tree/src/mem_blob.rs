//! Content that lies in memory.

use std::num::NonZeroU64;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Attributes, Blob, Direct, NodeId, NodeKind, Result};

/// A blob whose content lies in memory. It is never stale and never waits.
///
/// # Example
///
/// ```
/// use pxe_tree::{Blob, MemBlob, Opened};
///
/// let blob = MemBlob::new("#!ipxe\nshell\n");
/// assert_eq!(blob.attributes().len, 13);
/// let opened = Opened::File(blob);
/// # let _ = opened;
/// ```
#[derive(Debug)]
pub struct MemBlob {
    attributes: Attributes,
    content: Bytes,
}

impl MemBlob {
    /// A blob of this content, read-only, with no times, that belongs to no tree.
    #[allow(clippy::new_ret_no_self)] // blobs are shared: an Arc is what everyone needs
    pub fn new(content: impl Into<Bytes>) -> Arc<Self> {
        let content = content.into();
        let attributes = Attributes::new(NodeId::new(NonZeroU64::MIN), NodeKind::File, 0);
        Self::with_attributes(content, attributes)
    }

    /// A blob of this content with these attributes; their `len` becomes that of the content.
    pub fn with_attributes(content: impl Into<Bytes>, mut attributes: Attributes) -> Arc<Self> {
        let content = content.into();
        attributes.len = content.len() as u64;
        Arc::new(Self {
            attributes,
            content,
        })
    }

    /// The whole content, shared.
    pub const fn content(&self) -> &Bytes {
        &self.content
    }

    fn range(&self, offset: u64, len: u64) -> std::ops::Range<usize> {
        let all = self.content.len();
        let start = usize::try_from(offset).map_or(all, |offset| offset.min(all));
        let len = usize::try_from(len).map_or(all - start, |len| len.min(all - start));
        start..start + len
    }
}

#[async_trait]
impl Blob for MemBlob {
    fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes> {
        Ok(self.content.slice(self.range(offset, len as u64)))
    }

    fn read_now(&self, offset: u64, buf: &mut [u8]) -> Result<Option<usize>> {
        let range = self.range(offset, buf.len() as u64);
        let len = range.len();
        buf[..len].copy_from_slice(&self.content[range]);
        Ok(Some(len))
    }

    fn direct(&self, offset: u64, len: u64) -> Direct<'_> {
        match &self.content[self.range(offset, len)] {
            [] => Direct::None,
            bytes => Direct::Memory(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_end_at_the_end_whatever_is_asked() {
        let blob = MemBlob::new(&b"0123456789"[..]);
        let mut buf = [0; 4];
        for (offset, expected) in [(0, 4), (8, 2), (10, 0), (11, 0), (u64::MAX, 0)] {
            assert_eq!(
                blob.read_now(offset, &mut buf).expect("in memory"),
                Some(expected)
            );
        }
        assert!(matches!(
            blob.direct(2, u64::MAX),
            Direct::Memory(b"23456789")
        ));
        assert!(matches!(blob.direct(10, 1), Direct::None));
        assert!(matches!(blob.direct(0, 0), Direct::None));
    }
}
